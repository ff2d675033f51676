"""A service's own tests: run with one database's address, ended in time, and told without secrets."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from executor import service_tests
from executor.errors import Cancelled
from executor.service_tests import FIRST, LAST, Command, Misconfigured, Verdict, command_for, run
from tests.executor.target import OWNER, Target


def ran(target: Target, script: str, **options: object) -> Verdict:
    """How this shell script went as a service's tests."""
    seconds = options.pop("seconds", 60.0)
    command = Command(("/bin/sh", "-c", script), seconds)  # type: ignore[arg-type]
    return run(command, target.executor, role=OWNER, version="3", **options)  # type: ignore[arg-type]


def test_they_reach_the_database_as_its_owner_with_nothing_else_of_the_worker(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    from executor.pgtools import tool

    monkeypatch.setenv("BACKUP_KEY_FILE", "/secret")
    ask = f'"{tool("psql")}" -XAtc "SELECT current_user, count(*) FROM users"'
    found = ran(
        target, f"{ask}; env | cut -d= -f1 | sort | tr '\\n' ' '; echo; echo $WAQITI_SCHEMA_VERSION; pwd"
    )
    assert found.passed, found
    who, names, version, place = found.lines
    assert who == f"{OWNER}|100"
    wanted = {"PATH", "HOME", "LANG", "PWD", "WAQITI_SCHEMA_VERSION"}
    assert {name for name in names.split() if not name.startswith("PG") and name != "_"} <= wanted
    assert version == "3"
    assert not Path(place).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_they_run_as_another_account_where_the_file_says_so(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tests.json"
    file.write_text(json.dumps({"wallet": {"command": ["/usr/bin/id", "-un"], "user": "nobody"}}))
    file.chmod(0o644)
    monkeypatch.setenv("SERVICE_TESTS", str(file))
    command = command_for("wallet")
    assert command is not None
    assert run(command, target.executor, role="", version="").lines == ["nobody"]
    file.write_text(json.dumps({"wallet": {"command": ["/usr/bin/id"], "user": "nobody at all"}}))
    with pytest.raises(Misconfigured, match="not there"):
        command_for("wallet")


def test_what_they_say_is_kept_from_both_ends_without_the_password(target: Target) -> None:
    found = ran(
        target, 'echo "url postgres://x:$PGPASSWORD@h/d and $PGPASSWORD"; seq 5000; printf "end\\000"; exit 3'
    )
    assert found.why == "they ended with 3"
    assert found.lines[0] == "url postgres://x:***@h/d and ***"
    assert found.lines[1] == "1"
    assert found.lines[-2:] == ["5000", "end�"]
    assert found.left_out == 5002 - FIRST - LAST
    assert len(found.lines) == FIRST + LAST + 1


def test_they_end_in_time_with_all_that_they_started(target: Target, tmp_path: Path) -> None:
    child = tmp_path / "child"
    found = ran(target, f"sleep 300 & echo $! > {child}; echo begun; wait", seconds=1.0)
    assert found.why == "they took longer than 1 s and were ended"
    assert found.lines == ["begun"]
    assert is_gone(int(child.read_text()))
    # Whoever is left behind by tests that passed goes too, and keeps nobody waiting.
    found = ran(target, f"sleep 300 & echo $! > {child}")
    assert found.passed
    assert is_gone(int(child.read_text()))


def is_gone(pid: int) -> bool:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":  # nobody of ours is its parent any more
            return True
        time.sleep(0.05)
    return False


def test_they_end_when_somebody_cancels_and_a_program_that_is_not_there_is_told(target: Target) -> None:
    with pytest.raises(Cancelled):
        ran(target, "sleep 300", cancelled=lambda: True)
    missing = run(Command(("/nowhere/tests",), 5.0), target.executor, role="", version="")
    assert missing.why == "they ended with 127"
    assert "could not be started" in missing.lines[0]


def test_only_a_file_that_nobody_else_can_write_says_what_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SERVICE_TESTS", raising=False)
    assert command_for("wallet") is None
    file = tmp_path / "tests.json"
    monkeypatch.setenv("SERVICE_TESTS", str(file))
    with pytest.raises(Misconfigured, match="can't be read"):
        command_for("wallet")
    file.write_text(json.dumps({"wallet": {"command": ["/srv/wallet.sh", "-q"], "seconds": 9}}))
    file.chmod(0o644)
    assert command_for("wallet") == Command(("/srv/wallet.sh", "-q"), 9.0)
    assert command_for("other") is None
    os.chmod(file, 0o666)
    with pytest.raises(Misconfigured, match="written by others"):
        command_for("wallet")
    file.chmod(0o644)
    for wrong in ({"command": ["wallet.sh"]}, {"command": []}, {"command": "x"}, {"seconds": 3}, [],
                  {"command": ["/x"], "seconds": 99999}, {"command": ["/x"], "seconds": 0}):  # fmt: skip
        file.write_text(json.dumps({"wallet": wrong}))
        with pytest.raises(Misconfigured):
            command_for("wallet")
    assert service_tests.DEFAULT_S == 600
