"""How far a service's migrations have come on their way back: a script, complete, proven, rehearsed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import (
    BooleanField,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    Func,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
)
from django.db.models.functions import Coalesce
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy
from django.utils.translation import ngettext

from approvals import queries
from approvals.models import (
    Evidence,
    Migration,
    MigrationRevision,
    Proof,
    RollbackItem,
    RollbackScript,
    Service,
)

from .proof_words import Word, word

Text = str | Promise


class NotUndone(Func):
    """How many effects a completeness (first) names as not undone that a script (second) does not declare."""

    template = (
        "(SELECT count(*) FROM (SELECT %(expressions)s) AS said (found, declared),"
        " jsonb_path_query(said.found, '$.effects[*] ? (@.fate == \"not undone\").key') AS effect"
        " WHERE NOT jsonb_exists(said.declared, effect #>> '{}'))"
    )
    output_field = IntegerField()


PROVEN, COMPLETE = Q(proof_holds=True), Q(not_undone=0)
SCRIPT, READABLE = Q(script_number__isnull=False), Q(script_problems=0)
DONE = PROVEN & COMPLETE & Q(rehearsed=True)
# key in the URL -> (its word, which migrations it shows)
VIEWS: dict[str, tuple[Any, Q]] = {
    "": (lazy("all"), Q()),
    "none": (lazy("without a script"), ~SCRIPT),
    "refused": (lazy("with a script that is refused"), Q(script_problems__gt=0)),
    "incomplete": (lazy("with something not undone"), Q(not_undone__gt=0)),
    "unproven": (lazy("with a script, not proven"), SCRIPT & ~PROVEN),
    "unrehearsed": (lazy("proven, not rehearsed"), PROVEN & Q(rehearsed=False)),
    "done": (lazy("proven and rehearsed"), DONE),
}
SORTS: queries.Sorts = {
    "": (lazy("newest first"), ("-version_key",)),
    "oldest": (lazy("oldest first"), ("version_key",)),
    "behind": (
        lazy("least far first"),
        ("has_script", "proof_holds", "rehearsed",
         "-version_key"),
    ),
    "risk": (lazy("highest risk first"), (F("risk").desc(nulls_last=True), "-version_key")),
}  # fmt: skip


@dataclass(frozen=True)
class Share:
    """How many of all have come this far; `key` is the view of those that have not."""

    key: str
    label: Text
    count: int
    total: int

    @property
    def percent(self) -> float:
        return round(100 * self.count / self.total, 2) if self.total else 0.0

    @property
    def missing(self) -> int:
        return self.total - self.count


def migrations(service: Service, *, text: str = "", show: str = "", sort: str = "") -> QuerySet[Migration]:
    """The versioned migrations that are in the directory, each with how far its newest script has come."""
    found = _annotated(queries.migrations(service, text=text))
    return found.filter(VIEWS[show][1]).order_by(*SORTS[sort][1])


def _annotated(found: QuerySet[Migration]) -> QuerySet[Migration]:
    scripts = RollbackScript.objects.filter(migration=OuterRef("pk")).order_by("-number")
    revisions = MigrationRevision.objects.filter(migration=OuterRef("pk"))
    found = found.filter(kind=Migration.Kind.VERSIONED, removed_at=None).annotate(
        newest_script=Subquery(scripts.values("pk")[:1]),
        newest_revision=Subquery(revisions.order_by("-number").values("pk")[:1]),
    )
    proofs = Proof.objects.filter(
        script=OuterRef("newest_script"), revision=OuterRef("newest_revision"), at__isnull=False
    ).order_by("-job_id")
    rehearsals = RollbackItem.objects.filter(
        script=OuterRef("newest_script"),
        rollback__evidence__kind=Evidence.Kind.REHEARSAL,
        rollback__evidence__holds=True,
        rollback__evidence__change_digest=F("rollback__change_digest"),
    )
    open_effects = proofs.annotate(n=NotUndone("completeness", "script__left"))
    return found.annotate(
        proof_verdict=Coalesce(Subquery(proofs.values("verdict")[:1]), Value("")),
        proof_holds=Coalesce(Subquery(proofs.values("holds")[:1]), Value(False)),
        proof_at=Subquery(proofs.values("at")[:1]),
        proof_way=Subquery(proofs.values("way")[:1]),
        not_undone=Subquery(open_effects.values("n")[:1]),
        rehearsed=Exists(rehearsals),
        has_script=ExpressionWrapper(SCRIPT, output_field=BooleanField()),
    )


def shares(service: Service) -> list[Share]:
    """How many of the service's migrations have come how far; one query."""
    count = _annotated(queries.migrations(service)).aggregate(
        all=Count("pk"),
        of_script=Count("pk", filter=SCRIPT & READABLE),
        of_complete=Count("pk", filter=COMPLETE),
        of_proven=Count("pk", filter=PROVEN),
        of_rehearsed=Count("pk", filter=Q(rehearsed=True)),
    )
    total = count["all"]
    return [
        Share("none", lazy("with a script that can run"), count["of_script"], total),
        Share("incomplete", lazy("complete: every effect undone or declared"), count["of_complete"], total),
        Share("unproven", lazy("proven"), count["of_proven"], total),
        Share("unrehearsed", lazy("rehearsed"), count["of_rehearsed"], total),
    ]


def say(migrations: list[Any]) -> None:
    """Give each migration of one page its verdict's words and, in words, what is missing."""
    for migration in migrations:
        migration.verdict = verdict(migration)
        migration.missing = list(_missing(migration))


def verdict(migration: Any) -> Word:
    """The words of the newest proof of a migration's newest script."""
    return word(migration.proof_verdict)


def _missing(migration: Any) -> list[str]:
    if migration.script_number is None:
        return [_("a script")]
    if migration.script_problems:
        return [_("a script that can run: this one is refused")]
    if not migration.proof_verdict:
        return [_("a proof")]
    found = []
    if n := migration.not_undone:
        found.append(
            ngettext("a step or reason for %(n)d effect", "steps or reasons for %(n)d effects", n) % {"n": n}
        )
    if not migration.proof_holds:
        found.append(_("a proof that holds"))
    if not migration.rehearsed:
        found.append(_("a rehearsal"))
    return found
