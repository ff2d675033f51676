"""The main job on real servers, without a browser, as a timeline to read: python -m waqiti_rollback.tour.

Three rollbacks: one that succeeds, one whose check fails so that everything is taken back, one that its own
requester tries to approve. The same domain functions as the pages call, the same Celery tasks, a real worker
process. Every step is believed only after the target or the portal's database was asked; exit code 0 means
that all of them did what they should.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from approvals.errors import Denied, Refused
from waqiti_rollback.demo import running
from waqiti_rollback.demo.__main__ import INTERRUPTED, say
from waqiti_rollback.demo.estate import ROOT, MigrationFailed, PortalEstate, prepare
from waqiti_rollback.demo.services import BY_NAME, WALLET_PRODUCTION, WALLET_STAGING
from waqiti_rollback.embedded import EmbeddedError, Estate
from waqiti_rollback.embedded.processes import Children

DIRECTORY = ROOT / ".local" / "tour"
# The foreign keys are the newest migration here: in the demo a newer one is rolled back before.
TARGETS = (BY_NAME[WALLET_STAGING], replace(BY_NAME[WALLET_PRODUCTION], newest="2025.11.22.001"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tour. Returns 0 if every step did what it should, else 1."""
    parser = argparse.ArgumentParser(prog="python -m waqiti_rollback.tour", description=__doc__)
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="where servers and data are kept")
    servers = Estate(parser.parse_args(arguments).directory, die_with_parent=True)
    try:
        servers.start(say=say)
        try:
            estate = prepare(servers, size="small", targets=TARGETS, say=say)
            return _walk(estate)
        finally:
            servers.stop()
    except KeyboardInterrupt:
        return INTERRUPTED
    except (EmbeddedError, MigrationFailed) as error:
        say(f"The tour could not be started. {error}")
        return 1


def _walk(estate: PortalEstate) -> int:
    """Load people and catalog, start a worker, play the three acts."""
    os.environ.update(estate.environment("web"))
    import django

    django.setup()
    from waqiti_rollback.demo.acts import Acts, NotSo
    from waqiti_rollback.demo.journey import Stuck
    from waqiti_rollback.demo.load import create_catalog, read_histories
    from waqiti_rollback.demo.people import create_people, invent_passwords

    with Children(estate.logs) as children:
        worker = running.start_worker(children, estate)
        try:
            create_people(estate.directory / "logins.json", invent_passwords())
            create_catalog(estate.servers, TARGETS)
            running.await_worker(worker)
            say("A worker process answers")
            read_histories()
            acts = Acts(estate, say)
            for act in (acts.success, acts.failing_check, acts.self_approval):
                sys.stdout.write("\n")
                act()
        except (NotSo, Stuck, Refused, Denied) as error:
            say(f"  ✗ NOT SO: {error}")
            say(f"The tour failed. What the worker said is in {worker.log}")
            return 1
    sys.stdout.write("\n")
    say("Every step did what it should.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
