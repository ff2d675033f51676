"""`manage.py analyze`: files and folders in, one document or a table out, exit code 1 for bad ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b").mkdir()
    (tmp_path / "V1__good.sql").write_text("ALTER TABLE users ADD COLUMN score integer;\n")
    (tmp_path / "b" / "V2__bad.SQL").write_text("DROP TABLE a;\nDROP TABEL b;\n")
    (tmp_path / "V3__latin.sql").write_bytes("SELECT 1;\n-- gr\xfc\xdfe".encode("latin-1"))
    (tmp_path / "V4__nul.sql").write_bytes(b"SELECT 1;\0")
    (tmp_path / "V5__wide.sql").write_bytes("SELECT 1".encode("utf-16"))
    (tmp_path / "V6__empty.sql").write_text("-- nothing\n")
    (tmp_path / "notes.txt").write_text("no SQL")
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code, message = 0, ""
    try:
        call_command("analyze", *arguments)
    except CommandError as error:
        code, message = error.returncode, str(error)
    return code, capsys.readouterr().out, message


def test_one_good_file_is_one_document(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    path = str(folder / "V1__good.sql")

    code, out, _ = run(capsys, path, "--json")

    assert code == 0
    assert json.loads(out) == {
        "files": [
            {
                "path": path,
                "risk": "LOW",
                "errors": [],
                "statements": [
                    {
                        "line": 1,
                        "column": 1,
                        "kind": "ADD COLUMN",
                        "change": "ADD COLUMN",
                        "risk": "LOW",
                        "data_loss": "Maybe (if populated)",
                        "action": "Drop column or keep",
                        "locks": [{"relation": "users", "mode": "ACCESS EXCLUSIVE"}],
                        "transactional": True,
                        "says": "Adds column score (integer) to users.",
                    }
                ],
            }
        ]
    }


def test_bad_files_do_not_stop_the_good_ones(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    code, out, message = run(capsys, str(folder), "--json")
    files = {Path(each["path"]).name: each for each in json.loads(out)["files"]}

    assert (code, message) == (1, "4 of 6 files could not be read.")
    assert sorted(files) == sorted(path.name for path in folder.rglob("*.[sS][qQ][lL]"))
    assert [(e["line"], e["column"]) for e in files["V2__bad.SQL"]["errors"]] == [(2, 6)]
    assert [s["kind"] for s in files["V2__bad.SQL"]["statements"]] == ["DROP TABLE"]
    assert files["V3__latin.sql"]["errors"] == [
        {"line": 2, "column": 6, "message": "Byte 0xFC is not UTF-8; the file may be Latin-1."}
    ]
    assert (files["V4__nul.sql"]["errors"][0]["line"], files["V4__nul.sql"]["errors"][0]["column"]) == (1, 10)
    assert "UTF-16" in files["V5__wide.sql"]["errors"][0]["message"]
    assert (files["V6__empty.sql"]["risk"], files["V6__empty.sql"]["errors"]) == (None, [])


def test_a_missing_file_is_an_error_of_that_file(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    code, out, _ = run(capsys, str(folder / "V9.sql"), str(folder / "V1__good.sql"), "--json")
    missing, good = json.loads(out)["files"]

    assert code == 1
    assert missing["errors"] == [{"line": 1, "column": 1, "message": "No such file or directory."}]
    assert good["risk"] == "LOW"


def test_people_get_a_table(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "V7__index.sql").write_text("CREATE INDEX CONCURRENTLY i ON t (a);")

    _, out, _ = run(capsys, str(folder))

    assert f"{folder / 'V1__good.sql'}: LOW" in out
    assert "1:1  LOW       ADD COLUMN: Adds column score (integer) to users." in out
    assert "ACCESS EXCLUSIVE on users" in out
    assert "2:6  ERROR     Syntax error" in out
    assert "Builds index i on t (a). [not in a transaction]" in out
    assert "No statement in it." in out


def test_the_command_line_prints_json_alone_and_exits_with_one(folder: Path) -> None:
    command = [sys.executable, str(ROOT / "manage.py"), "analyze", "--json", str(folder)]

    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "WAQITI_ENV": "test"}, check=False
    )

    assert done.returncode == 1
    assert len(json.loads(done.stdout)["files"]) == 6
    assert done.stderr.strip() == "CommandError: 4 of 6 files could not be read."
