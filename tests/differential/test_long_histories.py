"""A history of years: thousands of rows of every sort, and the real Flyway says of them what we say."""

from __future__ import annotations

import pytest

from approvals.flyway.checksums import checksum
from approvals.flyway.history import HistoryRow
from tests.differential.cases import Ground, must_agree, row

pytestmark = pytest.mark.integration

ROWS = 5_000
TEXT = b"select 1;\n"


def long_history(*, failed: bool) -> tuple[dict[str, bytes], list[HistoryRow]]:
    """Files, and a history in which each sort of row is now and then: a baseline at its beginning, versions
    out of order, files changed or gone since, repeatable ones run again and again, rows deleted and applied
    once more, and at its end one that failed."""
    files: dict[str, bytes] = {f"R__view_{number}.sql": TEXT for number in range(5)}
    rows = [row(1, "10", "<< Flyway Baseline >>", "BASELINE")._replace(checksum=None)]
    number = 0
    while len(rows) < ROWS:
        number += 1
        rank = len(rows) + 1
        if number % 50 == 0:
            view = number // 50 % 7  # the last two have no file
            again = row(rank, None, f"view {view}", script=f"R__view_{view}.sql", checksum=checksum(TEXT))
            rows.append(again)
            continue
        version = str(number - 15 if number % 40 == 0 else number) + (".5" if number % 40 == 0 else "")
        applied = row(
            rank, version, f"x{number}", script=f"V{version}__x{number}.sql", checksum=checksum(TEXT)
        )
        rows.append(applied)
        if number % 9:
            files[applied.script] = b"select 2;\n" if number % 400 == 1 else TEXT
        if number % 60 == 0:
            rows.append(applied._replace(installed_rank=rank + 1, type="DELETE"))
            if number % 120 == 0:
                rows.append(applied._replace(installed_rank=rank + 2))
    if failed:
        rows.append(row(len(rows) + 1, "99999", "fails")._replace(success=False))
    files["V100000__next.sql"] = TEXT
    return files, rows


@pytest.mark.parametrize("failed", [False, True], ids=["all went well", "the last one failed"])
def test_thousands_of_rows(ground: Ground, failed: bool) -> None:
    files, rows = long_history(failed=failed)
    settings = {"flyway.outOfOrder": "true" if failed else "false"}
    with ground.case(files, settings) as case:
        case.write_history(rows)
        assert len(case.history()) >= ROWS
        states = {line.state for line in case.foreseen().lines}
        assert len(states) >= 6, states
        assert must_agree(case) == "migrate refused"
