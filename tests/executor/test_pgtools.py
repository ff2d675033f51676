"""Finding PostgreSQL's programs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from executor.pgtools import ToolMissing, embedded_bin, tool


def test_the_wheels_programs_are_found_and_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PG_BIN", raising=False)
    version = subprocess.run(
        [tool("pg_dump"), "--version"], capture_output=True, text=True, check=True
    ).stdout
    assert version.startswith("pg_dump (PostgreSQL) 18.")


def test_pg_bin_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "pg_dump"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PG_BIN", str(tmp_path))
    assert tool("pg_dump") == other


def test_a_program_that_pg_bin_lacks_is_not_taken_from_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PG_BIN", str(tmp_path))
    with pytest.raises(ToolMissing, match=r"“pg_restore” was not found in PG_BIN"):
        tool("pg_restore")


def test_path_is_the_last_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "pg_of_somebody"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.delenv("PG_BIN", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tool("pg_of_somebody") == own
    assert tool("psql").parent == embedded_bin()


def test_a_program_that_is_nowhere_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PG_BIN", raising=False)
    with pytest.raises(ToolMissing, match=r"“pg_nonesuch” .* set PG_BIN"):
        tool("pg_nonesuch")
