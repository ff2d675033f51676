"""What `flyway validate` would complain about, in Flyway's own words, and what `migrate` would do next."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from approvals.flyway.names import Kind, java_order
from approvals.flyway.patterns import FUTURE, PENDING, Pattern, lets_pass
from approvals.flyway.rows import DELETE, SYNTHETIC, UNDOS, CorruptHistory, HistoryRow, Rows, unreadable
from approvals.flyway.states import Context, KnownFile, MigrationState, State, filled_checksum, unfilled
from approvals.flyway.versions import MalformedVersion, Version

LONGEST_DESCRIPTION = 200
UNRESOLVED = "UNRESOLVED_PLACEHOLDER"
FAILED_STATES = frozenset({State.FAILED, State.MISSING_FAILED, State.FUTURE_FAILED})
_GONE = {
    State.MISSING: "missing",
    State.MISSING_FAILED: "missing",
    State.FUTURE: "future",
    State.FUTURE_FAILED: "future",
}

_WAITING = frozenset({State.IGNORED, State.PENDING, State.OUTDATED})


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that `validate` objects to; `code` and `message` are Flyway's (measured on Flyway 13.12)."""

    version: Version | None
    description: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Flyway does not even begin, or stops before it changes anything; `message` is in its words."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Run:
    """What the next `migrate` does: the refusal at which it stops, or the files that it runs, in order, and
    what `stops` it after them."""

    refusal: Refusal | None
    files: tuple[KnownFile, ...]
    stops: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What Flyway says of one directory and one history: `info`, `validate` and the next `migrate`.

    `refusal` is what stops all three of them, a history that it cannot read or a repeatable migration with
    a placeholder that has no value (it has no checksum then); the rest is then empty.
    """

    refusal: Refusal | None
    lines: tuple[MigrationState, ...]
    complaints: tuple[Complaint, ...]
    run: Run

    @property
    def passes(self) -> bool:
        """Whether `validate` succeeds."""
        return self.refusal is None and not self.complaints


def outlook(
    files: Iterable[KnownFile],
    rows: Iterable[HistoryRow],
    *,
    out_of_order: bool = False,
    patterns: Sequence[Pattern] = (FUTURE,),
    validate_on_migrate: bool = True,
    schema: str = "public",
) -> Outlook:
    """Foresee what Flyway says. The files must not clash (`Directory.refusals` is empty).

    `patterns` are ignoreMigrationPatterns, `schema` that of the history table (it is named in a message).
    """
    ahead = Prospect(files, rows, patterns=patterns, validate_on_migrate=validate_on_migrate, schema=schema)
    return ahead.outlook(out_of_order=out_of_order)


Judgement = tuple[Complaint | None, Complaint | None]


class Prospect:
    """One directory and one history, to be asked with outOfOrder and without: each line is judged once.

    The parameters are those of `outlook`.
    """

    def __init__(
        self,
        files: Iterable[KnownFile],
        rows: Iterable[HistoryRow],
        *,
        patterns: Sequence[Pattern] = (FUTURE,),
        validate_on_migrate: bool = True,
        schema: str = "public",
    ) -> None:
        files, rows = list(files), rows if isinstance(rows, Rows) else Rows(rows)
        self.patterns, self.validate_on_migrate, self.schema = patterns, validate_on_migrate, schema
        self.refusal: Refusal | None = None
        self._context: Context | None = None
        try:
            self.refusal = _unfilled_repeatable(files) or _unreadable(rows)
            self._context = None if self.refusal else Context(files, rows, out_of_order=False)
        except CorruptHistory as corrupt:
            self.refusal = Refusal("CORRUPT_HISTORY", str(corrupt))
        if self._context is not None:
            self._lines = self._context.lines()
            self._rules = _Rules(self._context, patterns)
            self._before_migrate = _Rules(self._context, (*patterns, PENDING))
            self._judged = [self._judge(line) for line in self._lines]

    def outlook(self, *, out_of_order: bool = False) -> Outlook:
        """What Flyway says with or without it."""
        if self._context is None:
            return Outlook(self.refusal, (), (), Run(self.refusal, ()))
        lines, judged = self._lines, self._judged
        if out_of_order:
            lines = self._context.lines_out_of_order(lines)
            judged = [
                known if line is before else self._judge(line)
                for line, before, known in zip(lines, self._lines, judged, strict=True)
            ]
        complaints = tuple(found for found, _objection in judged if found)
        return Outlook(None, tuple(lines), complaints, self._run(lines, judged))

    def _run(self, lines: Sequence[MigrationState], judged: Sequence[Judgement]) -> Run:
        objections = [found for _complaint, found in judged if found]
        if objections and self.validate_on_migrate:
            return Run(Refusal("VALIDATE_ERROR", "\n".join(one.message for one in objections)), ())
        if refusal := _failed(lines, self.patterns, self.schema):
            return Run(refusal, ())
        pending = [line.file for line in lines if line.state is State.PENDING and line.file]
        runs = tuple(itertools.takewhile(lambda file: not unfilled(file), pending))
        return Run(None, runs, _unresolved(pending[len(runs)]) if len(runs) < len(pending) else None)

    def _judge(self, line: MigrationState) -> Judgement:
        """What validate says, and what the check before migrate does, which lets pending ones pass."""
        found = self._rules.complaint(line)
        alike = line.version is not None and line.state is not State.PENDING
        return found, found if alike else self._before_migrate.complaint(line)


def _unresolved(file: KnownFile) -> Refusal:
    return Refusal(UNRESOLVED, f"{file.path}, {unfilled(file)}")


def _unfilled_repeatable(files: Iterable[KnownFile]) -> Refusal | None:
    """Flyway reads these for their checksums whatever it was asked (measured on Flyway 13.12)."""
    found = (file for file in files if file.name.kind is Kind.REPEATABLE and unfilled(file))
    return next((_unresolved(file) for file in found), None)


def _unreadable(rows: Sequence[HistoryRow]) -> Refusal | None:
    """The first row whose type open-source Flyway does not know, unless it stops at a version before it."""
    if not unreadable(rows):
        return None
    for row in sorted(rows, key=lambda row: row.installed_rank):
        try:
            if row.version is not None:
                Version.parse(row.version)
        except MalformedVersion:
            return None
        if unreadable([row]):
            message = f"Unknown migration type '{row.type}' in the schema history table"
            return Refusal("UNKNOWN_MIGRATION_TYPE", message)
    return None


def _failed(lines: Sequence[MigrationState], patterns: Sequence[Pattern], schema: str) -> Refusal | None:
    failed = [line for line in lines if line.state in FAILED_STATES]
    only_future = len(failed) == 1 and failed[0].state is State.FUTURE_FAILED
    if not failed or (only_future and lets_pass(patterns, "future")):
        return None
    first = failed[0]
    what = (
        f'a failed repeatable migration ("{first.description}") !'
        if first.version is None
        else f"a failed migration to version {first.version} !"
    )
    return Refusal("FAILED_MIGRATION", f'Schema "{schema}" contains {what}')


class _Rules:
    """The checks of `MigrationInfoImpl.validate` (Flyway 13), in their order."""

    def __init__(self, context: Context, patterns: Sequence[Pattern]) -> None:
        self.context = context
        self.passing = {
            state: lets_pass(patterns, state) for state in ("pending", "ignored", "missing", "future")
        }
        self.let_through = {
            versioned: frozenset(
                state
                for state in State
                if state in (State.UNDONE, State.DELETED)
                or any(one.matches(versioned=versioned, state=state.value) for one in patterns)
            )
            for versioned in (True, False)
        }

    def complaint(self, line: MigrationState) -> Complaint | None:
        """The first thing that is wrong with this line, if any."""
        if line.state in self.let_through[line.version is not None]:
            return None
        for check in (self._failed, self._unresolved, self._unapplied, self._mismatch):
            if found := check(line):
                return Complaint(line.version, line.description, *found)
        return None

    def _failed(self, line: MigrationState) -> tuple[str, str] | None:
        if line.state not in FAILED_STATES or (line.state is State.FUTURE_FAILED and self.passing["future"]):
            return None
        advice = ".\nPlease remove any half-completed changes then run repair to fix the schema history."
        if line.version is None:
            found = f"Detected failed repeatable migration: {line.description}{advice}"
            return "FAILED_REPEATABLE_MIGRATION", found
        found = f"Detected failed migration to version {line.version} ({line.description}){advice}"
        return "FAILED_VERSIONED_MIGRATION", found

    def _unresolved(self, line: MigrationState) -> tuple[str, str] | None:
        row = line.row
        if line.file or row is None or line.state is State.SUPERSEDED:
            return None
        if line.state in _GONE and self.passing[_GONE[line.state]]:
            return None
        if row.type in SYNTHETIC | UNDOS or line.state not in (*_GONE, State.FAILED):
            return None
        kind = "REPEATABLE" if line.version is None else "VERSIONED"
        message = (
            f"Detected applied migration not resolved locally: {line.version or line.description}.\n"
            "If you removed this migration intentionally, run repair to mark the migration as deleted."
        )
        return f"APPLIED_{kind}_MIGRATION_NOT_RESOLVED", message

    def _unapplied(self, line: MigrationState) -> tuple[str, str] | None:
        if line.state not in _WAITING:
            return None
        kind = "RESOLVED_VERSIONED_MIGRATION_NOT_APPLIED"
        if line.version is None:
            kind = "RESOLVED_REPEATABLE_MIGRATION_NOT_APPLIED"
        what = "resolved migration" if line.version else "resolved repeatable migration"
        begins = f"Detected {what} not applied to database: {line.version or line.description}.\n"
        is_baseline = line.file is not None and line.file.name.type == "SQL_BASELINE"
        if line.state is State.IGNORED and not self.passing["ignored"] and not is_baseline:
            ends = "To ignore this migration, set -ignoreMigrationPatterns='*:ignored'."
            allow = " To allow executing this migration, set -outOfOrder=true." if line.version else ""
            return kind, begins + ends + allow
        if line.state is State.PENDING and not self.passing["pending"]:
            ends = "To fix this error, either run migrate, or set -ignoreMigrationPatterns='*:pending'."
            return kind, begins + ends
        if line.state is State.OUTDATED and not self.passing["pending"]:
            message = (
                "Detected outdated resolved repeatable migration that should be re-applied to database: "
                f"{line.description}.\nRun migrate to execute this migration."
            )
            return "OUTDATED_REPEATABLE_MIGRATION", message
        return None

    def _mismatch(self, line: MigrationState) -> tuple[str, str] | None:
        row, file, baseline = line.row, line.file, self.context.applied_baseline
        if row is None or file is None or row.type == DELETE or row.type in UNDOS:
            return None
        if line.version is not None and baseline is not None and line.version <= baseline:
            return None
        if file.name.type != _read_type(row):
            return _different("type", row, _read_type(row), file.name.type)
        settled = self.passing["pending"] and line.state not in (State.OUTDATED, State.SUPERSEDED)
        if (line.version is not None or settled) and not _passes_as_same(file, row):
            return _different("checksum", row, row.checksum, filled_checksum(file))
        if abbreviated(file.name.description) != row.description:
            return _different("description", row, row.description, file.name.description)
        return None


def _passes_as_same(file: KnownFile, row: HistoryRow) -> bool:
    """Stricter than the states, which take the checksum from before placeholders were filled as well; but a
    row without a checksum is never objected to."""
    return row.checksum is None or row.checksum == filled_checksum(file)


def abbreviated(description: str) -> str:
    """A description as the history holds it: at most 200 characters (UTF-16 code units, as Java counts)."""
    if 2 * len(description) <= LONGEST_DESCRIPTION:
        return description  # a character is two units at most
    units = java_order(description)
    if len(units) <= 2 * LONGEST_DESCRIPTION:
        return description
    return units[: 2 * (LONGEST_DESCRIPTION - 3)].decode("utf-16-be", "replace") + "..."


def _read_type(row: HistoryRow) -> str:
    return "JDBC" if row.type == "SPRING_JDBC" else row.type


def _different(what: str, row: HistoryRow, applied: object, resolved: object) -> tuple[str, str]:
    which = row.script if row.version is None else f"version {row.version.replace('_', '.')}"
    message = (
        f"Migration {what} mismatch for migration {which}\n"
        f"-> Applied to database : {'null' if applied is None else applied}\n"
        f"-> Resolved locally    : {resolved}\n"
        "Either revert the changes to the migration, or run repair to update the schema history."
    )
    return f"{what.upper()}_MISMATCH", message
