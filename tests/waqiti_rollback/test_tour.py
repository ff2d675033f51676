"""`make tour` does what it says, and fails where a step does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.environment import ESTATE

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.integration


def tour(**env: str) -> subprocess.CompletedProcess[str]:
    """Run it in a directory of this test session's own; its servers are its own too."""
    argv = [sys.executable, "-m", "waqiti_rollback.tour", "--directory", str(ESTATE.directory / "tour")]
    return subprocess.run(argv, cwd=ROOT, env=os.environ | env, capture_output=True, text=True, timeout=300)


def test_the_tour_succeeds_fails_safely_and_refuses_in_that_order() -> None:
    done = tour()
    assert done.returncode == 0, done.stdout + done.stderr
    expected = iter(
        [
            "ONE",
            "facts: ",
            "rehearsal: Passed",
            "one of two signatures is not enough",
            "the second one approves it",
            "Committed: V2025.11.22.001",
            "backup: Verified",
            "no foreign key of the target acts on delete any more",
            "the history has lost the row of 2025.11.22.001, and no other",
            "verify, link by link",
            "TWO",
            "No payment is under way",
            "the target is as it was",
            "THREE",
            "refused: You asked for this rollback",
            "the database refuses it as well",
            "Every step did what it should.",
        ]
    )
    wanted = next(expected)
    for line in done.stdout.splitlines():
        if wanted in line:
            wanted = next(expected, "\0")
    assert wanted == "\0", f"“{wanted}” is missing or out of order in:\n{done.stdout}"
    assert "✗" not in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_the_tour_fails_where_a_step_fails(tmp_path: Path) -> None:
    """The worker finds no pg_dump, so there is no backup and no rehearsal."""
    done = tour(PG_BIN=str(tmp_path))
    assert done.returncode == 1
    assert "✗" in done.stdout
    assert "pg_dump" in done.stdout
    assert "Every step did what it should." not in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
