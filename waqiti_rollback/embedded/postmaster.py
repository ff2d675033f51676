"""What a data directory tells about the server that runs on it, whoever started that server."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_PROC = Path("/proc")
_NO_PROCESS = 2**31 - 2  # beyond every system's highest process id
_STATUS_LINE = 7  # of postmaster.pid, counted from 0; "ready" when connections are accepted


def running_pid(data: Path) -> int | None:
    """The process id of the server on `data`; None if there is none.

    postmaster.pid stays behind when a server is killed, and its number may by now be another program's; only
    a process that was started with this very directory counts.
    """
    lines = _pid_file(data)
    return int(lines[0]) if lines and serves(int(lines[0]), data) else None


def is_ready(data: Path, pid: int) -> bool:
    """Whether the server on `data` is process `pid` and accepts connections."""
    lines = _pid_file(data)
    return len(lines) > _STATUS_LINE and lines[0] == str(pid) and lines[_STATUS_LINE].strip() == "ready"


def serves(pid: int, data: Path) -> bool:
    """Whether process `pid` lives and was started with the directory `data`."""
    return str(data) in _arguments(pid)


def forget_stale(data: Path) -> None:
    """Make a postmaster.pid whose process is another program, or a zombie, name a process that cannot be.

    PostgreSQL would refuse to start. The rest of the file stays as it is: from it PostgreSQL learns whether
    backends of the dead server still use its shared memory, and waits for those with good reason.
    """
    lines = _pid_file(data)
    if lines and _exists(int(lines[0])) and not serves(int(lines[0]), data):
        (data / "postmaster.pid").write_text("\n".join([str(_NO_PROCESS), *lines[1:], ""]))


def _pid_file(data: Path) -> list[str]:
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []
    return lines if lines and lines[0].isdigit() else []


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True


def _arguments(pid: int) -> list[str]:
    """The command line of a process; empty if it is gone or a zombie."""
    if (_PROC / "self").exists():
        try:
            return (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
        except (FileNotFoundError, ProcessLookupError):
            return []
    shown = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True)
    return shown.stdout.split()
