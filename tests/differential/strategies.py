"""Directories, histories and settings at the edge of what Flyway understands, for Hypothesis."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from approvals.flyway.checksums import EncodingProblem, checksum
from approvals.flyway.history import HistoryRow
from approvals.flyway.names import MalformedName, parse_name
from tests.differential.cases import row

VERSIONS = ["1", "1.0", "01", "1_1", "1.1.0", "2", "02", "2.5", "10", "9.10", "9.9", "3_0_1"]
VERSIONS += ["2025.11.22.001", "20251122", "99999999999999999999", "0", "0.0", "1..1", "1.a", "", "3-1", "1."]
DESCRIPTIONS = [
    "a",
    "b_c",
    "Add_it",
    "with.dots",
    "two__parts",
    "ä_ö",
    "x" * 190,
    "y" * 210,
    "",
    "_",
    "1",
    "𝄞",
    "豈",
]
PREFIXES = (
    ["V"] * 8 + ["R"] * 3 + ["B", "U", "v", "VV", "afterMigrate", "beforeValidate", "afterMigrateError", "X"]
)
SUFFIXES = [".sql"] * 8 + [".SQL", ".Sql", ".sql.bak", ".txt", ".ddl"]
FOLDERS = [""] * 5 + ["sub/", "deep/er/", ".hidden/", "2024/"]
ENDS = ["\n", "\r\n", "\r", "\n\n", "\r\r\n"]
PIECES = [
    "select 1;",
    "-- a",
    "--",
    "",
    "-- caf\u00e9",
    "-- \u2028 x",
    "-- \x85\x0b\x0c\x1c",
    "-- 𝄞 \ufeff",
    "/* b\n*/",
]
MARKS = [b""] * 6 + [b"\xef\xbb\xbf", b"\xef\xbb\xbf\xef\xbb\xbf"]
TYPES = ["SQL"] * 12 + ["DELETE", "DELETE", "BASELINE", "SQL_BASELINE", "SCHEMA", "UNDO_SQL"]


@dataclass(frozen=True)
class Layout:
    """One case: files by path, the history (None: no table), and the settings that differ."""

    files: dict[str, bytes]
    rows: list[HistoryRow] | None
    settings: dict[str, str]


@st.composite
def contents(draw: st.DrawFn, encodings: tuple[str, ...] = ("utf-8",)) -> bytes:
    lines = draw(st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(ENDS)), max_size=5))
    text = "".join(piece + end for piece, end in lines)
    if draw(st.booleans()):
        text = text.rstrip("\r\n")
    encoding = draw(st.sampled_from(encodings))
    return draw(st.sampled_from(MARKS)) + text.encode(encoding, "replace")


@st.composite
def names(draw: st.DrawFn) -> str:
    prefix = draw(st.sampled_from(PREFIXES))
    version = draw(st.sampled_from(VERSIONS)) if prefix in "VBUvVVX" or draw(st.integers(0, 9)) == 0 else ""
    separator = draw(st.sampled_from(["__"] * 9 + ["_"]))
    parts = (prefix, version, separator, draw(st.sampled_from(DESCRIPTIONS)), draw(st.sampled_from(SUFFIXES)))
    return draw(st.sampled_from(FOLDERS)) + "".join(parts)


def _key(path: str) -> object:
    """What two files must not share, or nearly every directory would be refused for its duplicates."""
    try:
        name = parse_name(path.rpartition("/")[2])
    except MalformedName:
        return path
    return name.kind, name.version or (name.event, name.description)


@st.composite
def directories(draw: st.DrawFn) -> dict[str, bytes]:
    clashing = draw(st.integers(0, 9)) == 0
    by = (lambda path: path) if clashing else _key
    paths = draw(st.lists(names(), max_size=9, unique_by=by))
    odd = draw(st.integers(0, 9)) == 0
    encodings = ("utf-8", "latin-1") if odd else ("utf-8",)
    # Callbacks really run, at every command, so theirs must be good SQL in every encoding.
    return {
        path: b"select 1;" if "Mi" in path or "Va" in path else draw(contents(encodings)) for path in paths
    }


@st.composite
def histories(draw: st.DrawFn, files: dict[str, bytes]) -> list[HistoryRow] | None:
    """Rows of these files, of others, and rows that speak of other rows."""
    if draw(st.integers(0, 7)) == 0:
        return None
    known = [(path, data) for path, data in files.items() if _sum(data) is not None and _is_migration(path)]
    rows: list[HistoryRow] = []
    for rank in range(1, draw(st.integers(0, 7)) + 1):
        if known and draw(st.integers(0, 3)):
            rows.append(_row_of(draw, rank, *draw(st.sampled_from(known))))
        elif rows and draw(st.booleans()):
            earlier = draw(st.sampled_from(rows))
            success = draw(st.integers(0, 5)) > 0
            rows.append(earlier._replace(installed_rank=rank, type="DELETE", success=success))
        else:
            rows.append(_other_row(draw, rank))
    return rows


def _row_of(draw: st.DrawFn, rank: int, path: str, data: bytes) -> HistoryRow:
    name = parse_name(path.rpartition("/")[2])
    right = draw(st.integers(0, 7)) > 0
    description = name.description if len(name.description) <= 200 else name.description[:197] + "..."
    return row(
        rank,
        name.version.text if name.version else None,
        description if draw(st.integers(0, 9)) else "other",
        name.type or "SQL",
        script=path,
        checksum=_sum(data) if right else draw(st.sampled_from([7, None])),
        success=draw(st.integers(0, 9)) > 0,
    )


def _other_row(draw: st.DrawFn, rank: int) -> HistoryRow:
    type_ = draw(st.sampled_from(TYPES))
    version = draw(st.sampled_from(["1", "1.1", "2", "02.0", "5", "11", "1.x"] + [None] * 2))
    if type_ == "SCHEMA":
        version = None
    elif type_ != "SQL":
        version = version or "4"
    checksum_ = None if type_ in ("SCHEMA", "BASELINE") else draw(st.sampled_from([1, None]))
    return row(rank, version, draw(st.sampled_from(["a", "b c"])), type_, script="s.sql", checksum=checksum_)


def _is_migration(path: str) -> bool:
    try:
        return parse_name(path.rpartition("/")[2]).type is not None
    except MalformedName:
        return False


def _sum(data: bytes) -> int | None:
    try:
        return checksum(data)
    except EncodingProblem:
        return None


PATTERNS = ["*:future"] * 3 + ["*:missing", "*:ignored", "versioned:missing,repeatable:missing", "*:*"]
PATTERNS += ["repeatable:*", "versioned:pending", " *:Future , VERSIONED:ignored"]

settings = st.fixed_dictionaries(
    {},
    optional={
        "flyway.outOfOrder": st.sampled_from(["true", "false"]),
        "flyway.ignoreMigrationPatterns": st.sampled_from(PATTERNS),
        "flyway.validateOnMigrate": st.sampled_from(["true", "true", "false"]),
        "flyway.validateMigrationNaming": st.sampled_from(["false"] * 9 + ["true"]),
        "flyway.encoding": st.sampled_from(["UTF-8"] * 3 + ["ISO-8859-1", "windows-1252"]),
        "flyway.sqlMigrationSuffixes": st.sampled_from([".sql"] * 4 + [".sql,.ddl", ".SQL"]),
    },
)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    files = draw(directories())
    return Layout(files, draw(histories(files)), draw(settings))
