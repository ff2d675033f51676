"""Start the whole portal with demo data: python -m waqiti_rollback.demo [--reset] (--help says more)."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from approvals.errors import Denied, Refused
from waqiti_rollback.embedded import HOST, EmbeddedError, Estate, free_port, port_is_free
from waqiti_rollback.embedded.processes import Children

from . import running, stamp
from .estate import ROOT, MigrationFailed, PortalEstate, prepare
from .targets import SIZES, Size

DIRECTORY = ROOT / ".local" / "demo"
PORT = 8000
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until Ctrl-C. Returns the exit code; every failure is a sentence, never a traceback."""
    options = _parser().parse_args(arguments)
    # Whoever is started in the background by a script inherits an ignored Ctrl-C; this one must stop by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    servers = Estate(options.directory, die_with_parent=True)
    try:
        if options.reset and servers.directory.exists():
            servers.remove()
            say("Everything from before is deleted.")
        servers.start(say=say)
        try:
            with running.stopping_in_peace():
                _run(PortalEstate(servers), options.port, options.size)
        finally:
            say("Stopping the servers …")
            servers.stop()
    except KeyboardInterrupt:
        return INTERRUPTED
    except (EmbeddedError, MigrationFailed) as error:
        say(f"The demo could not be started. {error}")
        return 1
    return 0


def _run(estate: PortalEstate, port: int, size: Size) -> None:
    """Prepare what is missing, start the processes, tell where to go, and stay."""
    _set_up_django(estate)
    from .journey import Stuck
    from .load import load_stories

    loaded = estate.directory / "loaded"
    first = not loaded.exists()
    if first:
        _prepare(estate, size)
    else:
        _keep(estate, loaded)
    port = _free(port)
    say("Starting web server, worker and beat …")
    with Children(estate.logs, say=say) as children, running.stopping_in_peace():
        beat, worker = running.start_beat(children, estate), running.start_worker(children, estate)
        web = running.start_web(children, estate, port)
        running.await_worker(worker)
        try:
            if first:
                load_stories(estate.servers, say=say)
        except (Stuck, Refused, Denied) as error:
            raise EmbeddedError(f"The demo's data could not be loaded: {error} (see {worker.log})") from error
        stamp.write(loaded)
        running.await_beat(beat)
        running.await_web(web, port)
        _tell(estate, port)
        children.wait()


def _prepare(estate: PortalEstate, size: Size) -> None:
    """Databases, people, services and targets; passwords are hashed while the databases are made."""
    from .load import create_catalog
    from .people import create_people, invent_passwords

    with ThreadPoolExecutor(1) as pool:
        passwords = pool.submit(invent_passwords)
        prepare(estate.servers, size=size, say=say)
        say("People, services and targets …")
        create_people(_logins(estate), passwords.result())
        create_catalog(estate.servers)


def _keep(estate: PortalEstate, loaded: Path) -> None:
    """Bring the data of the last time up to date. Raises MigrationFailed where the code has moved away."""
    from .load import follow_ports

    if not stamp.fits(loaded):
        raise MigrationFailed(
            "Its data were made by another version of the portal. Start over with: make demo-reset"
        )
    say("The data of the last time are kept.")
    if _migrations_are_pending():
        say("Migrating the portal's database …")
        estate.migrate()
    if moved := follow_ports(estate.servers):
        say(f"Written down where these answer now: {', '.join(moved)}")


def _migrations_are_pending() -> bool:
    """Asked here, because a process of its own for an answer that is mostly no takes seconds."""
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def _set_up_django(estate: PortalEstate) -> None:
    """Make this process one like the web server: the same settings, the same database role."""
    os.environ.update(estate.environment("web"))
    import django

    django.setup()


def _free(port: int) -> int:
    if port_is_free(port):
        return port
    other = free_port()
    say(f"Port {port} is in use; the portal takes {other}.")
    return other


def _logins(estate: PortalEstate) -> Path:
    return estate.directory / "logins.json"


def _tell(estate: PortalEstate, port: int) -> None:
    """Address and logins: what somebody needs who has just typed `make demo`."""
    from .people import logins

    rows = [(person.username, password, person.role_names) for person, password in logins(_logins(estate))]
    say("Web server, worker and beat answer.")
    print(f"\n  Waqiti Rollback   http://{HOST}:{port}/\n")
    for row in [("sign in as", "password", "role"), *rows]:
        print(f"  {row[0]:<12}{row[1]:<18}{row[2]}")
    print("\n  Ctrl-C stops everything and keeps the data; make demo-reset starts over.\n", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m waqiti_rollback.demo", description=__doc__)
    parser.add_argument("--reset", action="store_true", help="delete the demo's servers and data first")
    parser.add_argument("--port", type=int, default=PORT, help=f"of the web server ({PORT})")
    parser.add_argument("--size", choices=SIZES, default="full", help="small: a hundredth of the rows")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="where servers and data are kept")
    return parser


_started = time.monotonic()


def say(message: str) -> None:
    """One line of progress, with the seconds since the start."""
    print(f"{time.monotonic() - _started:6.1f} s  {message}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
