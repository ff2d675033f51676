"""Reads that pages share. Each takes a constant number of queries, however long its list is."""

from __future__ import annotations

from typing import Any

from django.db.models import (
    Case,
    Count,
    F,
    Func,
    IntegerField,
    JSONField,
    OrderBy,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from . import access
from .models import (
    Execution,
    ExecutionStatus,
    HistoryRow,
    ImportRun,
    Migration,
    MigrationRevision,
    RollbackRequest,
    RollbackScript,
    Service,
    Status,
    Target,
    User,
)


def count_of(things: QuerySet[Any]) -> Coalesce:
    """How many of these (filtered by an OuterRef) there are, as a column."""
    # One group whatever the model's ordering says.
    counted = things.order_by().annotate(one=Value(1)).values("one").annotate(n=Count("pk")).values("n")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)


Sorts = dict[str, tuple[Any, tuple[OrderBy | str, ...]]]
View = tuple[Any, Q]

# key in the URL -> (its word, the order); the first is the one without a key.
SERVICE_SORTS: Sorts = {
    "": (_("by name"), ("name",)),
    "imported": (_("last imported first"), (F("imported_at").desc(nulls_last=True), "name")),
    "problems": (_("most found wrong first"), (F("problem_count").desc(nulls_last=True), "name")),
}
TARGET_SORTS: Sorts = {
    "": (_("by service"), ("service__name", "environment", "name")),
    "name": (_("by name"), ("name",)),
    "stale": (_("longest not read first"), (F("synced_at").asc(nulls_first=True), "name")),
    "rows": (_("longest history first"), ("-row_count", "name")),
}
MIGRATION_SORTS: Sorts = {
    "": (_("newest first"), ("kind", "-version_key", "description")),
    "oldest": (_("oldest first"), ("kind", "version_key", "description")),
    "risk": (_("highest risk first"), (F("risk").desc(nulls_last=True), "kind", "-version_key")),
}
# key in the URL -> (its word, which migrations it shows)
MIGRATION_VIEWS: dict[str, View] = {
    "": (_("all"), Q()),
    "no-script": (
        _("without a rollback script"),
        Q(kind=Migration.Kind.VERSIONED, script_number=None, removed_at=None),
    ),
    "script": (_("with a rollback script"), Q(script_number__isnull=False)),
    "refused": (_("with a script that is refused"), Q(script_problems__gt=0)),
    "changed": (_("changed since first imported"), Q(revision_number__gt=1)),
    "unreadable": (_("not readable as SQL"), Q(unreadable__gt=0)),
    "removed": (_("removed from the directory"), Q(removed_at__isnull=False)),
}


def choices(sorts: Sorts) -> list[tuple[str, Any]]:
    """The orders that a list offers, as a form takes them."""
    return [(key, word) for key, (word, _order) in sorts.items()]


def services(user: User, *, text: str = "", show: str = "", sort: str = "") -> QuerySet[Service]:
    """Visible services with how many targets and migrations they have and what their last import found.

    `show` may be "problems" (those in which something was found).
    """
    runs = ImportRun.objects.filter(service=OuterRef("pk")).order_by("-at")
    problems = Func(F("problems"), function="jsonb_array_length", output_field=IntegerField())
    found = (
        access.services(user)
        .filter(name__icontains=text)
        .select_related("team")
        .annotate(
            target_count=count_of(Target.objects.filter(service=OuterRef("pk"))),
            migration_count=count_of(Migration.objects.filter(service=OuterRef("pk"), removed_at=None)),
            imported_at=Subquery(runs.values("at")[:1]),
            problem_count=Subquery(runs.annotate(n=problems).values("n")[:1]),
        )
    )
    if show == "problems":
        found = found.filter(problem_count__gt=0)
    return found.order_by(*SERVICE_SORTS[sort][1])


def service(user: User) -> QuerySet[Service]:
    """Visible services with how many migrations they have."""
    migrations = Migration.objects.filter(service=OuterRef("pk"), removed_at=None)
    return access.services(user).select_related("team").annotate(migration_count=count_of(migrations))


def targets(
    user: User,
    *,
    text: str = "",
    service: str = "",
    environment: str = "",
    health: str = "",
    sort: str = "",
) -> QuerySet[Target]:
    """Visible targets with the number of rows in their history, filtered.

    `health` may be one of a target, or "lacking": it answers, and something is missing there.
    """
    found = access.targets(user).annotate(
        row_count=count_of(HistoryRow.objects.filter(target=OuterRef("pk")))
    )
    if text:
        found = found.filter(Q(name__icontains=text) | Q(host__icontains=text) | Q(dbname__icontains=text))
    if health == "lacking":
        found, health = found.exclude(health_text=""), Target.Health.GOOD
    for name, value in {"service__name": service, "environment": environment, "health": health}.items():
        if value:
            found = found.filter(**{name: value})
    return found.order_by(*TARGET_SORTS[sort][1])


def migrations(service: Service, *, text: str = "", show: str = "", sort: str = "") -> QuerySet[Migration]:
    """The service's migrations with this text in version or description, each with the keys of its newest
    file and script; `show` is one of MIGRATION_VIEWS."""
    revisions = MigrationRevision.objects.filter(migration=OuterRef("pk")).order_by("-number")
    scripts = RollbackScript.objects.filter(migration=OuterRef("pk")).order_by("-number")
    found: QuerySet[Migration] = service.migrations.annotate(
        newest_file=Subquery(revisions.values("pk")[:1]), newest_script=Subquery(scripts.values("pk")[:1])
    )
    if text:
        found = found.filter(Q(version__icontains=text) | Q(description__icontains=text))
    if show or sort:
        found = with_newest(found)
    return found.filter(MIGRATION_VIEWS[show][1]).order_by(*MIGRATION_SORTS[sort][1])


def with_newest(migrations: QuerySet[Migration]) -> QuerySet[Migration]:
    """Migrations that can be filtered and ordered by their newest revision (`risk`, `revision_number`,
    `unreadable`) and their newest script (`script_number`, `script_problems`)."""
    revisions = MigrationRevision.objects.filter(migration=OuterRef("pk")).order_by("-number")
    scripts = RollbackScript.objects.filter(migration=OuterRef("pk")).order_by("-number")
    return migrations.alias(
        risk=Subquery(revisions.values("risk")[:1]),
        revision_number=Subquery(revisions.values("number")[:1]),
        unreadable=Subquery(revisions.annotate(n=length_of("analysis", "errors")).values("n")[:1]),
        script_number=Subquery(scripts.values("number")[:1]),
        script_problems=Subquery(scripts.annotate(n=length_of("plan", "problems")).values("n")[:1]),
    )


def length_of(column: str, key: str) -> Func:
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


def names_of(*people: str) -> list[str]:
    """The columns that people in these relations are called by, for `only`."""
    return [f"{person}__{column}" for person in people for column in ("username", "first_name", "last_name")]


# What a line about a rollback says besides its own columns, as prefetches.
SUBJECTS = ("items__migration", "rollback_targets__target")


# How an execution stands that goes on only when somebody does something.
HELD = (ExecutionStatus.UNRESOLVED, ExecutionStatus.PARTIAL, ExecutionStatus.AWAITING_RESTART)


def with_standing(rollbacks: QuerySet[RollbackRequest]) -> QuerySet[RollbackRequest]:
    """Rollbacks with `stands`: how the execution stands that waits for people, an unresolved one before any
    other; else their own status. No list may show a turning ring where nothing turns."""
    runs = Execution.objects.filter(
        rollback_target__rollback=OuterRef("pk"), purpose=Execution.Purpose.REAL
    ).order_by(Case(When(status=ExecutionStatus.UNRESOLVED, then=0), default=1), "-queued_at")
    newest = Subquery(runs.values("status")[:1])
    held = When(status=Status.EXECUTING, held__in=HELD, then=F("held"))
    return rollbacks.annotate(held=newest).annotate(stands=Case(held, default=F("status")))


def with_subjects(rollbacks: QuerySet[RollbackRequest]) -> QuerySet[RollbackRequest]:
    """Rollbacks with everything that their line in a list says: service, person, migrations, targets."""
    return rollbacks.select_related("service", "requester", "incident").prefetch_related(*SUBJECTS)
