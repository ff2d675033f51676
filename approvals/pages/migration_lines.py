"""What lists say of migrations besides their own columns: the newest file and script of each, and its proof.

A page reads that for the rows that it shows. Filters and orders ask the database for the same of all
(`approvals.queries.with_newest`), and only where somebody filters.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import F, Func, IntegerField, OuterRef, QuerySet, Subquery

from approvals.models import Evidence, Migration, MigrationRevision, Proof, RollbackItem, RollbackScript
from approvals.queries import hazards_of, length_of

from .proof_words import Word, word
from .ways_back import risk_of

UNREADABLE, PROBLEMS = length_of("analysis", "errors"), length_of("plan", "problems")


class NotUndone(Func):
    """How many effects a completeness (first) names as not undone that a script (second) does not declare."""

    template = (
        "(SELECT count(*) FROM (SELECT %(expressions)s) AS said (found, declared),"
        " jsonb_path_query(said.found, '$.effects[*] ? (@.fate == \"not undone\").key') AS effect"
        " WHERE NOT jsonb_exists(said.declared, effect #>> '{}'))"
    )
    output_field = IntegerField()


class File(NamedTuple):
    """The newest revision of a migration's file; `unreadable` is how many errors keep it from being read."""

    pk: int
    number: int
    risk: int | None
    unreadable: int | None


class Script(NamedTuple):
    """The newest script of a migration; one with problems is refused."""

    pk: int
    number: int
    origin: str
    problems: int | None
    hazards: list[str]


class Found(NamedTuple):
    """What the newest answered proof says of that script against that file."""

    verdict: str
    holds: bool
    way: str
    not_undone: int

    @property
    def word(self) -> Word:
        return word(self.verdict)


@dataclass(frozen=True)
class Line:
    """One migration of a list."""

    migration: Migration
    file: File | None
    script: Script | None
    proof: Found | None

    @property
    def risk(self) -> int | None:
        """The risk of taking it back, before any live fact."""
        return risk_of(self.file.risk if self.file else None, self.script.hazards if self.script else ())


def lines(found: Iterable[Any]) -> list[Line]:
    """Migrations of `queries.migrations` as lists show them; three queries."""
    migrations = list(found)
    files = _files([each.newest_file for each in migrations if each.newest_file])
    scripts, newest = _scripts([each.newest_script for each in migrations if each.newest_script], [*files])
    proofs = _proofs(list(newest.values()))
    return [
        Line(
            each,
            files.get(each.newest_file),
            scripts.get(each.newest_script),
            proofs[newest[each.newest_script]] if each.newest_script in newest else None,
        )
        for each in migrations
    ]


def rehearsed() -> QuerySet[RollbackItem]:
    """Where a script was part of what passed a rehearsal, as it is."""
    return RollbackItem.objects.filter(
        rollback__evidence__kind=Evidence.Kind.REHEARSAL,
        rollback__evidence__holds=True,
        rollback__evidence__change_digest=F("rollback__change_digest"),
    ).order_by()


def _files(keys: list[int]) -> dict[int, File]:
    found = MigrationRevision.objects.filter(pk__in=keys).order_by()
    return {row[0]: File(*row) for row in found.values_list("pk", "number", "risk", UNREADABLE)}


def _scripts(keys: list[int], files: list[int]) -> tuple[dict[int, Script], dict[int, UUID]]:
    """The scripts, and the newest answered proof of each against one of these files, by their keys."""
    proofs = Proof.objects.filter(script=OuterRef("pk"), revision__in=files, at__isnull=False)
    found = RollbackScript.objects.filter(pk__in=keys).order_by()
    columns = ("pk", "number", "origin", PROBLEMS, hazards_of())
    rows = found.values_list(Subquery(proofs.order_by("-job_id").values("pk")[:1]), *columns)
    scripts = {pk: Script(pk, *rest) for _proof, pk, *rest in rows}
    return scripts, {pk: proof for proof, pk, *_rest in rows if proof is not None}


def _proofs(keys: list[UUID]) -> dict[UUID, Found]:
    found = Proof.objects.filter(pk__in=keys).order_by()
    columns = ("pk", "verdict", "holds", "way", NotUndone("completeness", "script__left"))
    return {proof: Found(*rest) for proof, *rest in found.values_list(*columns)}
