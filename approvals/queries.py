"""Reads that pages share. Each takes a constant number of queries, however long its list is."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, F, Func, IntegerField, JSONField, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from . import access
from .models import (
    HistoryRow,
    ImportRun,
    Migration,
    MigrationRevision,
    RollbackRequest,
    RollbackScript,
    Service,
    Target,
    User,
)


def count_of(things: QuerySet[Any]) -> Coalesce:
    """How many of these (filtered by an OuterRef) there are, as a column."""
    # One group whatever the model's ordering says.
    counted = things.order_by().annotate(one=Value(1)).values("one").annotate(n=Count("pk")).values("n")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)


def services(user: User, *, text: str = "") -> QuerySet[Service]:
    """Visible services with how many targets and migrations they have and what their last import found."""
    runs = ImportRun.objects.filter(service=OuterRef("pk")).order_by("-at")
    problems = Func(F("problems"), function="jsonb_array_length", output_field=IntegerField())
    return (
        access.services(user)
        .filter(name__icontains=text)
        .select_related("team")
        .annotate(
            target_count=count_of(Target.objects.filter(service=OuterRef("pk"))),
            migration_count=count_of(Migration.objects.filter(service=OuterRef("pk"), removed_at=None)),
            imported_at=Subquery(runs.values("at")[:1]),
            problem_count=Subquery(runs.annotate(n=problems).values("n")[:1]),
        )
        .order_by("name")
    )


def targets(
    user: User, *, text: str = "", service: str = "", environment: str = "", health: str = ""
) -> QuerySet[Target]:
    """Visible targets with the number of rows in their history, filtered."""
    found = access.targets(user).annotate(
        row_count=count_of(HistoryRow.objects.filter(target=OuterRef("pk")))
    )
    if text:
        found = found.filter(Q(name__icontains=text) | Q(host__icontains=text) | Q(dbname__icontains=text))
    for name, value in {"service__name": service, "environment": environment, "health": health}.items():
        if value:
            found = found.filter(**{name: value})
    return found.order_by("service__name", "environment", "name")


def migrations(service: Service, *, text: str = "", show: str = "") -> QuerySet[Migration]:
    """The service's migrations, newest version first, with newest revision's risk and newest script's number.

    `show` may be "no-script" (versioned ones without any) or "changed" (more than one revision).
    """
    revisions = MigrationRevision.objects.filter(migration=OuterRef("pk")).order_by("-number")
    scripts = RollbackScript.objects.filter(migration=OuterRef("pk")).order_by("-number")
    found = service.migrations.annotate(
        risk=Subquery(revisions.values("risk")[:1]),
        revision_number=Subquery(revisions.values("number")[:1]),
        unreadable=Subquery(revisions.annotate(n=_length("analysis", "errors")).values("n")[:1]),
        script_number=Subquery(scripts.values("number")[:1]),
        script_origin=Subquery(scripts.values("origin")[:1]),
        script_problems=Subquery(scripts.annotate(n=_length("plan", "problems")).values("n")[:1]),
    )
    if text:
        found = found.filter(Q(version__icontains=text) | Q(description__icontains=text))
    if show == "no-script":
        found = found.filter(kind=Migration.Kind.VERSIONED, script_number=None, removed_at=None)
    if show == "changed":
        found = found.filter(revision_number__gt=1)
    return found.order_by("kind", "-version_key", "description")


def _length(column: str, key: str) -> Func:
    """How many entries a list inside a JSON column has; NULL where there is none."""
    inside = Func(F(column), Value(key), function="jsonb_extract_path", output_field=JSONField())
    return Func(inside, function="jsonb_array_length", output_field=IntegerField())


def hazards_of(column: str = "plan") -> Func:
    """The hazard words of a plan's steps as a list, without reading the plan itself."""
    path = Value("$.steps[*].statement.hazard")
    return Func(
        F(column),
        path,
        template="jsonb_path_query_array(%(expressions)s::jsonpath)",
        output_field=JSONField(),
    )


def with_subjects(rollbacks: QuerySet[RollbackRequest]) -> QuerySet[RollbackRequest]:
    """Rollbacks with everything that their line in a list says: service, person, migrations, targets."""
    return rollbacks.select_related("service", "requester", "incident").prefetch_related(
        "items__migration", "rollback_targets__target"
    )
