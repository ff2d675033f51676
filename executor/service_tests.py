"""A service's own tests, run against the copy on which its rollback was just rehearsed.

SERVICE_TESTS names a JSON file that whoever runs the workers writes; nothing of it can be said in the web:

    {"wallet-service": {"command": ["/srv/tests/wallet.sh", "--quick"], "seconds": 600}}

With `"user"` it runs as another account of the machine, which only a worker that runs as root can do; without
it the tests can read whatever files the worker can. The command gets the copy's address as libpq's variables,
PATH, and in WAQITI_SCHEMA_VERSION the version that is left; nothing else of the worker's environment. It has
not passed unless it ends by itself with 0.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import selectors
import signal
import stat
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from executor.children import Account, spawn
from executor.connect import Endpoint
from executor.errors import Cancelled, ExecutorError, masked

DEFAULT_S, LONGEST_S = 600.0, 4 * 3600.0
# Of what it says the beginning and the end are kept: lines, and characters of one.
FIRST, LAST, WIDEST = 200, 800, 1_000
LOOK_S = 0.2
DRAIN_S = 2.0
MOST_UNFINISHED = 64_000


class Misconfigured(ExecutorError):
    """The file of commands can't be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Command:
    """What is run for a service, and for how many seconds at most."""

    argv: tuple[str, ...]
    seconds: float
    account: Account | None = None

    @property
    def name(self) -> str:
        """How people know it: the program without its place, since arguments may be secret."""
        return Path(self.argv[0]).name


@dataclass
class Verdict:
    """How it went: `why` is empty where it passed. `lines` are the log, without secrets."""

    command: str
    seconds: float
    why: str
    lines: list[str] = field(repr=False, default_factory=list)
    left_out: int = 0

    @property
    def passed(self) -> bool:
        return not self.why


def command_for(service: str) -> Command | None:
    """The command of a service; None where it has none. Raises Misconfigured."""
    name = os.environ.get("SERVICE_TESTS", "")
    if not name:
        return None
    path = Path(name)
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o022:
            raise Misconfigured(f"{path.name} can be written by others, so nothing in it is run: chmod 644.")
        entry = json.loads(path.read_text(encoding="utf-8")).get(service)
        if entry is None:
            return None
        argv, seconds = tuple(entry["command"]), float(entry.get("seconds", DEFAULT_S))
        account = _account(entry.get("user"))
    except OSError as error:
        raise Misconfigured(f"SERVICE_TESTS can't be read: {error.strerror}.") from None
    except (ValueError, TypeError, AttributeError, KeyError):
        raise Misconfigured(
            f'{path.name} must hold {{"{service}": {{"command": ["/path/to/program", …], "seconds": 600}}}}.'
        ) from None
    wrong = not argv or not all(isinstance(part, str) for part in argv) or not os.path.isabs(argv[0])
    if wrong or not 0 < seconds <= LONGEST_S:
        raise Misconfigured(
            f"The command of {service} begins with a program's whole path and takes at most 4 hours."
        )
    return Command(argv, seconds, account)


def _account(user: str | None) -> Account | None:
    """The account of this name. Raises Misconfigured."""
    if user is None:
        return None
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        raise Misconfigured(f"SERVICE_TESTS names the account “{user}”, which is not there.") from None
    if found.pw_uid != os.geteuid() and os.geteuid() != 0:
        raise Misconfigured(f"Only a worker that runs as root can run tests as “{user}”.")
    return Account(found.pw_uid, found.pw_gid) if os.geteuid() == 0 else None


def run(
    command: Command,
    endpoint: Endpoint,
    *,
    role: str,
    version: str,
    cancelled: Callable[[], bool] = lambda: False,
) -> Verdict:
    """Run the tests as `role` of `endpoint`'s login. Its whole process group is ended before this returns,
    whatever became of it. Raises Cancelled."""
    began = time.monotonic()
    said = _Said(endpoint.password)
    reading, writing = os.pipe()
    with tempfile.TemporaryDirectory(prefix="service-tests-") as home, os.fdopen(reading, "rb", 0) as output:
        if command.account:
            os.chown(home, *command.account)
        try:
            child = spawn(
                command.argv,
                dies_with=signal.SIGKILL,
                account=command.account,
                env=_environment(endpoint, role, version, home),
                cwd=Path(home),
                stdout=writing,
                stderr=writing,
            )
        finally:
            os.close(writing)
        try:
            why = _until_it_ends(child, command, began, output.fileno(), said, cancelled)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        _read(output.fileno(), said, until=time.monotonic() + DRAIN_S)
    said.end()
    return Verdict(command.name, time.monotonic() - began, why, said.lines, said.left_out)


def _until_it_ends(
    child: subprocess.Popen[bytes],
    command: Command,
    began: float,
    output: int,
    said: _Said,
    cancelled: Callable[[], bool],
) -> str:
    """Why it did not pass; empty if it did."""
    while child.poll() is None:
        if time.monotonic() - began > command.seconds:
            return f"they took longer than {command.seconds:g} s and were ended"
        if cancelled():
            raise Cancelled("It was cancelled on request, while the service's tests ran.")
        _read(output, said, until=time.monotonic() + LOOK_S)
    code = child.returncode
    if code < 0:
        return f"they were ended by {signal.Signals(-code).name}"
    return f"they ended with {code}" if code else ""


def _read(output: int, said: _Said, *, until: float) -> None:
    """Take what is said until then; whoever kept the pipe open does not keep us."""
    os.set_blocking(output, False)
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while (left := until - time.monotonic()) > 0:
            if not selector.select(left):
                return
            data = os.read(output, 65_536)
            if not data:
                time.sleep(min(left, LOOK_S))  # it closed its output and may still run
                return
            said.add(data)


class _Said:
    """The first and the last lines of what a program says, without secrets."""

    def __init__(self, *secrets: str) -> None:
        self._secrets = secrets
        self._first: list[str] = []
        self._last: deque[str] = deque(maxlen=LAST)
        self._rest = b""
        self._count = 0

    def add(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self._line(line)
        if len(self._rest) > MOST_UNFINISHED:
            self.end()

    def end(self) -> None:
        """What was said without an end of line."""
        if self._rest:
            self._line(self._rest)
            self._rest = b""

    def _line(self, data: bytes) -> None:
        text = masked(data.decode("utf-8", "replace").replace("\0", "�").rstrip(), *self._secrets)
        self._count += 1
        kept = self._first if len(self._first) < FIRST else self._last
        kept.append(text if len(text) <= WIDEST else f"{text[:WIDEST]}…")

    @property
    def left_out(self) -> int:
        return self._count - len(self._first) - len(self._last)

    @property
    def lines(self) -> list[str]:
        gap = [f"… {self.left_out} lines are left out …"] if self.left_out else []
        return [*self._first, *gap, *self._last]


def _environment(endpoint: Endpoint, role: str, version: str, home: str) -> dict[str, str]:
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": home,
        "LANG": "C.UTF-8",
        "PGHOST": endpoint.host,
        "PGPORT": str(endpoint.port),
        "PGDATABASE": endpoint.dbname,
        "PGUSER": endpoint.user,
        "PGPASSWORD": endpoint.password,
        "PGSSLMODE": endpoint.sslmode,
        "PGAPPNAME": "waqiti_rollback service tests",
        "PGOPTIONS": f"-c role={_option(role)}" if role else "",
        "WAQITI_SCHEMA_VERSION": version,
    }
    if endpoint.sslrootcert:
        environment["PGSSLROOTCERT"] = endpoint.sslrootcert
    return environment


def _option(value: str) -> str:
    """A value in PGOPTIONS, where spaces and backslashes separate."""
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
