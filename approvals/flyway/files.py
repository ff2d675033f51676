"""A directory of migrations as Flyway would read it, with everything that Flyway would trip over."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from approvals.flyway.checksums import BOM, EncodingProblem, checksum_of_text, decode, line_starts, position
from approvals.flyway.names import VERSIONED_KINDS, FileName, Kind, MalformedName, is_sql, parse_name

_ORDER = {kind: place for place, kind in enumerate(Kind)}


@dataclass(frozen=True, slots=True)
class MigrationFile:
    """One file that can be taken into the catalog.

    `path` is relative to the directory, with slashes: what Flyway stores as the script. `sql` is the text
    without a byte-order mark, line ends as they are; `data` are the bytes on disk.
    """

    path: str
    name: FileName
    data: bytes
    sql: str
    checksum: int
    had_bom: bool


@dataclass(frozen=True, slots=True)
class FileProblem:
    """Something wrong with a file. An error keeps the file out of `Directory.files`, a warning does not.

    `line` and `column` count from 1 and are None where the problem is not at one place in the text.
    """

    path: str
    line: int | None
    column: int | None
    code: str
    message: str
    severity: Literal["error", "warning"] = "error"


@dataclass(frozen=True, slots=True)
class Directory:
    """The good files, ordered by kind, then version or description; and all problems, ordered by path."""

    files: tuple[MigrationFile, ...]
    problems: tuple[FileProblem, ...]

    def summary(self) -> dict[str, int]:
        """How many files have which problem, by code."""
        return dict(sorted(Counter(problem.code for problem in self.problems).items()))


def read_directory(directory: Path) -> Directory:
    """Read all `.sql` files below `directory`, hidden folders excepted, as Flyway's filesystem location does.

    A bad file is a problem and never stops the others. Raises NotADirectoryError.
    """
    if not directory.is_dir():
        raise NotADirectoryError(f"{directory} is not a directory")
    problems: list[FileProblem] = []
    named: list[tuple[str, FileName]] = []
    for path in _sql_paths(directory, problems.append):
        try:
            named.append((path, _name(path)))
        except MalformedName as bad:
            problems.append(FileProblem(_showable(path), None, None, "malformed-name", str(bad)))
    problems += [*_duplicates(named), *_rollbacks_as_repeatables(named), *_undos_without_migration(named)]
    read = [_read(directory, path, name, problems.append) for path, name in named]
    refused = {problem.path for problem in problems if problem.severity == "error"}
    files = [file for file in read if file is not None and file.path not in refused]
    return Directory(
        tuple(sorted(files, key=_flyway_order)),
        tuple(sorted(problems, key=lambda problem: (problem.path, problem.line or 0, problem.code))),
    )


def _flyway_order(file: MigrationFile) -> tuple[int, tuple[int, ...], str, str]:
    version = file.name.version
    return _ORDER[file.name.kind], version.parts if version else (), file.name.description, file.path


def _sql_paths(
    directory: Path, report: Callable[[FileProblem], None], below: str = "", above: tuple[str, ...] = ()
) -> Iterator[str]:
    """Relative paths of the `.sql` files, sorted within each folder; folders that lead back up are left."""
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
                yield from _sql_paths(directory, report, path, (*above, real))
        elif is_sql(entry.name):
            yield path.replace(os.sep, "/")


def _name(path: str) -> FileName:
    if not path.isprintable():
        raise MalformedName(f"the path {_showable(path)!r} holds characters that cannot be shown: rename it")
    return parse_name(PurePosixPath(path).name)


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
        yield from (FileProblem(path, None, None, f"duplicate-{what}", message) for path in paths)


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


def _read(
    directory: Path, path: str, name: FileName, report: Callable[[FileProblem], None]
) -> MigrationFile | None:
    """Read one file and report what is wrong with its contents. None if it cannot be read as text."""
    try:
        data = _bytes(directory / path)
        text = decode(data)
    except OSError as bad:
        report(FileProblem(path, None, None, "unreadable", f"cannot read the file: {bad.strerror}"))
        return None
    except EncodingProblem as bad:
        report(FileProblem(path, bad.line, bad.column, "encoding", str(bad)))
        return None
    sql = text.removeprefix(BOM)
    file = MigrationFile(path, name, data, sql, checksum_of_text(text), had_bom=sql != text)
    if file.had_bom:
        message = "the file begins with a UTF-8 byte-order mark; Flyway drops it, psql and others may not"
        report(FileProblem(path, 1, 1, "bom", message, "warning"))
    if (nul := sql.find("\0")) >= 0:
        line, column = position(line_starts(sql), nul)
        message = f"NUL byte at line {line}, column {column}: PostgreSQL text cannot hold it; remove it"
        report(FileProblem(path, line, column, "nul-byte", message))
    if not sql.strip():
        report(_empty(path, name))
    return file


def _bytes(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise OSError(0, "not a regular file")  # a pipe would be waited on for ever
    return path.read_bytes()


def _empty(path: str, name: FileName) -> FileProblem:
    if name.kind is Kind.UNDO:
        return FileProblem(path, None, None, "empty", "the file is empty, so it takes nothing back")
    message = "the file is empty; Flyway runs it and records it as applied"
    return FileProblem(path, None, None, "empty", message, "warning")
