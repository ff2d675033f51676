"""Children that die with the process that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from executor.children import Account, end, spawn

linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux signals a child whose parent died"
)


def output(*argv: str, account: Account | None = None) -> str:
    with spawn(argv, account=account, stdout=subprocess.PIPE) as child:
        return child.communicate()[0].decode().strip()


def alive(pid: int) -> bool:
    """Whether the process exists and is more than a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_pid_is_the_programs_own_and_leads_a_group() -> None:
    with spawn(["sh", "-c", "echo $$; ps -o pgid= -p $$"], stdout=subprocess.PIPE) as child:
        pid, group = child.communicate()[0].decode().split()
    assert int(pid) == int(group) == child.pid


def test_the_programs_exit_code_is_ours_to_read() -> None:
    with spawn(["sh", "-c", "exit 3"]) as child:
        assert child.wait() == 3


def test_a_program_that_does_not_exist_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    with spawn(["no-such-program"]) as child:
        assert child.wait() == 127
    assert "no-such-program could not be started: No such file" in capfd.readouterr().err


@linux_only
def test_signals_that_python_ignores_are_not_ignored_by_the_program() -> None:
    ignored = int(output("sh", "-c", "grep SigIgn /proc/$$/status").split()[1], 16)
    assert not any(ignored & 1 << (number - 1) for number in (signal.SIGPIPE, signal.SIGXFSZ))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_program_runs_as_the_account_with_no_group_of_ours() -> None:
    assert output("sh", "-c", "id -u; id -g; id -G", account=Account(65534, 65534)).split() == ["65534"] * 3


@linux_only
@pytest.mark.parametrize("account", [None, Account(65534, 65534)], ids=["same user", "another user"])
@pytest.mark.parametrize("wish", [signal.SIGTERM, None], ids=["dies", "stays"])
def test_when_the_parent_is_killed(account: Account | None, wish: signal.Signals | None) -> None:
    if account and os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    asked = wish and int(wish)
    script = (
        "import signal, time\nfrom executor.children import Account, spawn\n"
        f"print(spawn(['sleep', '600'], account={account!r}, dies_with={asked!r}).pid, flush=True)\n"
        "time.sleep(600)"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=env)
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        while b"sleep" not in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[0]:
            time.sleep(0.01)
        parent.kill()
    if wish is None:
        assert alive(child)
        os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive(child)


def test_end_kills_what_does_not_listen() -> None:
    with spawn(
        ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        end(child, 0.2)
        assert child.returncode == -signal.SIGKILL
