"""How far each migration of a target has come on its way back: a script, a proof, a rehearsal; as a bar.

What comes later is one more entry of STAGES and one more read here; pages show whatever STAGES has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from django.db.models import BooleanField, ExpressionWrapper, F, FilteredRelation, Q, TextField
from django.db.models.functions import Cast
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from approvals.analysis import Risk
from approvals.models import Evidence, RollbackItem, RollbackScript, Target
from approvals.queries import hazards_of

from .proof_words import Word, word


@dataclass(frozen=True)
class Stage:
    """How far a way back has come: its key in URLs, its word, and how the bar shows it."""

    key: str
    word: str | Promise
    css: str


# The furthest first.
REHEARSED = Stage("rehearsed", _("rehearsed here"), "ok")
PROVEN = Stage("proven", _("proven"), "proven")
SCRIPT = Stage("script", _("script only"), "weak")
NONE = Stage("none", _("none"), "none")
STAGES = (REHEARSED, PROVEN, SCRIPT, NONE)


_ORIGINS = dict(RollbackScript.Origin.choices)


# A thousand of each are made for one page, which a tuple is for in a fifth of a dataclass's time.


class Script(NamedTuple):
    """The newest script of a migration."""

    pk: int
    number: int
    origin: str

    @property
    def word(self) -> str:
        return str(_ORIGINS[self.origin])


class Rehearsal(NamedTuple):
    """The last rehearsal of a migration's rollback for a target; `current` if it was of the newest script.
    Its moment stays as the database writes it until somebody asks: few of a thousand are shown."""

    when: str
    holds: bool
    current: bool

    @property
    def at(self) -> datetime:
        return datetime.fromisoformat(self.when)


class Proven(NamedTuple):
    """The newest answered proof of a script, and Flyway's checksum of the text that it was held against."""

    verdict: str
    holds: bool
    checksum: int

    @property
    def word(self) -> Word:
        return word(self.verdict)


class WayBack(NamedTuple):
    """What there is to take one migration back with."""

    script: Script | None = None
    rehearsal: Rehearsal | None = None
    proof: Proven | None = None

    def for_text(self, checksum: int | None) -> WayBack:
        """The same where the text with this checksum is applied: a proof of another text proves nothing."""
        if self.proof is None or self.proof.checksum == checksum:
            return self
        return self._replace(proof=None)

    @property
    def stage(self) -> Stage:
        if self.script is None:
            return NONE
        passed = self.rehearsal is not None and self.rehearsal.holds and self.rehearsal.current
        if passed:
            return REHEARSED
        return PROVEN if self.proof is not None and self.proof.holds else SCRIPT


NO_WAY_BACK = WayBack()
# The fields of Script and Proven, as columns of a script.
SCRIPT_COLUMNS = ("pk", "number", "origin")
PROOF_COLUMNS = ("said__verdict", "said__holds", "said__revision__checksum")


def ways_back(target: Target) -> dict[int, WayBack]:
    """The way back of every migration of the target's service that has a script, by its key: the newest
    script, and of its answered proofs the newest; two queries."""
    scripts = RollbackScript.objects.filter(migration__service=target.service_id)
    newest = list(
        scripts.annotate(said=FilteredRelation("proofs", condition=Q(proofs__at__isnull=False)))
        .order_by("migration_id", "-number", "-said__job_id")
        .distinct("migration_id")
        .values_list("migration_id", *SCRIPT_COLUMNS, *PROOF_COLUMNS)
    )
    rehearsals = _rehearsals(target, {migration: script for migration, script, *_rest in newest})
    return {
        migration: WayBack(
            Script(pk, number, origin),
            rehearsals.get(migration),
            Proven(*said) if said[0] is not None else None,
        )
        for migration, pk, number, origin, *said in newest
    }


def _rehearsals(target: Target, scripts: dict[int, int]) -> dict[int, Rehearsal]:
    """The last rehearsal of each migration there; `scripts` are the newest by migration, both as keys."""
    same_bytes = Q(rollback__change_digest=F("rollback__evidence__change_digest"))
    found = (
        RollbackItem.objects.filter(
            rollback__rollback_targets__target=target,
            rollback__evidence__kind=Evidence.Kind.REHEARSAL,
        )
        .order_by("migration_id", "-rollback__evidence__at")
        .distinct("migration_id")
        .values_list(
            "migration_id",
            "script_id",
            ExpressionWrapper(same_bytes, BooleanField()),
            Cast("rollback__evidence__at", TextField()),
            "rollback__evidence__holds",
        )
    )
    return {
        migration: Rehearsal(when, holds, same and scripts.get(migration) == script)
        for migration, script, same, when, holds in found
    }


@dataclass(frozen=True)
class Part:
    """One part of the bar: how many have come this far, and where it stands, in percent."""

    stage: Stage
    count: int
    begins: float
    width: float


@dataclass(frozen=True)
class Coverage:
    """How many of some migrations have come how far; every stage is in it, the furthest first."""

    parts: tuple[Part, ...]
    total: int


def coverage(stages: Iterable[Stage]) -> Coverage:
    """Count the stages of some migrations."""
    found = list(stages)
    parts: list[Part] = []
    begins = 0.0
    for stage in STAGES:
        count = found.count(stage)
        width = round(100 * count / len(found), 2) if found else 0.0
        parts.append(Part(stage, count, round(begins, 2), width))
        begins += width
    return Coverage(tuple(parts), len(found))


def hazards(keys: Iterable[int]) -> dict[int, list[str]]:
    """The hazard words of the scripts with these keys, by key; one query."""
    return dict(RollbackScript.objects.filter(pk__in=list(keys)).values_list("pk", hazards_of()))


def risk_of(forward: int | None, hazards: Sequence[str]) -> int | None:
    """The risk of taking a migration back before any live fact: the matrix's or the worst hazard's."""
    return max([*([forward] if forward else []), *(int(Risk[word]) for word in hazards)], default=None)
