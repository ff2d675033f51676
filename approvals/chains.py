"""The files that lead up to a migration, as Flyway would run them on a target: what a proof replays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from django.utils.translation import gettext as _

from . import digests, filling, history
from .errors import Refused
from .flyway.history import HistoryRow
from .flyway.placeholders import PlaceholderProblem
from .models import Migration, MigrationRevision, RollbackScript, Target

CHAINED = (Migration.Kind.VERSIONED, Migration.Kind.BASELINE)


class Placed(Protocol):
    """What has to be known of a migration to place it in a chain: a `Migration`, or some of its columns."""

    @property
    def pk(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def version_key(self) -> Iterable[Any]: ...
    @property
    def removed_at(self) -> Any: ...


class Text(Protocol):
    """What stands for a text in a chain's digest: a `MigrationRevision`, or some of its columns."""

    @property
    def migration_id(self) -> int: ...
    @property
    def path(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def checksum(self) -> int: ...


P = TypeVar("P", bound=Placed)
T = TypeVar("T", bound=Text)


@dataclass(frozen=True, slots=True)
class ChainFile:
    """One file: its name and its text with placeholders filled in."""

    name: str
    sql: str


@dataclass(frozen=True, slots=True)
class Chain:
    """The files, the migration's own last, and what a proof made with them is bound to: the digest, and the
    names of the placeholders whose values are in it (see `bound`)."""

    files: tuple[ChainFile, ...]
    placeholders: tuple[str, ...]
    sha256: str


def newest_revision(migration: Migration) -> MigrationRevision:
    """The text of the migration as it was imported last. Raises Refused where there is none."""
    found = migration.revisions.order_by("-number").first()
    if found is None:
        raise Refused(_("%(migration)s has no file.") % {"migration": migration})
    return found


def applied_revision(migration: Migration, target: Target | None) -> MigrationRevision:
    """The text that is applied on the target, else the one that was imported last."""
    if target is not None:
        row = _standing(target).get(tuple(map(int, migration.version_key)))
        if row is not None and row.checksum is not None:
            found = migration.revisions.filter(checksum=row.checksum).order_by("-number").first()
            if found is not None:
                return found
    return newest_revision(migration)


def chain_of(revision: MigrationRevision, target: Target | None, *, used: Iterable[str] = ()) -> Chain:
    """The files below the revision's migration in Flyway's order, and the revision as the last one.

    Of each file the text that is applied on the target, else the one that was imported last. Files that the
    last import did not find count only where they are applied. A baseline file begins the chain where no
    versioned file stands at or below it. `used` are placeholders beside those of the files. Raises Refused
    for a placeholder without a value, naming file, line and column.
    """
    files, values = _read(revision, target)
    return _chain(files, values, used, tuple(_file(each, values) for each in files))


def unfilled(revision: MigrationRevision, target: Target | None, *, used: Iterable[str] = ()) -> Chain:
    """The same without texts, where `chain_of` lacks a value: what a refusal is bound to."""
    return _chain(*_read(revision, target), used, ())


def _chain(
    files: list[MigrationRevision],
    values: filling.Values,
    used: Iterable[str],
    written: tuple[ChainFile, ...],
) -> Chain:
    names = sorted({*used, *(name for each in files for name in _names(each, values))})
    return Chain(written, tuple(names), bound(files, values, names))


def _read(
    revision: MigrationRevision, target: Target | None
) -> tuple[list[MigrationRevision], filling.Values]:
    migration = revision.migration
    standing = _standing(target) if target is not None else {}
    below = Migration.objects.filter(
        service=migration.service_id, version_key__lt=migration.version_key, kind__in=CHAINED
    )
    chosen = chosen_of(below, standing)
    rows = MigrationRevision.objects.filter(migration__in=chosen).order_by("migration_id", "number")
    revisions = counting(chosen, rows.select_related("migration").defer("analysis"), standing)
    files = [*(revisions[each.pk] for each in chosen if each.pk in revisions), revision]
    values = filling.on_target(target) if target is not None else filling.of_service(migration.service)
    return files, values


def bound(files: Iterable[Text], values: filling.Values, names: Iterable[str]) -> str:
    """The digest that stands for a chain: names and bytes of its files in their order, how placeholders are
    written, and the values of those that it uses. SHA-256 as lower-case hex."""
    files = list(files)
    listed = "".join(f"{_name(each)}\0{each.sha256}\n" for each in files)
    known = dict(values.in_a_run("").known)
    otherwise = sorted(each.path for each in files if each.path in values.exceptions)
    return digests.canonical_sha256(
        {
            "files": digests.text_sha256(listed),
            "placeholders": [values.syntax.prefix, values.syntax.suffix] if values.fills else [],
            "values": {name: known.get(name) for name in names},
        }
        | ({"exceptions": otherwise} if otherwise else {})
    )


def _names(revision: MigrationRevision, values: filling.Values) -> list[str]:
    """The placeholders of a file, but for its own name."""
    try:
        return [
            name for name in values.of_file(revision.path).names_in(revision.sql) if name != "flyway:filename"
        ]
    except PlaceholderProblem:
        return []


def _name(revision: Text) -> str:
    return revision.path.rpartition("/")[2]


def filled(revision: MigrationRevision, script: RollbackScript, target: Target | None) -> str:
    """A rollback script with the same values; one to be taken as it stands as it stands. Raises Refused for a
    placeholder without a value."""
    if not script.placeholders:
        return script.sql
    service = revision.migration.service
    values = filling.on_target(target) if target is not None else filling.of_service(service)
    # The script is a text of its own: what is said of the migration's file does not hold for it.
    return _filled(script.sql, _name(revision), replace(values, exceptions=frozenset()))


def _key(migration: Placed) -> tuple[int, ...]:
    key = migration.version_key
    return key if isinstance(key, tuple) else tuple(map(int, key))


def _standing(target: Target) -> dict[tuple[int, ...], HistoryRow]:
    """The rows of what is applied, by version; none where the history contradicts itself."""
    return standing_in(history.rows_of(target))


def standing_in(rows: Sequence[HistoryRow]) -> dict[tuple[int, ...], HistoryRow]:
    """The same of a history that was read already."""
    try:
        return {version.parts: row for version, row in history.standing(rows).items()}
    except Refused:
        return {}


def chosen_of(below: Iterable[P], standing: Mapping[tuple[int, ...], HistoryRow]) -> list[P]:
    """Which of the migrations below another one lead up to it, in Flyway's order."""
    chosen = [each for each in below if each.removed_at is None or _key(each) in standing]
    # Flyway's order is that of the numbers, which the database's comparison of arrays is too.
    return _from_baseline(sorted(chosen, key=_key))


def _from_baseline(files: list[P]) -> list[P]:
    """Without baselines, or from the newest baseline on where nothing versioned stands below one."""
    versioned = [each for each in files if each.kind == Migration.Kind.VERSIONED]
    baselines = [each for each in files if each.kind == Migration.Kind.BASELINE]
    if not baselines or (versioned and _key(versioned[0]) <= _key(baselines[-1])):
        return versioned
    return [baselines[-1], *versioned]


def counting(
    chosen: Iterable[Placed],
    rows: Iterable[T],
    standing: Mapping[tuple[int, ...], HistoryRow],
) -> dict[int, T]:
    """The text that counts of each migration, by its key; `rows` are their revisions by migration and
    number."""
    applied = {each.pk: row.checksum for each in chosen if (row := standing.get(_key(each)))}
    found: dict[int, T] = {}
    for revision in rows:
        last = found.get(revision.migration_id)
        wanted = applied.get(revision.migration_id)
        if last is None or wanted is None or revision.checksum == wanted or last.checksum != wanted:
            found[revision.migration_id] = revision
    return found


def _file(revision: MigrationRevision, values: filling.Values) -> ChainFile:
    name = _name(revision)
    return ChainFile(name, _filled(revision.sql, revision.path, values))


def _filled(text: str, path: str, values: filling.Values) -> str:
    try:
        return values.in_a_run(path).fill(text).text
    except PlaceholderProblem as problem:
        name = path.rpartition("/")[2]
        raise Refused(_("%(file)s, %(problem)s.") % {"file": name, "problem": problem}) from None
