"""Flyway's grammar of file names: what kind of file a name stands for, its version and its description."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

from approvals.flyway.versions import MalformedVersion, Version

SEPARATOR = "__"
SUFFIX = ".sql"
SCRIPT_SUFFIXES = (".cmd", ".bat", ".ps1", ".py", ".sh", ".bash")
"""Files with these suffixes, or with no dot in their name at all, Flyway starts as programs."""


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


@dataclass(frozen=True, slots=True)
class Grammar:
    """How a project writes its file names: Flyway's settings of these names, with their defaults."""

    versioned: str = Kind.VERSIONED.value
    undo: str = Kind.UNDO.value
    repeatable: str = Kind.REPEATABLE.value
    baseline: str = Kind.BASELINE.value
    separator: str = SEPARATOR
    suffixes: tuple[str, ...] = (SUFFIX,)

    def prefix_of(self, stem: str) -> tuple[str, Kind] | None:
        """The prefix that a name begins with, and what it stands for. The longest counts, so that
        afterMigrateError__x.sql is not read as afterMigrate."""
        kinds, shape = _prefixes(self.versioned, self.repeatable, self.baseline, self.undo)
        found = shape.match(stem)
        return None if found is None else (found[0], kinds[found[0]])

    def suffix_of(self, filename: str) -> str | None:
        """The end of the name by which Flyway looks at the file, as it is written; None: it does not."""
        upper = filename.upper()
        for suffix in self.suffixes:
            if upper.endswith(suffix.upper()):
                return filename[len(filename) - len(suffix) :]
        return None


@lru_cache
def _prefixes(
    versioned: str, repeatable: str, baseline: str, undo: str
) -> tuple[dict[str, Kind], re.Pattern[str]]:
    named = [
        (versioned, Kind.VERSIONED),
        (repeatable, Kind.REPEATABLE),
        *((event, Kind.CALLBACK) for event in CALLBACKS),
        (baseline, Kind.BASELINE),
        (undo, Kind.UNDO),
    ]
    longest_first = sorted(named, key=lambda pair: -len(pair[0]))
    shape = re.compile("|".join(re.escape(prefix) for prefix, _kind in longest_first))
    return dict(reversed(longest_first)), shape  # of two kinds with one prefix the first counts


DEFAULT = Grammar()

# "Rollback V006", "RollbackV006" and "V006 rollback", but neither "Rollbacks per day" nor "Undocumented".
_ROLLBACK = re.compile(
    r"(?:V?[0-9][0-9. ]*)?(?i:roll(?:ing|s|ed)?[ -]?back|undo(?:es|ing)?|revert(?:s|ing)?)(?![a-z])"
)


def java_order(text: str) -> bytes:
    """A key that sorts text as Java does: by UTF-16 code units."""
    return text.encode("utf-16-be", "surrogatepass")


class MalformedName(ValueError):
    """Flyway would skip a file of this name (or refuse it with validateMigrationNaming); says what to do."""


class NoDescription(MalformedName):
    """A repeatable migration without description: Flyway runs it, but nobody could ever tell two apart."""

    def __init__(self, message: str, name: FileName) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
class FileName:
    """A name that Flyway understands.

    `version` is None for R and callbacks. The description has its underscores as spaces and is empty for
    `V002.sql`, which is legal. `script` is the file name as given. `is_program`: Flyway starts the file.
    """

    kind: Kind
    version: Version | None
    description: str
    script: str
    is_program: bool = False

    @property
    def type(self) -> str | None:
        """What Flyway writes into the history's column `type` when it has run the file; None: it never is."""
        if self.kind in (Kind.UNDO, Kind.CALLBACK):
            return None
        return "SQL_BASELINE" if self.kind is Kind.BASELINE else "SCRIPT" if self.is_program else "SQL"

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
    return DEFAULT.suffix_of(filename) is not None


def parse_program(filename: str, grammar: Grammar = DEFAULT) -> FileName | None:
    """The name of a file that Flyway starts as a program; None for all others.

    On Windows it does not start those without a suffix; here every server is taken to be none.
    """
    suffix = next((end for end in SCRIPT_SUFFIXES if filename.lower().endswith(end)), "")
    if (not suffix and "." in filename.rstrip(".")) or not filename.isprintable():
        return None
    try:
        name = _parse(filename, filename[: len(filename) - len(suffix)], suffix, grammar)
    except MalformedName:
        return None
    return None if name.kind is Kind.UNDO else replace(name, is_program=True)


def parse_name(filename: str, grammar: Grammar = DEFAULT) -> FileName:
    """Read a file name (without folder) by Flyway's rules. Raises MalformedName."""
    if not filename.isprintable():
        raise MalformedName(f"the name {filename!r} holds characters that cannot be shown: rename the file")
    suffix = grammar.suffix_of(filename)
    if suffix is None:
        ends = " or ".join(grammar.suffixes)
        raise MalformedName(f"{filename} does not end in {ends}: Flyway does not look at it")
    return _parse(filename, filename[: len(filename) - len(suffix)], suffix, grammar)


def _parse(filename: str, stem: str, suffix: str, grammar: Grammar) -> FileName:
    prefix, kind = _prefix(filename, stem, grammar)
    before, _, after = stem[len(prefix) :].partition(grammar.separator)
    description = after.replace("_", " ")
    if kind in VERSIONED_KINDS:
        try:
            return FileName(kind, Version.parse(before), description, filename)
        except MalformedVersion as problem:
            shape = _Shape(filename, kind, prefix, before, after, grammar.separator, suffix)
            raise MalformedName(shape.no_version(problem)) from None
    if before:
        shape = _Shape(filename, kind, prefix, before, after, grammar.separator, suffix)
        raise MalformedName(shape.text_before_separator())
    if kind is Kind.REPEATABLE and not description.strip():
        raise NoDescription(
            f"{filename} has no description, and Flyway tells repeatable migrations apart by nothing else: "
            f"name it like {prefix}{grammar.separator}description{suffix}",
            FileName(kind, None, description, filename),
        )
    return FileName(kind, None, description, filename)


def _prefix(filename: str, stem: str, grammar: Grammar) -> tuple[str, Kind]:
    if found := grammar.prefix_of(stem):
        return found
    hint = ""
    if stem[:1].upper() in {kind.value for kind in Kind} and stem[1:2].isdigit():
        hint = " (the prefix must be a capital letter)"
    known = ", ".join((grammar.versioned, grammar.undo, grammar.repeatable, grammar.baseline))
    raise MalformedName(
        f"{filename} does not begin with {known} or the name of a callback{hint}: Flyway skips it; "
        f"rename it like {grammar.versioned}1_2{grammar.separator}description{grammar.suffixes[0]} "
        f"or move it out of this directory"
    )


@dataclass(frozen=True, slots=True)
class _Shape:
    """The parts of a name, and what to say where they do not fit together."""

    filename: str
    kind: Kind
    prefix: str
    before: str
    after: str
    separator: str
    suffix: str

    def no_version(self, problem: MalformedVersion) -> str:
        if not self.before:
            return (
                f"{self.filename} must contain a version between {self.prefix} and {self.separator}: "
                f"{self._example()}"
            )
        lacking = " (is the double underscore before the description missing?)"
        hint = lacking if self.separator == SEPARATOR and SEPARATOR not in self.filename else ""
        return f"{self.filename}: {problem}{hint}; {self._example()}"

    def _example(self) -> str:
        number = _leading_version(self.before) or "1_2"
        rest = self.after or self.before.removeprefix(number).strip("_.- ") or "description"
        return f"name it like {self.prefix}{number}{self.separator}{rest}{self.suffix}"

    def text_before_separator(self) -> str:
        what = "a repeatable migration" if self.kind is Kind.REPEATABLE else "a callback"
        rest = f"{self.separator}{self.after or 'description'}{self.suffix}"
        says = (
            f"{self.filename}: the name of {what} cannot contain a version, but {self.before!r} stands "
            f"between {self.prefix} and the description, so Flyway skips the file; "
            f"name it like {self.prefix}{rest}"
        )
        if self.kind is Kind.REPEATABLE and self.before[0].isdigit():
            says += f", or U{self.before}{rest} if it takes migration {self.before} back"
        return says


def _leading_version(text: str) -> str:
    found = re.match(r"[0-9]+(?:[._][0-9]+)*", text)
    return found[0] if found else ""
