"""Reads for the pages of rollbacks: the list, one rollback with all it shows, and what may be taken back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, F, OrderBy, Prefetch, QuerySet
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from approvals import access, history, policy, queries
from approvals.flyway import history as flyway_history
from approvals.flyway.rows import CorruptHistory
from approvals.flyway.versions import Version
from approvals.models import (
    Execution,
    Migration,
    MigrationRevision,
    Role,
    RollbackItem,
    RollbackRequest,
    RollbackScript,
    RollbackTarget,
    Target,
    User,
)
from approvals.queries import names_of

# What the list can be sorted by; what has no risk or no deadline yet comes last.
SORTS: dict[str, tuple[Any, tuple[OrderBy | str, ...]]] = {
    "": (_("newest first"), ("-id",)),
    "oldest": (_("oldest first"), ("id",)),
    "risk": (_("highest risk first"), (F("risk").desc(nulls_last=True), "-id")),
    "expiry": (_("ending soonest first"), (F("expires_at").asc(nulls_last=True), "-id")),
}


# What the page of a rollback says of its attempts; the locks are those of the rehearsal that counts.
OF_ATTEMPTS = (
    "rollback_target_id",
    "purpose",
    "status",
    "sentence",
    "queued_at",
    "finished_at",
    "settled_at",
    "worker",
    "timings",
    "locks",
)


def listed(
    user: User,
    *,
    status: str = "",
    service: str = "",
    risk: int | None = None,
    mine: bool = False,
    forced: bool = False,
    excepted: bool = False,
    sort: str = "",
) -> QuerySet[RollbackRequest]:
    """The rollbacks this person may see, filtered and sorted; three queries with versions and targets."""
    found = access.rollbacks(user)
    if status:
        found = found.filter(status=status)
    if service:
        found = found.filter(service__name=service)
    if risk:
        found = found.filter(risk=risk)
    if mine:
        found = found.filter(requester=user)
    if forced:
        found = found.filter(forced=True)
    if excepted:
        found = found.filter(excepted=True)
    return queries.with_standing(found.order_by(*SORTS[sort][1])).prefetch_related(
        Prefetch("items", RollbackItem.objects.select_related("migration").order_by("position")),
        Prefetch("rollback_targets", RollbackTarget.objects.select_related("target")),
    )


def with_everything(user: User) -> QuerySet[RollbackRequest]:
    """The rollbacks this person may see, each with what its page shows of items, targets and decisions."""
    items = (
        RollbackItem.objects.select_related("migration", "revision", "script")
        .prefetch_related("script__authors")
        .order_by("position")
    )
    return (
        access.rollbacks(user)
        .select_related("incident", "policy_version")
        .prefetch_related(
            Prefetch("items", items),
            Prefetch("rollback_targets", RollbackTarget.objects.select_related("target__service")),
            Prefetch("approvals", policy.judged()),
        )
    )


def attempts(rollback: RollbackRequest, *, limit: int = 20) -> list[Execution]:
    """The newest rehearsals and executions of a rollback, with what its page says of them."""
    found = Execution.objects.filter(rollback_target__rollback=rollback)
    found = found.select_related("requested_by", "target")
    names = ("target__name", *names_of("requested_by"))
    return list(found.only(*OF_ATTEMPTS, *names).order_by("-queued_at")[:limit])


def asks_for(user: User) -> QuerySet[Target]:
    """The targets on which this person may ask for a rollback: an engineer's, of services their teams own."""
    if Role.ENGINEER not in user.roles:
        return Target.objects.none()
    return Target.objects.filter(service__team__in=user.teams.all()).select_related("service")


@dataclass(frozen=True)
class Choice:
    """One migration applied on a target, as something to take back; `problem` says why it can't be chosen."""

    version: str
    description: str
    rank: int
    installed_on: datetime
    installed_by: str
    migration: Migration | None
    scripts: int
    problem: str = ""


@dataclass(frozen=True)
class Applied:
    """What is applied on a target, newest first, and the rows this was read from."""

    choices: list[Choice]
    rows: Sequence[flyway_history.HistoryRow]
    problem: str = ""

    def down_to(self, version: str) -> list[Choice]:
        """This migration and all that have to go with it, newest first; empty where it isn't applied."""
        wanted = [c for c in self.choices if c.version == version]
        if not wanted:
            return []
        chosen = [Version.parse(version)]
        while more := flyway_history.newer_applied_above(self.rows, chosen) or (
            flyway_history.installed_after(self.rows, chosen)
        ):
            chosen += more
        return [choice for choice in self.choices if Version.parse(choice.version) in set(chosen)]


def applied(target: Target) -> Applied:
    """What a rollback on this target may name, as last read; four queries, however long the history."""
    rows = history.rows_of(target)
    try:
        standing = flyway_history.applied(rows)
    except CorruptHistory as error:
        return Applied([], rows, str(error))
    known = _known(target)
    newest_first = sorted(standing.items(), key=lambda pair: -pair[1].installed_rank)
    return Applied([_choice(version, row, known.get(version.parts)) for version, row in newest_first], rows)


@dataclass(frozen=True, slots=True)
class _Known:
    """A migration, the checksums of all its files, and how many scripts take it back."""

    migration: Migration
    checksums: frozenset[int]
    scripts: int


def _known(target: Target) -> dict[tuple[int, ...], _Known]:
    """The versioned migrations of the target's service, by their version."""
    migrations = Migration.objects.filter(service_id=target.service_id, kind=Migration.Kind.VERSIONED)
    checksums: dict[int, list[int]] = defaultdict(list)
    revisions = MigrationRevision.objects.filter(migration__in=migrations.values("pk"))
    for pk, checksum in revisions.values_list("migration_id", "checksum"):
        checksums[pk].append(checksum)
    scripts = RollbackScript.objects.filter(migration__in=migrations.values("pk")).order_by()
    counts = dict(scripts.values_list("migration_id").annotate(n=Count("pk")))
    return {
        tuple(int(part) for part in each.version_key): _Known(
            each, frozenset(checksums[each.pk]), counts.get(each.pk, 0)
        )
        for each in migrations
    }


def _choice(version: Version, row: flyway_history.HistoryRow, known: _Known | None) -> Choice:
    problem = ""
    if known is None:
        problem = gettext("No file of it was imported.")
    elif row.checksum not in known.checksums:
        problem = gettext("It was applied from another file than any that was imported.")
    return Choice(
        version=version.text,
        description=row.description,
        rank=row.installed_rank,
        installed_on=row.installed_on,
        installed_by=row.installed_by,
        migration=known.migration if known else None,
        scripts=known.scripts if known else 0,
        problem=problem,
    )
