"""The history is understood as Flyway understands it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.flyway import history
from approvals.flyway.history import CorruptHistory, HistoryRow, State
from approvals.flyway.names import FileName, parse_name
from approvals.flyway.versions import Version

SUM = 42


@dataclass(frozen=True)
class File:
    path: str
    name: FileName
    checksum: int


def file(path: str, checksum: int = SUM) -> File:
    return File(path, parse_name(path), checksum)


def row(rank: int, text: str) -> HistoryRow:
    """A row from a few words: [version or -] [type, default SQL] [! if failed] [= and the checksum]."""
    version, *words = text.split()
    kind = next((word for word in words if word.isupper()), "SQL")
    checksum = next((int(word[1:]) for word in words if word.startswith("=")), SUM)
    return HistoryRow(
        installed_rank=rank,
        version=None if version == "-" else version,
        description="views" if version == "-" else "x",
        type=kind,
        script=f"V{version}__x.sql",
        checksum=None if kind in history.SYNTHETIC and kind != "DELETE" else checksum,
        installed_by="flyway",
        installed_on=datetime(2025, 11, 22, 12, 0),  # noqa: DTZ001 - stored without a zone
        execution_time=12,
        success="!" not in words,
    )


def rows(*texts: str) -> list[HistoryRow]:
    return [row(rank, text) for rank, text in enumerate(texts, start=1)]


def v(*texts: str) -> list[Version]:
    return [Version.parse(text) for text in texts]


# Rows, and the ranks of the versions that stand applied.
APPLIED: dict[str, tuple[list[str], dict[str, int]]] = {
    "nothing": ([], {}),
    "plain": (["1", "2"], {"1": 1, "2": 2}),
    "equal versions written differently": (["001 !", "1.0"], {"1": 2}),
    "failed": (["1", "2 !"], {"1": 1}),
    "schema and baseline ran nothing": (["- SCHEMA", "1 BASELINE", "2"], {"2": 3}),
    "a baseline file ran": (["3 SQL_BASELINE"], {"3": 1}),
    "repeatable": (["1", "-"], {"1": 1}),
    "deleted": (["1", "2", "02.0 DELETE"], {"1": 1}),
    "a failed DELETE row deletes nothing": (["1", "1 DELETE !"], {"1": 1}),
    "deleted and applied again": (["1", "1 DELETE", "1"], {"1": 3}),
    "deleted, applied and deleted again": (["1", "1 DELETE", "1", "1 DELETE"], {}),
    "DELETE of what never was": (["1", "2 DELETE"], {"1": 1}),
    "DELETE does not touch a baseline": (["1 BASELINE", "1", "1 DELETE"], {}),
    "DELETE looks past a baseline": (["1", "1 BASELINE", "1 DELETE"], {}),
    "undone": (["1", "2", "2 UNDO_SQL"], {"1": 1}),
    "undone and applied again": (["1", "1 UNDO_SQL", "1"], {"1": 3}),
    "a failed undo undoes nothing": (["1", "1 UNDO_SQL !"], {"1": 1}),
    "applied twice": (["1", "1"], {"1": 2}),
    "applied twice, the later deleted": (["1", "1", "1 DELETE"], {"1": 1}),
}


@pytest.mark.parametrize(("texts", "expected"), APPLIED.values(), ids=APPLIED.keys())
def test_what_is_applied_and_stands(texts: list[str], expected: dict[str, int]) -> None:
    found = history.applied(rows(*texts))
    assert {version: row.installed_rank for version, row in found.items()} == {
        Version.parse(text): rank for text, rank in expected.items()
    }


def test_the_order_of_reading_does_not_matter() -> None:
    written = rows("1", "1 DELETE", "1", "2")
    assert history.applied(reversed(written)) == history.applied(written)


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (
            ["1", "1 DELETE", "1.0 DELETE"],
            "row 3 deletes version 1.0, whose latest row .1. is deleted already",
        ),
        (["1", "abc"], "history row 2: 'abc' is not a version"),
    ],
)
def test_a_history_that_contradicts_itself_is_refused(texts: list[str], says: str) -> None:
    for ask in (
        history.applied,
        history.duplicates,
        history.deleted,
        lambda found: history.overview([], found),
    ):
        with pytest.raises(CorruptHistory, match=says):
            ask(rows(*texts))


# Rows, requested versions, what is newer, what was installed later out of order.
IN_THE_WAY: list[tuple[list[str], list[str], list[str], list[str]]] = [
    (["1", "2", "3"], ["3"], [], []),
    (["1", "2", "3"], ["2"], ["3"], []),
    (["1", "2", "3"], ["1"], ["3", "2"], []),
    (["1", "2", "3"], ["1", "3"], ["2"], []),
    (["1", "2", "3"], ["01.0", "2", "3"], [], []),
    (["1", "2", "3", "3 DELETE"], ["2"], [], []),
    (["1", "2", "3", "3 UNDO_SQL"], ["2"], [], []),
    (["1", "2", "3 !"], ["2"], ["3"], []),
    (["1", "2 BASELINE"], ["1"], ["2"], []),
    (["2", "10"], ["2"], ["10"], []),
    (["1", "3", "2"], ["3"], [], ["2"]),
    (["1", "3", "2"], ["3", "2"], [], []),
    (["3", "1", "2"], ["3"], [], ["2", "1"]),
    (["1", "3", "2", "2 DELETE"], ["3"], [], []),
    (["1"], ["7"], [], []),
]


@pytest.mark.parametrize(("texts", "requested", "newer", "later"), IN_THE_WAY)
def test_what_stands_in_the_way_of_a_rollback(
    texts: list[str], requested: list[str], newer: list[str], later: list[str]
) -> None:
    assert history.newer_applied_above(rows(*texts), v(*requested)) == v(*newer)
    assert history.installed_after(rows(*texts), v(*requested)) == v(*later)


def test_a_rollback_of_nothing_has_no_lowest_version() -> None:
    for ask in (history.newer_applied_above, history.installed_after):
        with pytest.raises(ValueError, match="empty"):
            ask(rows("1"), [])


def test_versions_applied_twice_are_named_with_their_rows() -> None:
    written = rows("1", "2", "01", "2 DELETE", "2")
    found = history.duplicates(written)
    assert found == {Version.parse("1"): [written[0], written[2]]}


def test_deleted_failed_and_unreadable_rows_are_named() -> None:
    written = rows("1", "2 !", "1 DELETE", "3", "3 UNDO_SQL", "-", "- DELETE")
    assert [one.installed_rank for one in history.deleted(written)] == [1, 6]
    assert [one.installed_rank for one in history.failed(written)] == [2]
    assert [one.installed_rank for one in history.unreadable(written)] == [5]


def test_the_next_rank_follows_the_last() -> None:
    assert history.next_rank([]) == 1
    assert history.next_rank([row(0, "- SCHEMA")]) == 1
    assert history.next_rank([row(7, "1"), row(3, "2")]) == 8


# Files, rows, and the lines of the overview as (version or description, state, rank).
OVERVIEWS: dict[str, tuple[list[str], list[str], list[tuple[str, State, int | None]]]] = {
    "untouched database": (
        ["V2__x.sql", "V10__x.sql", "R__views.sql"],
        [],
        [("2", State.PENDING, None), ("10", State.PENDING, None), ("views", State.PENDING, None)],
    ),
    "applied and pending": (
        ["V1__x.sql", "V2__x.sql"],
        ["1"],
        [("1", State.APPLIED, 1), ("2", State.PENDING, None)],
    ),
    "row deleted, file kept, highest version: it comes back": (
        ["V1__x.sql", "V2__x.sql"],
        ["1", "2", "2 DELETE"],
        [("1", State.APPLIED, 1), ("2", State.DELETED, 2), ("2", State.PENDING, None)],
    ),
    "row deleted, file kept, a newer one applied: ignored, and validate fails": (
        ["V1__x.sql", "V2__x.sql"],
        ["2"],
        [("2", State.APPLIED, 1), ("1", State.IGNORED, None)],
    ),
    "file removed, row kept, newer files: missing": (
        ["V2__x.sql"],
        ["1", "2"],
        [("1", State.MISSING, 1), ("2", State.APPLIED, 2)],
    ),
    "file removed, row kept, newest version: future": (
        ["V1__x.sql"],
        ["1", "2"],
        [("1", State.APPLIED, 1), ("2", State.FUTURE, 2)],
    ),
    "file removed and deleted row": (
        ["V1__x.sql"],
        ["1", "2", "2 DELETE"],
        [("1", State.APPLIED, 1), ("2", State.DELETED, 2)],
    ),
    "failed, and counted as the highest all the same": (
        ["V1__x.sql", "V3__x.sql"],
        ["1 !", "2 !", "4 !"],
        [
            ("1", State.FAILED, 1),
            ("2", State.MISSING_FAILED, 2),
            ("4", State.FUTURE_FAILED, 3),
            ("3", State.IGNORED, None),
        ],
    ),
    "out of order": (
        ["V1__x.sql", "V2__x.sql"],
        ["2", "1"],
        [("2", State.APPLIED, 1), ("1", State.OUT_OF_ORDER, 2)],
    ),
    "baseline": (
        ["V1__x.sql", "V2__x.sql", "V3__x.sql"],
        ["- SCHEMA", "2 BASELINE"],
        [
            ("1", State.BELOW_BASELINE, None),
            ("2", State.BASELINE_IGNORED, None),
            ("views", State.APPLIED, 1),
            ("2", State.BASELINE, 2),
            ("3", State.PENDING, None),
        ],
    ),
    "baseline file on an untouched database": (
        ["V1__x.sql", "V2__x.sql", "B2__x.sql", "V3__x.sql"],
        [],
        [
            ("1", State.BELOW_BASELINE, None),
            ("2", State.BASELINE_IGNORED, None),
            ("2", State.PENDING, None),
            ("3", State.PENDING, None),
        ],
    ),
    "baseline file that comes too late": (
        ["V1__x.sql", "B2__x.sql"],
        ["1"],
        [("1", State.APPLIED, 1), ("2", State.IGNORED, None)],
    ),
    "baseline file applied": (
        ["B2__x.sql"],
        ["2 SQL_BASELINE"],
        [("2", State.BASELINE, 1)],
    ),
    "repeatable, run again, changed": (
        ["R__views.sql"],
        ["- =1", "- =2"],
        [("views", State.SUPERSEDED, 1), ("views", State.OUTDATED, 2), ("views", State.PENDING, None)],
    ),
    "applied twice": (["V1__x.sql"], ["1", "1"], [("1", State.APPLIED, 1), ("1", State.OUT_OF_ORDER, 2)]),
    "a deleted version is no longer the highest": (
        ["V1__x.sql", "V2__x.sql"],
        ["1", "3", "3 DELETE"],
        [("1", State.APPLIED, 1), ("3", State.DELETED, 2), ("2", State.PENDING, None)],
    ),
    "repeatable, run again, file removed": (
        [],
        ["-", "-"],
        [("views", State.SUPERSEDED, 1), ("views", State.MISSING, 2)],
    ),
    "repeatable, current": (["R__views.sql"], ["-"], [("views", State.APPLIED, 1)]),
    "repeatable, file removed": ([], ["-"], [("views", State.MISSING, 1)]),
    "repeatable, failed": (
        ["R__views.sql"],
        ["- !"],
        [("views", State.FAILED, 1)],
    ),
    "repeatable, failed, and changed since": (
        ["R__views.sql"],
        ["- ! =1"],
        [("views", State.FAILED, 1), ("views", State.PENDING, None)],
    ),
    "a DELETE row that failed is a line of its own": (
        ["V1__x.sql"],
        ["1", "1 DELETE !"],
        [("1", State.APPLIED, 1), ("1", State.APPLIED, 2)],
    ),
    "repeatable, deleted": (
        ["R__views.sql"],
        ["-", "- DELETE"],
        [("views", State.DELETED, 1), ("views", State.APPLIED, 2), ("views", State.PENDING, None)],
    ),
    "written in Java, so no file is to be expected": ([], ["1 JDBC"], [("1", State.APPLIED, 1)]),
    "undone": (
        ["V1__x.sql", "U1__x.sql"],
        ["1", "1 UNDO_SQL"],
        [("1", State.UNDONE, 1), ("1", State.PENDING, None)],
    ),
    "undo files and callbacks are no migrations": (["U1__x.sql", "afterMigrate.sql"], [], []),
}


@pytest.mark.parametrize(("files", "texts", "expected"), OVERVIEWS.values(), ids=OVERVIEWS.keys())
def test_the_overview_shows_what_flyway_shows(
    files: list[str], texts: list[str], expected: list[tuple[str, State, int | None]]
) -> None:
    lines = history.overview([file(path) for path in files], rows(*texts))
    assert [
        (line.version.text if line.version else line.description, line.state, line.rank) for line in lines
    ] == expected
    assert not any(line.drift for line in lines)


def test_out_of_order_makes_an_older_file_pending_again() -> None:
    files = [file("V1__x.sql"), file("V2__x.sql")]
    for setting, state in ((False, State.IGNORED), (True, State.PENDING)):
        assert history.overview(files, rows("2"), out_of_order=setting)[1].state is state


def test_drift_is_a_changed_file_of_a_migration_that_stands() -> None:
    files = [file("V1__x.sql"), file("V2__x.sql", 7), file("V3__x.sql", 7), file("R__views.sql", 7)]
    lines = history.overview(files, rows("1", "2", "3", "3 DELETE", "-"))
    assert [(line.version, line.rank) for line in lines if line.drift] == [(Version.parse("2"), 2)]


def test_a_line_holds_its_row_and_its_file() -> None:
    written, known = rows("1"), [file("V1__x.sql"), file("V2__Add_it.sql")]
    first, second = history.overview(known, written)
    assert (first.row, first.file, first.description, first.script) == (
        written[0],
        known[0],
        "x",
        "V1__x.sql",
    )
    assert (second.row, second.file, second.description, second.script) == (
        None,
        known[1],
        "Add it",
        "V2__Add_it.sql",
    )


texts = st.lists(
    st.builds(
        "{} {} {}".format,
        st.sampled_from(["1", "01.0", "2", "3", "-"]),
        st.sampled_from(
            ["SQL", "SQL", "SQL", "DELETE", "UNDO_SQL", "BASELINE", "SQL_BASELINE", "JDBC", "WHAT"]
        ),
        st.sampled_from(["", "", "!"]),
    ),
    max_size=10,
)
names = st.sets(st.sampled_from(["V1__x.sql", "V2__x.sql", "V4__x.sql", "B2__x.sql", "R__views.sql"]))


@given(texts, names)
def test_any_history_is_understood_or_corrupt(texts: list[str], names: set[str]) -> None:
    written = rows(*texts)
    try:
        lines = history.overview([file(name) for name in names], written)
    except CorruptHistory:
        return
    shown = [line.rank for line in lines if line.rank is not None]
    kept = [
        one.installed_rank
        for one in written
        if one.type != "UNDO_SQL" and not (one.type == "DELETE" and one.success and one.version)
    ]
    assert shown == kept
    stands = set(history.applied(written))
    assert stands == {
        line.version
        for line in lines
        if line.version
        and line.row
        and line.row.success
        and line.row.type not in ("BASELINE", "DELETE")
        and line.state not in (State.DELETED, State.UNDONE)
    }
    for version in stands:
        assert not set(history.newer_applied_above(written, [version])) & {version}
