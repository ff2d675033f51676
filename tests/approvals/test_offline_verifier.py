"""The program that verifies an export alone: whatever is in the file, it says so in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from approvals import offline_verifier

LINE = {"seq": 1, "prev": "00" * 32, "hash": "00" * 32}


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfe\n",
        b"[" * 100_000,
        json.dumps(LINE | {"body": '{"seq": 1}\ud800'}).encode(),
        json.dumps(LINE | {"body": ["seq"]}).encode(),
        json.dumps(LINE | {"body": "[]"}).encode(),
        b"5\n",
        b"",
    ],
)
def test_a_file_that_is_no_export_is_not_good(
    tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(data)
    assert offline_verifier.main(str(file)) == 1
    assert capsys.readouterr().out.startswith("NOT GOOD: ")
