"""A directory of migrations as Flyway would read it, with everything that Flyway would trip over."""

from __future__ import annotations

import os
import stat
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from approvals.flyway.checksums import BOM, EncodingProblem, checksum_of_text, decode, line_starts, position
from approvals.flyway.names import (
    VERSIONED_KINDS,
    FileName,
    Kind,
    MalformedName,
    NoDescription,
    java_order,
    parse_name,
    parse_program,
)
from approvals.flyway.placeholders import PlaceholderProblem, UnknownPlaceholder, substitute
from approvals.flyway.settings import FileRules, Settings, SettingsProblem, read_rules

_NO_RULES = FileRules()
_ORDER = {kind: place for place, kind in enumerate(Kind)}


@dataclass(frozen=True, slots=True)
class MigrationFile:
    """One file that can be taken into the catalog.

    `path` is relative to the directory, with slashes: what Flyway stores as the script. `sql` is the text
    without a byte-order mark, line ends as they are; `data` are the bytes on disk. `filled_checksum` is the
    checksum with all placeholders filled, which Flyway records for repeatable migrations; None where there
    are none, where they are not filled, or where a value is not known here. `fills`: Flyway fills
    placeholders in this file. `unfilled`: which of them lacks a value, so that Flyway will not run it.
    """

    path: str
    name: FileName
    data: bytes
    sql: str
    checksum: int
    had_bom: bool
    filled_checksum: int | None = None
    fills: bool = True
    unfilled: str = ""


@dataclass(frozen=True, slots=True)
class FileProblem:
    """Something wrong with a file. An error keeps the file out of `Directory.files`, a warning does not.

    `line` and `column` count from 1 and are None where the problem is not at one place in the text.
    `stops_flyway`: Flyway refuses to work with the whole directory, whatever it is asked to do.
    """

    path: str
    line: int | None
    column: int | None
    code: str
    message: str
    severity: Literal["error", "warning"] = "error"
    stops_flyway: bool = False


@dataclass(frozen=True, slots=True)
class Directory:
    """The good files, ordered by kind, then version or description; and all problems, ordered by path.

    `others` are files with an error that Flyway would run all the same (programs, rollbacks named as
    repeatable migrations, files with a NUL byte); what Flyway says is understood only with them.
    """

    files: tuple[MigrationFile, ...]
    problems: tuple[FileProblem, ...]
    others: tuple[MigrationFile, ...] = ()

    def summary(self) -> dict[str, int]:
        """How many files have which problem, by code."""
        return dict(sorted(Counter(problem.code for problem in self.problems).items()))

    @property
    def refusals(self) -> tuple[FileProblem, ...]:
        """The problems at which Flyway stops; none: it works with this directory."""
        return tuple(problem for problem in self.problems if problem.stops_flyway)

    @property
    def seen_by_flyway(self) -> tuple[MigrationFile, ...]:
        """All files that Flyway takes for migrations, in its order of resolving; undo files are not."""
        seen = [file for file in (*self.files, *self.others) if file.name.type]
        return tuple(sorted(seen, key=_resolving_order))


def read_directory(
    directory: Path, settings: Settings | None = None, *, look_at_placeholders: bool = True
) -> Directory:
    """Read all migrations below `directory`, hidden folders excepted, as Flyway's filesystem location does.

    `settings` are the project's; without them Flyway's defaults hold and placeholders are not looked at. A
    bad file is a problem and never stops the others. Raises NotADirectoryError.
    """
    if not directory.is_dir():
        raise NotADirectoryError(f"{directory} is not a directory")
    looks = settings is not None and look_at_placeholders
    reading = _Reading(directory, settings or Settings(), looks=looks)
    named = reading.named()
    reading.problems += [
        *_duplicates(named),
        *_rollbacks_as_repeatables(named),
        *_undos_without_migration(named),
    ]
    read = [file for path, name in named if (file := reading.file(path, name))]
    refused = {problem.path for problem in reading.problems if problem.severity == "error"}
    stopped = {problem.path for problem in reading.problems if problem.stops_flyway}
    return Directory(
        tuple(sorted((file for file in read if file.path not in refused), key=_flyway_order)),
        tuple(sorted(reading.problems, key=lambda problem: (problem.path, problem.line or 0, problem.code))),
        tuple(file for file in read if file.path in refused - stopped),
    )


def _resolving_order(file: MigrationFile) -> tuple[bool, tuple[int, ...], bool, bytes]:
    name = file.name
    parts = name.version.parts if name.version else ()
    return name.version is None, parts, name.kind is Kind.BASELINE, java_order(name.description)


def _flyway_order(file: MigrationFile) -> tuple[int, tuple[int, ...], bytes, str]:
    version = file.name.version
    return (
        _ORDER[file.name.kind],
        version.parts if version else (),
        java_order(file.name.description),
        file.path,
    )


def _paths(
    directory: Path, report: Callable[[FileProblem], None], below: str = "", above: tuple[str, ...] = ()
) -> Iterator[str]:
    """Relative paths of all files, sorted within each folder; folders that lead back up are left."""
    here = os.path.join(directory, below)
    real = os.path.realpath(here)
    if real in above:
        return
    try:
        with os.scandir(here) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as bad:
        message = f"cannot open the folder: {bad.strerror}"
        report(FileProblem(_showable(below), None, None, "unreadable", message))
        return
    for entry in entries:
        path = os.path.join(below, entry.name)
        if entry.is_dir():
            if not entry.name.startswith("."):
                yield from _paths(directory, report, path, (*above, real))
        else:
            yield path.replace(os.sep, "/")


def _showable(path: str) -> str:
    """File systems allow names that are not Unicode; a page or a database does not."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def _duplicates(named: list[tuple[str, FileName]]) -> Iterator[FileProblem]:
    """Files that exclude each other: Flyway refuses to start at all, so none of them can be trusted."""
    groups: dict[tuple[Kind, object], list[str]] = defaultdict(list)
    for path, name in named:
        groups[name.kind, name.version or (name.event, name.description)].append(path)
    for (kind, _), paths in groups.items():
        if len(paths) < 2:
            continue
        what = "version" if kind in VERSIONED_KINDS else "description"
        message = f"{' and '.join(paths)} carry one {what}, and Flyway refuses to start: keep only one"
        stops = kind is not Kind.UNDO  # of which open-source Flyway knows nothing
        yield from (
            FileProblem(path, None, None, f"duplicate-{what}", message, stops_flyway=stops) for path in paths
        )


def _rollbacks_as_repeatables(named: list[tuple[str, FileName]]) -> Iterator[FileProblem]:
    for path, name in named:
        if name.looks_like_rollback:
            message = (
                f"{name.script} looks like a rollback, but Flyway runs each R file as a repeatable migration"
                f" at the next migrate: name it U<version>__description.sql, or move it out of this directory"
            )
            yield FileProblem(path, None, None, "rollback-as-repeatable", message)


def _undos_without_migration(named: list[tuple[str, FileName]]) -> Iterator[FileProblem]:
    versions = {name.version for _, name in named if name.kind is Kind.VERSIONED}
    for path, name in named:
        if name.kind is Kind.UNDO and name.version not in versions:
            message = f"{name.script} undoes version {name.version}, but there is no V file of that version"
            yield FileProblem(path, None, None, "undo-without-migration", message, "warning")


class _Reading:
    """Reads one directory and gathers what is wrong with it."""

    def __init__(self, directory: Path, settings: Settings, *, looks: bool) -> None:
        self.directory, self.settings, self.looks = directory, settings, looks
        self.problems: list[FileProblem] = []
        self.paths: frozenset[str] = frozenset()

    def report(
        self,
        path: str,
        code: str,
        message: str,
        place: tuple[int | None, int | None] = (None, None),
        severity: Literal["error", "warning"] = "error",
        *,
        stops: bool = False,
    ) -> None:
        self.problems.append(FileProblem(_showable(path), *place, code, message, severity, stops))

    def named(self) -> list[tuple[str, FileName]]:
        """Every file that is a migration, an undo or a callback by its name."""
        found: list[tuple[str, FileName]] = []
        paths = list(_paths(self.directory, self.problems.append))
        self.paths = frozenset(paths)
        for path in paths:
            filename = path.rpartition("/")[2]
            try:
                if self.settings.grammar.suffix_of(filename) is not None:
                    found.append((path, self._name(path, filename)))
                elif (program := parse_program(filename, self.settings.grammar)) and path.isprintable():
                    found.append((path, program))
            except NoDescription as bad:
                found.append((path, bad.name))
                self.report(path, "malformed-name", str(bad))
            except MalformedName as bad:
                self.report(path, "malformed-name", str(bad), stops=self.settings.validate_naming)
        if self.settings.validate_naming:
            for path in (path for path, name in found if name.kind is Kind.UNDO):
                message = (
                    "with validateMigrationNaming open-source Flyway refuses undo files: it has no such kind"
                )
                self.report(path, "undo-refused", message, severity="warning", stops=True)
        return found

    def _name(self, path: str, filename: str) -> FileName:
        if not path.isprintable():
            raise MalformedName(
                f"the path {_showable(path)!r} holds characters that cannot be shown: rename it"
            )
        return parse_name(filename, self.settings.grammar)

    def file(self, path: str, name: FileName) -> MigrationFile | None:
        """Read one file and report what is wrong with its contents. None if it cannot be read as text."""
        try:
            rules = self._rules(path)
            data = _bytes(f"{self.directory}{os.sep}{path}")
            text = decode(data, rules.encoding or self.settings.encoding)
        except OSError as bad:
            self.report(path, "unreadable", f"cannot read the file: {bad.strerror}")
            return None
        except EncodingProblem as bad:
            # Flyway reads all migrations for their checksums, but a callback only when its time comes.
            self.report(path, "encoding", str(bad), (bad.line, bad.column), stops=name.type is not None)
            return None
        except SettingsProblem as bad:
            self.report(path, "script-config", f"{path}.conf: {bad}", stops=True)
            return None
        sql = text.removeprefix(BOM)
        checksum = checksum_of_text(text)
        fills = self.settings.placeholder_replacement
        if rules.placeholder_replacement is not None:
            fills = rules.placeholder_replacement
        looks = self.looks and fills and name.type is not None and not name.is_program
        missing = self._missing(text) if looks else None
        file = MigrationFile(path, name, data, sql, checksum, sql != text, None, fills, str(missing or ""))
        if looks and name.kind is Kind.REPEATABLE:
            if missing is not None:
                self.report(path, "placeholder", str(missing), (missing.line, missing.column), stops=True)
            else:
                file = replace(file, filled_checksum=self._filled_checksum(text))
        self._look_at(file)
        return file

    def _rules(self, path: str) -> FileRules:
        conf = f"{path}.conf"
        if conf not in self.paths:
            return _NO_RULES
        return read_rules(decode(_bytes(os.path.join(self.directory, conf)), self.settings.encoding))

    def _missing(self, text: str) -> PlaceholderProblem | None:
        """The first placeholder without a value; Flyway has one of its own for some."""
        known = {name.lower(): value for name, value in self.settings.placeholders.items()}
        try:
            substitute(text, dict.fromkeys(self.settings.built_in, "") | known, self.settings.syntax)
        except PlaceholderProblem as bad:
            return bad
        return None

    def _filled_checksum(self, text: str) -> int | None:
        """That of the filled text; None where it has what differs from run to run."""
        try:
            return checksum_of_text(substitute(text, self.settings.placeholders, self.settings.syntax))
        except UnknownPlaceholder:
            return None

    def _look_at(self, file: MigrationFile) -> None:
        path, name, sql = file.path, file.name, file.sql
        if name.is_program:
            message = f"Flyway would start {name.script} as a program, of which nothing is known here"
            self.report(path, "program", message)
            return
        if file.had_bom:
            message = "the file begins with a byte-order mark; Flyway drops it, psql and others may not"
            self.report(path, "bom", message, (1, 1), "warning")
        if (nul := sql.find("\0")) >= 0:
            line, column = position(line_starts(sql), nul)
            message = f"NUL byte at line {line}, column {column}: PostgreSQL text cannot hold it; remove it"
            self.report(path, "nul-byte", message, (line, column))
        if not sql.strip():
            undo = "the file is empty, so it takes nothing back"
            other = "the file is empty; Flyway runs it and records it as applied"
            is_undo = name.kind is Kind.UNDO
            self.report(path, "empty", undo if is_undo else other, severity="error" if is_undo else "warning")


def _bytes(path: str) -> bytes:
    """The contents of a regular file; a pipe would be waited on for ever. Without Python's own buffers, which
    take twice as long for small files."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        facts = os.fstat(file)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(0, "not a regular file")
        data, more = b"", os.read(file, facts.st_size + 1)
        while more:
            data, more = data + more, os.read(file, 1 << 20)
        return data
    finally:
        os.close(file)
