"""Start child processes that die with the process that started them.

A worker that is killed must not leave pg_dump behind with its locks, nor a test run its servers. Linux
can signal a child when its parent dies (PR_SET_PDEATHSIG), but the child has to ask for it itself, after
any change of user (which clears the wish) and before it becomes the program. So this file is also a small
script that asks, changes user where told to, and then becomes the program; subprocess's `preexec_fn` would
do the same, but may deadlock in a process that has threads.

Elsewhere than on Linux the wish is not made: the child then outlives a parent that is killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

PR_SET_PDEATHSIG = 1


class Account(NamedTuple):
    """The user and group a child runs as, by number."""

    uid: int
    gid: int


def spawn(
    argv: Sequence[str | Path],
    *,
    dies_with: signal.Signals | None = signal.SIGTERM,
    account: Account | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `argv` in a process group of its own and return its Popen; the pid is the program's own.

    `dies_with` is the signal the child gets when the *thread* that called this ends (None: it outlives
    it), so call it from a thread that lives as long as the child should. The process group keeps Ctrl-C
    in a terminal away from the child: whoever started it ends it, in the right order. `account` needs
    root. A program that cannot be started ends with exit code 127 and a line on stderr.
    """
    wishes = [str(os.getpid()), str(int(dies_with or 0)), *(str(part) for part in account or ("", ""))]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, *wishes, *(str(part) for part in argv)],
        env=env,
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        process_group=0,
    )


def end(process: subprocess.Popen[bytes], patience: float) -> None:
    """Ask a child that `spawn` started to stop; after `patience` seconds kill it and its whole group."""
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _become(parent: int, death_signal: int, uid: str, gid: str, argv: list[str]) -> None:
    """Change user, ask to die with the parent, and turn into the program."""
    libc = None
    if death_signal and sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)  # loaded first: another user may not reach our libraries
    if uid:
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    if libc is not None:
        libc.prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # it died before we could ask
            os.kill(os.getpid(), death_signal)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these and an exec would inherit that
        signal.signal(ignored, signal.SIG_DFL)
    os.execvp(argv[0], argv)  # noqa: S606 (no shell is meant)


if __name__ == "__main__":
    _parent, _signal, _uid, _gid, *_argv = sys.argv[1:]
    try:
        _become(int(_parent), int(_signal), _uid, _gid, _argv)
    except OSError as error:
        sys.stderr.write(f"{_argv[0]} could not be started: {error.strerror}\n")
        sys.exit(127)
