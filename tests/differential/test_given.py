"""Directories that somebody has, compared by the command that is made for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.differential.cases import Case, Ground
from tests.differential.given import compared, directories

pytestmark = pytest.mark.integration

FILES = {
    "good": {"V1__a.sql": "SELECT 1;\r\n", "U1__a.sql": "SELECT 2;\n", "R__b.sql": "SELECT 3;\n"},
    "clash": {"V1__a.sql": "SELECT 1;\n", "V1.0__b.sql": "SELECT 2;\n", "V2__c.sql": "SELECT 3;\n"},
}


def test_directories_are_found_and_agreed_upon(ground: Ground, tmp_path: Path) -> None:
    for name, files in FILES.items():
        (tmp_path / name / "migration").mkdir(parents=True)
        for file, text in files.items():
            (tmp_path / name / "migration" / file).write_text(text, newline="")
    (tmp_path / "empty" / "migration").mkdir(parents=True)
    found = list(directories(tmp_path, "migration"))
    verdicts = {path.parent.name: compared(Case(ground, "given", path, {})) for path in found}
    assert {name: (each.sort, each.files, each.difference) for name, each in verdicts.items()} == {
        "clash": ("refused", 3, ""),
        "good": ("read", 2, ""),
    }
    assert verdicts["clash"].problems == {"duplicate-version": 2}


def test_a_difference_is_told(ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "V1__a.sql").write_text("SELECT 1;\n")
    monkeypatch.setattr("approvals.flyway.files.checksum_of_text", lambda _text: 7)
    assert compared(Case(ground, "given", tmp_path, {})).difference
