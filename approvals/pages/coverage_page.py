"""How far a service's migrations have come on their way back: a script, complete, proven, rehearsed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import (
    BooleanField,
    Exists,
    ExpressionWrapper,
    F,
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
from approvals.models import Migration, Proof, Service

from . import migration_lines
from .migration_lines import Line
from .proof_words import Word, word

Text = str | Promise


HERE = Q(kind=Migration.Kind.VERSIONED, removed_at=None)
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
    """The versioned migrations that are in the directory; of each the keys of its newest file and script."""
    found = queries.migrations(service, text=text).filter(HERE)
    if show or sort:
        found = _with_standing(queries.with_newest(found))
    return found.filter(VIEWS[show][1]).order_by(*SORTS[sort][1])


def _with_standing(found: QuerySet[Migration]) -> QuerySet[Migration]:
    """Migrations that can be filtered and ordered by how far their newest script has come."""
    proofs = Proof.objects.filter(
        script=OuterRef("newest_script"), revision=OuterRef("newest_file"), at__isnull=False
    ).order_by("-job_id")
    open_effects = proofs.annotate(n=migration_lines.NotUndone("completeness", "script__left"))
    return found.alias(
        proof_holds=Coalesce(Subquery(proofs.values("holds")[:1]), Value(False)),
        not_undone=Subquery(open_effects.values("n")[:1]),
        rehearsed=Exists(migration_lines.rehearsed().filter(script=OuterRef("newest_script"))),
        has_script=ExpressionWrapper(SCRIPT, output_field=BooleanField()),
    )


# Each thing is found once for all migrations: as filters of rows, one by one, it takes ten times as long.
SHARES = """
WITH migration AS MATERIALIZED (
    SELECT id FROM approvals_migration WHERE service_id = %(service)s AND kind = 'V' AND removed_at IS NULL
), script AS MATERIALIZED (
    SELECT DISTINCT ON (every.migration_id) every.id
    FROM migration JOIN approvals_rollbackscript every ON every.migration_id = migration.id
    ORDER BY every.migration_id, every.number DESC
), file AS MATERIALIZED (
    SELECT DISTINCT ON (every.migration_id) every.id
    FROM migration JOIN approvals_migrationrevision every ON every.migration_id = migration.id
    ORDER BY every.migration_id, every.number DESC
), proof AS MATERIALIZED (
    SELECT DISTINCT ON (every.script_id) every.id
    FROM approvals_proof every
    JOIN script ON script.id = every.script_id
    JOIN file ON file.id = every.revision_id
    WHERE every.at IS NOT NULL
    ORDER BY every.script_id, every.job_id DESC
)
SELECT
    (SELECT count(*) FROM migration),
    (SELECT count(*) FROM script JOIN approvals_rollbackscript USING (id)
     WHERE jsonb_array_length(plan -> 'problems') = 0),
    (SELECT count(*) FROM proof JOIN approvals_proof every USING (id)
     JOIN approvals_rollbackscript script ON script.id = every.script_id
     WHERE NOT EXISTS (
         SELECT FROM jsonb_path_query(completeness, '$.effects[*] ? (@.fate == "not undone").key') effect
         WHERE NOT jsonb_exists(script."left", effect #>> '{}')
     )),
    (SELECT count(*) FROM proof JOIN approvals_proof USING (id) WHERE holds),
    (SELECT count(DISTINCT script.id) FROM script
     JOIN approvals_rollbackitem item ON item.script_id = script.id
     JOIN approvals_rollbackrequest rollback ON rollback.id = item.rollback_id
     JOIN approvals_evidence passed
     ON passed.rollback_id = rollback.id AND passed.change_digest = rollback.change_digest
     WHERE passed.kind = 'rehearsal' AND passed.holds)
"""


def shares(service: Service) -> list[Share]:
    """How many of the service's migrations have come how far; one query."""
    with connection.cursor() as cursor:
        cursor.execute(SHARES, {"service": service.pk})
        total, can_run, complete, proven, rehearsed = cursor.fetchone()
    return [
        Share("none", lazy("with a script that can run"), can_run, total),
        Share("incomplete", lazy("complete: every effect undone or declared"), complete, total),
        Share("unproven", lazy("proven"), proven, total),
        Share("unrehearsed", lazy("rehearsed"), rehearsed, total),
    ]


@dataclass(frozen=True)
class Row:
    """One migration of the table, with what is missing in words."""

    line: Line
    rehearsed: bool
    missing: list[str]

    @property
    def verdict(self) -> Word:
        """The words of the newest proof of its newest script."""
        return self.line.proof.word if self.line.proof else word("")


def rows(migrations: Iterable[Migration]) -> list[Row]:
    """The rows of one page; four queries."""
    lines = migration_lines.lines(migrations)
    scripts = [line.script.pk for line in lines if line.script]
    found = migration_lines.rehearsed().filter(script__in=scripts)
    passed = set(found.values_list("script_id", flat=True))
    return [_row(line, line.script is not None and line.script.pk in passed) for line in lines]


def _row(line: Line, rehearsed: bool) -> Row:
    return Row(line, rehearsed, _missing(line, rehearsed))


def _missing(line: Line, rehearsed: bool) -> list[str]:
    if line.script is None:
        return [_("a script")]
    if line.script.problems:
        return [_("a script that can run: this one is refused")]
    if line.proof is None or not line.proof.verdict:
        return [_("a proof")]
    found = []
    if n := line.proof.not_undone:
        found.append(
            ngettext("a step or reason for %(n)d effect", "steps or reasons for %(n)d effects", n) % {"n": n}
        )
    if not line.proof.holds:
        found.append(_("a proof that holds"))
    if not rehearsed:
        found.append(_("a rehearsal"))
    return found
