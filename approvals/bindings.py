"""What proofs must be bound to now: the files that lead up to the items of a request, on each target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from django.db.models import Q

from . import chains, filling
from .flyway.history import HistoryRow
from .models import Migration, MigrationRevision, Proof, RollbackItem, Target

# A page asks this of all that was ever applied: as rows of columns, not as models.


class Below(NamedTuple):
    """A migration that may stand below an item."""

    pk: int
    kind: str
    version_key: tuple[int, ...]
    removed_at: datetime | None


class Revision(NamedTuple):
    """A text of one of them, or of an item, without the text."""

    pk: int
    migration_id: int
    path: str
    sha256: str
    checksum: int


# What `Below` says of the migration of a text.
OF_MIGRATION = ("migration__kind", "migration__version_key", "migration__removed_at")


class Present:
    """The chains of some items of one service as they are now, for `of`. Reads names and digests of files and
    no text: a fixed number of queries, and one for each target. `rows` are the targets' histories, by the
    target's key."""

    def __init__(self, items: Iterable[RollbackItem], rows: Mapping[int, Sequence[HistoryRow]]) -> None:
        self.items, self.rows = list(items), rows
        self._known: dict[tuple[int, int], list[Revision]] = {}
        self._digests: dict[tuple[int, int, tuple[str, ...]], str] = {}
        self._values: dict[int, filling.Values] = {}
        self._standing: dict[int, dict[tuple[int, ...], HistoryRow]] = {}

    def of(self, item: RollbackItem, target: Target, placeholders: Sequence[str]) -> str:
        """The digest of `chains.bound` for this item on this target, with the values of these names."""
        if target.pk not in self._values:
            self._values[target.pk] = filling.on_target(target)
            self._standing[target.pk] = chains.standing_in(self.rows[target.pk])
        key = item.migration_id, target.pk
        if key not in self._known:
            self._known[key] = self._files(item, self._standing[target.pk])
        asked = *key, tuple(placeholders)
        if asked not in self._digests:
            self._digests[asked] = chains.bound(self._known[key], self._values[target.pk], placeholders)
        return self._digests[asked]

    def is_of(self, proof: Proof, item: RollbackItem, target: Target) -> bool:
        """Whether a proof was made with this item's text of the migration, and with these very files."""
        same = proof.revision_id == item.revision_id
        return same and proof.chain_sha256 == self.of(item, target, proof.placeholders)

    def _files(self, item: RollbackItem, standing: dict[tuple[int, ...], HistoryRow]) -> list[Revision]:
        own_key = tuple(map(int, item.migration.version_key))
        below = [each for each in self._migrations if each.version_key < own_key]
        chosen = chains.chosen_of(below, standing)
        keys = {each.pk for each in chosen}
        found = chains.counting(
            chosen, (each for each in self._revisions if each.migration_id in keys), standing
        )
        own = next(each for each in self._revisions if each.pk == item.revision_id)
        return [*(found[each.pk] for each in chosen if each.pk in found), own]

    @cached_property
    def _top(self) -> Migration:
        return max((item.migration for item in self.items), key=lambda each: each.version_key)

    @property
    def _migrations(self) -> list[Below]:
        """All that may stand below any of the items."""
        return self._read[0]

    @property
    def _revisions(self) -> list[Revision]:
        """The texts of the items and of all of those, by migration and number."""
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[list[Below], list[Revision]]:
        """Both in one query: each text with what counts of its migration."""
        own = Q(pk__in=[item.revision_id for item in self.items])
        below = Q(
            migration__service=self._top.service_id,
            migration__version_key__lt=self._top.version_key,
            migration__kind__in=chains.CHAINED,
        )
        found = MigrationRevision.objects.filter(own | below).order_by("migration_id", "number")
        migrations: dict[int, Below] = {}
        revisions = []
        for row in found.values_list(*Revision._fields, *OF_MIGRATION):
            revision = Revision._make(row[: len(Revision._fields)])
            revisions.append(revision)
            if revision.migration_id not in migrations:
                kind, version, removed_at = row[len(Revision._fields) :]
                key = tuple(map(int, version))
                migrations[revision.migration_id] = Below(revision.migration_id, kind, key, removed_at)
        return list(migrations.values()), revisions
