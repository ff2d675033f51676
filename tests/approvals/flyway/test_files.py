"""A directory is read as Flyway reads it, and every bad file is told without stopping the good ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from approvals.flyway.checksums import checksum
from approvals.flyway.files import Directory, FileProblem, read_directory
from approvals.flyway.names import Kind

GOOD = b"select 1;\n"


def directory(root: Path, files: dict[str, bytes]) -> Directory:
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return read_directory(root)


def paths(found: Directory) -> list[str]:
    return [file.path for file in found.files]


def only_problem(found: Directory) -> FileProblem:
    (problem,) = found.problems
    return problem


# Files, what is reported as (path, line, column, code, severity), and the files that are good.
CASES: dict[str, tuple[dict[str, bytes], list[tuple[str, int | None, int | None, str, str]], list[str]]] = {
    "good files": ({"V1__a.sql": GOOD, "U1__a.sql": GOOD}, [], ["V1__a.sql", "U1__a.sql"]),
    "two files of one version": (
        {"V1__a.sql": GOOD, "sub/V1.0__b.sql": GOOD, "V2__c.sql": GOOD},
        [
            ("V1__a.sql", None, None, "duplicate-version", "error"),
            ("sub/V1.0__b.sql", None, None, "duplicate-version", "error"),
        ],
        ["V2__c.sql"],
    ),
    "two undo files of one version": (
        {"V1__a.sql": GOOD, "U1__a.sql": GOOD, "U01__b.sql": GOOD},
        [
            ("U01__b.sql", None, None, "duplicate-version", "error"),
            ("U1__a.sql", None, None, "duplicate-version", "error"),
        ],
        ["V1__a.sql"],
    ),
    "a migration, its undo and a baseline of one version": (
        {"V1__a.sql": GOOD, "U1__a.sql": GOOD, "B1__a.sql": GOOD},
        [],
        ["V1__a.sql", "U1__a.sql", "B1__a.sql"],
    ),
    "two repeatable migrations of one description": (
        {"R__my_view.sql": GOOD, "sub/R__my_view.SQL": GOOD, "R__other.sql": GOOD},
        [
            ("R__my_view.sql", None, None, "duplicate-description", "error"),
            ("sub/R__my_view.SQL", None, None, "duplicate-description", "error"),
        ],
        ["R__other.sql"],
    ),
    "callbacks of different events": (
        {"afterMigrate__x.sql": GOOD, "beforeMigrate__x.sql": GOOD},
        [],
        ["afterMigrate__x.sql", "beforeMigrate__x.sql"],
    ),
    "one callback twice": (
        {"afterMigrate.sql": GOOD, "sub/afterMigrate__.sql": GOOD},
        [
            ("afterMigrate.sql", None, None, "duplicate-description", "error"),
            ("sub/afterMigrate__.sql", None, None, "duplicate-description", "error"),
        ],
        [],
    ),
    "malformed names": (
        {"R999__Rollback.sql": GOOD, "init.sql": GOOD, "V1__a.sql": GOOD},
        [
            ("R999__Rollback.sql", None, None, "malformed-name", "error"),
            ("init.sql", None, None, "malformed-name", "error"),
        ],
        ["V1__a.sql"],
    ),
    "a rollback named as a repeatable migration": (
        {"R__Rollback_V006.sql": GOOD, "R__views.sql": GOOD},
        [("R__Rollback_V006.sql", None, None, "rollback-as-repeatable", "error")],
        ["R__views.sql"],
    ),
    "a byte-order mark": (
        {"V1__a.sql": b"\xef\xbb\xbf" + GOOD},
        [("V1__a.sql", 1, 1, "bom", "warning")],
        ["V1__a.sql"],
    ),
    "Latin-1": (
        {"V1__a.sql": b"select 1;\r\n-- caf\xe9\r\n", "V2__b.sql": GOOD},
        [("V1__a.sql", 2, 7, "encoding", "error")],
        ["V2__b.sql"],
    ),
    "a NUL byte": (
        {"V1__a.sql": b"select 1;\nselect '\0';", "V2__b.sql": GOOD},
        [("V1__a.sql", 2, 9, "nul-byte", "error")],
        ["V2__b.sql"],
    ),
    "an empty migration, which Flyway runs": (
        {"V1__a.sql": b"", "V2__b.sql": b" \r\n\t"},
        [("V1__a.sql", None, None, "empty", "warning"), ("V2__b.sql", None, None, "empty", "warning")],
        ["V1__a.sql", "V2__b.sql"],
    ),
    "an empty undo, which undoes nothing": (
        {"V1__a.sql": GOOD, "U1__a.sql": b"\xef\xbb\xbf\n"},
        [("U1__a.sql", None, None, "empty", "error"), ("U1__a.sql", 1, 1, "bom", "warning")],
        ["V1__a.sql"],
    ),
    "an undo without its migration": (
        {"U1__a.sql": GOOD, "V2__b.sql": GOOD},
        [("U1__a.sql", None, None, "undo-without-migration", "warning")],
        ["V2__b.sql", "U1__a.sql"],
    ),
    "an undo whose migration cannot be read": (
        {"U1__a.sql": GOOD, "V1__a.sql": b"\xff"},
        [("V1__a.sql", 1, 1, "encoding", "error")],
        ["U1__a.sql"],
    ),
    "what is not SQL": (
        {
            "V1__a.sql": GOOD,
            "V1__a.sql.conf": b"executeInTransaction=false",
            "V2__b.java": GOOD,
            "README.md": b"\xff",
            ".hid/V3__c.sql": GOOD,
        },
        [],
        ["V1__a.sql"],
    ),
    "nothing at all": ({}, [], []),
}


@pytest.mark.parametrize(("files", "problems", "good"), CASES.values(), ids=CASES.keys())
def test_a_directory_is_read_and_its_problems_are_told(
    tmp_path: Path,
    files: dict[str, bytes],
    problems: list[tuple[str, int | None, int | None, str, str]],
    good: list[str],
) -> None:
    found = directory(tmp_path, files)
    told = [(one.path, one.line, one.column, one.code, one.severity) for one in found.problems]
    assert sorted(told, key=str) == sorted(problems, key=str)
    assert paths(found) == good


def test_a_file_holds_its_bytes_its_text_and_its_checksum(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbfselect 'caf\xc3\xa9';\r\n"
    (file,) = directory(tmp_path, {"deep/er/V1_2__Add_it.sql": data}).files
    assert file.path == "deep/er/V1_2__Add_it.sql"
    assert (file.name.kind, file.name.description, file.name.script) == (
        Kind.VERSIONED,
        "Add it",
        "V1_2__Add_it.sql",
    )
    assert (file.data, file.sql, file.had_bom) == (data, "select 'café';\r\n", True)
    assert file.checksum == checksum(data)


def test_files_come_by_kind_and_then_as_flyway_orders_them(tmp_path: Path) -> None:
    wanted = [
        "V2__b.sql",
        "V10__a.sql",
        "V2025.11.22.001__z.sql",
        "U2__b.sql",
        "U10__a.sql",
        "R__a.sql",
        "R__b.sql",
        "B1__a.sql",
        "afterMigrate.sql",
    ]
    assert paths(directory(tmp_path, dict.fromkeys(sorted(wanted), GOOD))) == wanted


def test_every_one_of_the_clashing_files_is_named_in_the_message(tmp_path: Path) -> None:
    found = directory(tmp_path, {"V1__a.sql": GOOD, "x/V01__b.sql": GOOD, "y/V1.0__c.sql": GOOD})
    for problem in found.problems:
        assert "V1__a.sql and x/V01__b.sql and y/V1.0__c.sql carry one version" in problem.message


def test_the_summary_counts_files_by_what_is_wrong(tmp_path: Path) -> None:
    found = directory(
        tmp_path,
        {
            "V1__a.sql": b"\xef\xbb\xbf" + GOOD,
            "V01__b.sql": GOOD,
            "x.sql": GOOD,
            "V2__c.sql": b"\xef\xbb\xbf--\0",
        },
    )
    assert found.summary() == {"bom": 2, "duplicate-version": 2, "malformed-name": 1, "nul-byte": 1}


def test_a_damaged_encoding_is_guessed(tmp_path: Path) -> None:
    problem = only_problem(directory(tmp_path, {"V1__a.sql": b"-- caf\xe9"}))
    assert "looks like Latin-1" in problem.message


def test_a_file_that_cannot_be_opened_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / "V1__gone.sql").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "V2__pipe.sql")
    found = directory(tmp_path, {"V3__good.sql": GOOD})
    assert [(one.path, one.code) for one in found.problems] == [
        ("V1__gone.sql", "unreadable"),
        ("V2__pipe.sql", "unreadable"),
    ]
    assert "No such file" in found.problems[0].message
    assert "not a regular file" in found.problems[1].message
    assert paths(found) == ["V3__good.sql"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every folder")
def test_a_folder_that_cannot_be_opened_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0)
    found = directory(tmp_path, {"V1__good.sql": GOOD})
    assert (only_problem(found).path, only_problem(found).code) == ("locked", "unreadable")
    assert paths(found) == ["V1__good.sql"]


def test_links_to_folders_are_followed_but_never_in_a_circle(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "V2__b.sql").write_bytes(GOOD)
    root = tmp_path / "root"
    found_before = directory(root, {"sub/V1__a.sql": GOOD})
    (root / "sub" / "up").symlink_to(root)
    (root / "linked").symlink_to(elsewhere)
    assert paths(found_before) == ["sub/V1__a.sql"]
    assert paths(read_directory(root)) == ["sub/V1__a.sql", "linked/V2__b.sql"]


def test_a_path_that_is_not_unicode_is_told_readably(tmp_path: Path) -> None:
    for name in (b"V1__caf\xe9.sql", b"folder\xff"):
        path = os.path.join(os.fsencode(tmp_path), name)
        if name.endswith(b"sql"):
            with open(path, "wb") as file:
                file.write(GOOD)
        else:
            os.mkdir(path)
            with open(os.path.join(path, b"V2__b.sql"), "wb") as file:
                file.write(GOOD)
    found = read_directory(tmp_path)
    assert found.files == ()
    assert [one.code for one in found.problems] == ["malformed-name", "malformed-name"]
    for problem in found.problems:
        assert (problem.path + problem.message).encode("utf-8")
        assert "\\udc" in problem.message


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(NotADirectoryError, match="is not a directory"):
            read_directory(path)
