"""A directory of Flyway files as a chain to replay, placeholders filled in, and the ways back beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from approvals.flyway.files import FileProblem, MigrationFile, read_directory
from approvals.flyway.names import Kind, MalformedName, parse_name
from approvals.flyway.placeholders import PlaceholderProblem, substitute
from approvals.flyway.settings import Settings, SettingsProblem, find_settings
from approvals.flyway.versions import Version
from executor.errors import ExecutorError
from executor.schema.replay import File


class BadInput(ExecutorError):
    """A file or directory can't be taken as it is; the message names file, line and column."""


@dataclass(frozen=True, slots=True)
class Step:
    """One versioned file, and the text of its `U` file; None where there is none."""

    version: Version
    description: str
    file: File
    undo: File | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """The versioned files of a directory in Flyway's order, and what Flyway would trip over."""

    steps: tuple[Step, ...]
    problems: tuple[FileProblem, ...]

    def below(self, version: Version) -> list[File]:
        """The files below a version."""
        return [step.file for step in self.steps if step.version < version]


def read_chain(directory: Path, placeholders: Mapping[str, str] | None = None) -> Chain:
    """Read the `V` and `U` files of a directory. `placeholders` go before those of the settings beside the
    files. Raises BadInput where it is no directory, its settings can't be read, or a placeholder has no
    value."""
    try:
        settings = find_settings(directory)
        found = read_directory(directory, settings, look_at_placeholders=False)
    except (NotADirectoryError, SettingsProblem, OSError) as error:
        raise BadInput(f"{directory}: {str(error).rstrip('.')}.") from None
    values = _values(settings, placeholders or {})
    undone = {
        file.name.version: File(_name(file.path), _filled(file, values, settings))
        for file in found.files
        if file.name.kind is Kind.UNDO
    }
    steps = [
        Step(
            file.name.version,
            file.name.description,
            File(_name(file.path), _filled(file, values, settings)),
            undone.get(file.name.version),
        )
        for file in found.files
        if file.name.kind is Kind.VERSIONED and file.name.version is not None
    ]
    return Chain(tuple(steps), found.problems)


def read_file(path: Path, directory: Path, placeholders: Mapping[str, str] | None = None) -> Step:
    """One versioned file, in the directory or elsewhere, with placeholders filled in as in the directory.
    Raises BadInput."""
    try:
        settings = find_settings(directory)
        name = parse_name(path.name, settings.grammar)
        text = path.read_text(encoding=settings.encoding)
    except (MalformedName, SettingsProblem) as error:
        raise BadInput(f"{path}: {str(error).rstrip('.')}.") from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInput(f"{path} can't be read: {why}.") from None
    if name.kind is not Kind.VERSIONED or name.version is None:
        raise BadInput(f"{path.name} is no versioned migration, such as V12__add_limits.sql.")
    sql = text.removeprefix("\ufeff")
    if settings.placeholder_replacement:
        sql = _substituted(sql, path.name, _values(settings, placeholders or {}), settings)
    return Step(name.version, name.description, File(path.name, sql))


def _values(settings: Settings, placeholders: Mapping[str, str]) -> dict[str, str]:
    own = dict.fromkeys(settings.built_in, "flyway")
    given = {**settings.placeholders, **placeholders}
    return {**own, **{name.lower(): value for name, value in given.items()}}


def _filled(file: MigrationFile, values: Mapping[str, str], settings: Settings) -> str:
    return _substituted(file.sql, file.path, values, settings) if file.fills else file.sql


def _substituted(sql: str, path: str, values: Mapping[str, str], settings: Settings) -> str:
    try:
        return substitute(sql, values, settings.syntax)
    except PlaceholderProblem as problem:
        raise BadInput(f"{path}, {problem}.") from None


def _name(path: str) -> str:
    return PurePosixPath(path).name
