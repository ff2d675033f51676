"""Flyway's grammar of file names: what kind of file a name stands for, its version and its description."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from approvals.flyway.versions import MalformedVersion, Version

SEPARATOR = "__"
SUFFIX = ".sql"


class Kind(StrEnum):
    """What Flyway does with a file; for all but callbacks the value is the prefix of the name."""

    VERSIONED = "V"
    UNDO = "U"
    REPEATABLE = "R"
    BASELINE = "B"
    CALLBACK = "callback"


VERSIONED_KINDS = frozenset({Kind.VERSIONED, Kind.UNDO, Kind.BASELINE})

CALLBACKS = (
    "beforeClean", "afterClean", "afterCleanError", "beforeMigrate", "beforeEachMigrate",
    "beforeEachMigrateStatement", "afterEachMigrateStatement", "afterEachMigrateStatementError",
    "afterEachMigrate", "afterEachMigrateError", "beforeRepeatables", "afterVersioned",
    "afterMigrateApplied", "afterMigrate", "afterMigrateError", "beforeUndo", "beforeEachUndo",
    "beforeEachUndoStatement", "afterEachUndoStatement", "afterEachUndoStatementError", "afterEachUndo",
    "afterEachUndoError", "afterUndo", "afterUndoError", "beforeValidate", "afterValidate",
    "afterValidateError", "beforeBaseline", "afterBaseline", "afterBaselineError", "beforeRepair",
    "afterRepair", "afterRepairError", "beforeInfo", "afterInfo", "afterInfoError",
    "afterMigrateOperationFinish", "afterInfoOperationFinish", "createSchema", "beforeCreateSchema",
    "beforeConnect", "afterConnect",
)  # fmt: skip
"""The events that a file can be named after (Flyway 13, `Event`)."""

# Longest first, so that afterMigrateError__x.sql is not read as afterMigrate with something in its way.
_PREFIXES: tuple[tuple[str, Kind], ...] = tuple(
    sorted(
        [(kind.value, kind) for kind in Kind if kind is not Kind.CALLBACK]
        + [(event, Kind.CALLBACK) for event in CALLBACKS],
        key=lambda pair: -len(pair[0]),
    )
)

# "Rollback V006", "RollbackV006" and "V006 rollback", but neither "Rollbacks per day" nor "Undocumented".
_ROLLBACK = re.compile(
    r"(?:V?[0-9][0-9. ]*)?(?i:roll(?:ing|s|ed)?[ -]?back|undo(?:es|ing)?|revert(?:s|ing)?)(?![a-z])"
)


class MalformedName(ValueError):
    """Flyway would skip a file of this name (or refuse it with validateMigrationNaming); says what to do."""


@dataclass(frozen=True, slots=True)
class FileName:
    """A name that Flyway understands.

    `version` is None for R and callbacks. The description has its underscores as spaces and is empty for
    `V002.sql`, which is legal. `script` is the file name as given.
    """

    kind: Kind
    version: Version | None
    description: str
    script: str

    @property
    def event(self) -> str | None:
        """The event that a callback is run at."""
        return re.split(r"[_.]", self.script, maxsplit=1)[0] if self.kind is Kind.CALLBACK else None

    @property
    def looks_like_rollback(self) -> bool:
        """A repeatable migration that by its description is meant to take something back.

        Flyway knows no such thing: it runs every R file on the next migrate.
        """
        return self.kind is Kind.REPEATABLE and _ROLLBACK.match(self.description.strip()) is not None


def is_sql(filename: str) -> bool:
    """Whether Flyway looks at the file at all: the suffix counts in any case, the prefix does not."""
    return filename.upper().endswith(SUFFIX.upper())


def parse_name(filename: str) -> FileName:
    """Read a file name (without folder) by Flyway's rules. Raises MalformedName."""
    if not filename.isprintable():
        raise MalformedName(f"the name {filename!r} holds characters that cannot be shown: rename the file")
    if not is_sql(filename):
        raise MalformedName(f"{filename} does not end in {SUFFIX}: Flyway does not look at it")
    stem, suffix = filename[: -len(SUFFIX)], filename[-len(SUFFIX) :]
    prefix, kind = _prefix(filename, stem)
    before, _, after = stem[len(prefix) :].partition(SEPARATOR)
    description = after.replace("_", " ")
    if kind in VERSIONED_KINDS:
        return FileName(kind, _version(filename, kind, before, after, suffix), description, filename)
    if before:
        raise MalformedName(_text_before_separator(filename, kind, prefix, before, after, suffix))
    if kind is Kind.REPEATABLE and not description.strip():
        raise MalformedName(
            f"{filename} has no description, and Flyway tells repeatable migrations apart by nothing else: "
            f"name it like R__description{suffix}"
        )
    return FileName(kind, None, description, filename)


def _prefix(filename: str, stem: str) -> tuple[str, Kind]:
    for prefix, kind in _PREFIXES:
        if stem.startswith(prefix):
            return prefix, kind
    hint = ""
    if stem[:1].upper() in {kind.value for kind in Kind} and stem[1:2].isdigit():
        hint = " (the prefix must be a capital letter)"
    raise MalformedName(
        f"{filename} does not begin with V, U, R, B or the name of a callback{hint}: Flyway skips it; "
        f"rename it like V1_2__description.sql or move it out of this directory"
    )


def _version(filename: str, kind: Kind, before: str, after: str, suffix: str) -> Version:
    number = _leading_version(before) or "1_2"
    rest = after or before.removeprefix(number).strip("_.- ") or "description"
    example = f"name it like {kind.value}{number}__{rest}{suffix}"
    if not before:
        raise MalformedName(f"{filename} must contain a version between {kind.value} and __: {example}")
    try:
        return Version.parse(before)
    except MalformedVersion as problem:
        hint = "" if SEPARATOR in filename else " (is the double underscore before the description missing?)"
        raise MalformedName(f"{filename}: {problem}{hint}; {example}") from None


def _leading_version(text: str) -> str:
    found = re.match(r"[0-9]+(?:[._][0-9]+)*", text)
    return found[0] if found else ""


def _text_before_separator(
    filename: str, kind: Kind, prefix: str, before: str, after: str, suffix: str
) -> str:
    what = "a repeatable migration" if kind is Kind.REPEATABLE else "a callback"
    rest = f"__{after or 'description'}{suffix}"
    says = (
        f"{filename}: the name of {what} cannot contain a version, but {before!r} stands between {prefix} "
        f"and the description, so Flyway skips the file; name it like {prefix}{rest}"
    )
    if kind is Kind.REPEATABLE and before[0].isdigit():
        says += f", or U{before}{rest} if it takes migration {before} back"
    return says
