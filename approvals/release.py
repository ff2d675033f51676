"""The files of a service as they were imported last: what Flyway would find in the next release."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from . import filling
from .flyway.checksums import checksum_of_text
from .flyway.names import DEFAULT, FileName, Grammar, Kind
from .flyway.patterns import FUTURE, Pattern
from .flyway.placeholders import PlaceholderProblem
from .flyway.versions import Version
from .models import ImportRun, Migration, MigrationRevision, Service, Target


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file by its newest revision. `filled_checksum` is that of a repeatable migration with the target's
    placeholders filled; None where there are none or one is not known, and then `unfilled` says which."""

    path: str
    name: FileName
    checksum: int
    filled_checksum: int | None = None
    unfilled: str = ""


@dataclass(frozen=True)
class Deployment:
    """How the service is deployed, as the settings file beside its migrations says; else Flyway's defaults.

    `known` is False where no such file was imported: then outOfOrder is anybody's guess.
    """

    known: bool = False
    out_of_order: bool = False
    patterns: tuple[Pattern, ...] = (FUTURE,)
    validate_on_migrate: bool = True


def newest_revisions(service_id: int) -> QuerySet[MigrationRevision]:
    """The revision of every V, R and B file that the last import found, without text and analysis."""
    return (
        MigrationRevision.objects.filter(migration__service=service_id, migration__removed_at__isnull=True)
        .order_by("migration_id", "-number")
        .distinct("migration_id")
        .select_related("migration")
        .defer("sql", "analysis")
    )


# What of a revision and its migration makes a file.
AS_WRITTEN = (None, "")
_OF_FILE = ("path", "checksum", "migration__kind", "migration__version", "migration__description")


def files_of(target: Target) -> list[StoredFile]:
    """Every V, R and B file that the last import found, with the target's placeholders; two queries."""
    newest = newest_revisions(target.service_id).values_list("migration_id", *_OF_FILE)
    filled = repeatables(target)
    # Columns, and no objects: there may be thousands of files.
    return [
        _file(path, checksum, kind, version, description, *filled.get(key, AS_WRITTEN))
        for key, path, checksum, kind, version, description in newest
    ]


def repeatables(target: Target) -> dict[int, tuple[int | None, str]]:
    """What counts of each repeatable migration on the target, by the migration's key: its checksum with
    placeholders filled, None where that differs from run to run, and which placeholder has no value."""
    found = newest_revisions(target.service_id).filter(migration__kind=Migration.Kind.REPEATABLE)
    texts = found.values_list("migration_id", "path", "sql")
    values = filling.on_target(target) if texts else filling.Values()
    return {key: _filled(sql, path, values) for key, path, sql in texts}


def unfilled_files(target: Target, files: Collection[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """Which of these files (path and checksum) has a placeholder without a value on the target, and which;
    two queries."""
    if not files:
        return {}
    values = filling.on_target(target)
    texts = MigrationRevision.objects.filter(
        migration__service=target.service_id,
        path__in={path for path, _checksum in files},
        sql__contains=values.syntax.prefix,
    ).values_list("path", "checksum", "sql")
    found = ((path, checksum, unfilled(sql, path, values)) for path, checksum, sql in texts)
    return {(path, checksum): why for path, checksum, why in found if why and (path, checksum) in files}


def stored(revision: MigrationRevision) -> StoredFile:
    """This revision as a file."""
    migration = revision.migration
    return _file(revision.path, revision.checksum, migration.kind, migration.version, migration.description)


def _file(
    path: str,
    checksum: int,
    kind: str,
    version: str,
    description: str,
    filled_checksum: int | None = None,
    unfilled: str = "",
) -> StoredFile:
    name = FileName(
        Kind(kind), Version.parse(version) if version else None, description, path.rpartition("/")[2]
    )
    return StoredFile(path, name, checksum, filled_checksum, unfilled)


def _filled(sql: str, path: str, values: filling.Values) -> tuple[int | None, str]:
    try:
        return checksum_of_text(values.of_file(path).fill(sql).text), ""
    except PlaceholderProblem:
        return None, unfilled(sql, path, values)


def unfilled(sql: str, path: str, values: filling.Values) -> str:
    """Why Flyway can't fill this file: place and name of the first placeholder without a value; empty if it
    can."""
    try:
        values.in_a_run(path).fill(sql)
    except PlaceholderProblem as problem:
        return str(problem)
    return ""


def last_import(service: Service) -> ImportRun | None:
    """The newest reading of the service's files, without what it found wrong or different."""
    found = service.import_runs.defer("differences", "problems")
    return found.order_by("-at", "-id").first()


def grammar_of(run: ImportRun | None) -> Grammar:
    """How the files of this import write their names; Flyway's defaults where no settings file says."""
    said: dict[str, Any] = run.settings.get("grammar", {}) if run is not None else {}
    return Grammar(**said | {"suffixes": tuple(said["suffixes"])}) if said else DEFAULT


def deployment_of(run: ImportRun | None) -> Deployment:
    """What the settings of this import say of how Flyway is run."""
    settings: dict[str, Any] = run.settings if run is not None else {}
    if "file" not in settings:
        return Deployment()
    return Deployment(
        known=True,
        out_of_order=settings["out_of_order"],
        patterns=tuple(Pattern.parse(text) for text in settings["ignore_patterns"]),
        validate_on_migrate=settings["validate_on_migrate"],
    )
