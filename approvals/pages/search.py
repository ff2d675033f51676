"""Search from every page: rollbacks, migrations, targets, services, incidents and people that one may see.

Each group is one query of few rows, so that the answer stands while somebody types. No index of words: at
1,000 rollbacks and 5,000 migrations a scan of the columns takes milliseconds on any PostgreSQL, and an
extension for similarity is not on every server that the portal may run on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import Any, TypeVar

from django.db.models import Case, Model, Q, QuerySet, Value, When
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from approvals import access, permissions, queries
from approvals.flyway.versions import MalformedVersion, Version
from approvals.models import (
    Incident,
    Migration,
    Role,
    RollbackItem,
    RollbackRequest,
    RollbackTarget,
    Service,
    Target,
    User,
)

Found = TypeVar("Found", bound=Model)
SHOWN = 8
SUGGESTED = 4
LONGEST = 100
# `42`, `#42`, `RB-42`, `INC-31`
_NUMBER = re.compile(r"(?P<what>rb|inc)?[\s#-]*(?P<number>[0-9]{1,18})", re.IGNORECASE)
# `V2025.11.22.001`, `2025_11_22_001`, also as the begin of a file name
_VERSION = re.compile(r"[vub]?(?P<version>[0-9]+(?:[._][0-9]+)*)(?:__.*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Wanted:
    """What somebody typed, as each group understands it."""

    text: str
    words: tuple[str, ...]
    rollback: int | None
    incident: int | None
    version: str

    @classmethod
    def read(cls, text: str) -> Wanted:
        """Understand a search; anything is understood somehow, nothing but space wants nothing."""
        text = " ".join(text.replace("\0", "").split())[:LONGEST]
        number, version = _NUMBER.fullmatch(text), _VERSION.fullmatch(text)
        what = (number["what"] or "").lower() if number else ""
        pk = int(number["number"]) if number else None
        return cls(
            text=text,
            words=tuple(text.split()),
            rollback=pk if what in ("", "rb") else None,
            incident=pk if what in ("", "inc") else None,
            version=version["version"].replace("_", ".") if version else "",
        )

    def in_any(self, *fields: str) -> Q:
        """Every word is in one of these columns."""
        return reduce(and_, [reduce(or_, [Q(**{f"{f}__icontains": w}) for f in fields]) for w in self.words])

    def version_key(self) -> list[int] | None:
        """The version as the catalog compares versions; None where no version was typed."""
        try:
            return list(Version.parse(self.version).parts) if self.version else None
        except MalformedVersion:
            return None


@dataclass(frozen=True)
class Group:
    """One kind of thing and the hits among them, the best first."""

    kind: str
    title: str | Promise
    hits: list[Any]
    more: bool


def rollbacks(user: User, wanted: Wanted) -> QuerySet[RollbackRequest]:
    """By number, by migration, target, incident or requester; the exact number first, then the newest."""
    items = RollbackItem.objects.filter(migration__in=migrations(user, wanted).order_by().values("pk"))
    on = RollbackTarget.objects.filter(wanted.in_any("target__name"))
    found = access.rollbacks(user).filter(
        Q(pk=wanted.rollback)
        | Q(pk__in=items.values("rollback"))
        | Q(pk__in=on.values("rollback"))
        | wanted.in_any("incident__title", "requester__username", "requester__last_name")
    )
    return queries.with_subjects(queries.with_standing(_best(found, Q(pk=wanted.rollback), "-id")))


def migrations(user: User, wanted: Wanted) -> QuerySet[Migration]:
    """By version as Flyway compares them, by description or file name; the exact version first."""
    matches = wanted.in_any("description", "script", "service__name")
    exact = Q(pk__in=[])
    if wanted.version:
        matches |= Q(version__startswith=wanted.version)
        exact = Q(version=wanted.version)
    if (key := wanted.version_key()) is not None:
        exact |= Q(version_key=key)
    found = access.migrations(user).filter(matches | exact)
    return _best(found, exact, "-version_key", "description", "id")


def targets(user: User, wanted: Wanted) -> QuerySet[Target]:
    """By name, host or database."""
    found = access.targets(user).filter(wanted.in_any("name", "host", "dbname", "environment"))
    return _best(found, Q(name__iexact=wanted.text), "name")


def services(user: User, wanted: Wanted) -> QuerySet[Service]:
    """By name or team."""
    found = access.services(user).filter(wanted.in_any("name", "team__name")).select_related("team")
    return _best(found, Q(name__iexact=wanted.text), "name")


def incidents(user: User, wanted: Wanted) -> QuerySet[Incident]:
    """By number or title; the exact number first, then the newest."""
    exact = Q(pk=wanted.incident)
    found = access.incidents(user).filter(exact | wanted.in_any("title", "service__name"))
    return _best(found, exact, "-id")


def people(user: User, wanted: Wanted) -> QuerySet[User]:
    """By name; whoever may read the list of people finds them here."""
    if not permissions.may_read(user, "people"):
        return User.objects.none()
    working = User.objects.filter(is_active=True, groups__name__in=Role.values)
    named = wanted.in_any("username", "first_name", "last_name")
    found = User.objects.filter(named, pk__in=working.values("pk")).prefetch_related("groups")
    return _best(found, Q(username__iexact=wanted.text), "last_name", "username")


def _best(found: QuerySet[Found], exact: Q, *order: str) -> QuerySet[Found]:
    """What was meant exactly (`rank` 0) before the rest (1), each in this order."""
    ranked: Any = found.annotate(rank=Case(When(exact, then=Value(0)), default=Value(1)))
    ordered: QuerySet[Found] = ranked.order_by("rank", *order)
    return ordered


GROUPS: dict[str, tuple[str | Promise, Callable[[User, Wanted], QuerySet[Any]]]] = {
    "rollbacks": (_("Rollbacks"), rollbacks),
    "migrations": (_("Migrations"), migrations),
    "targets": (_("Targets"), targets),
    "services": (_("Services"), services),
    "incidents": (_("Incidents"), incidents),
    "people": (_("People"), people),
}


def find(user: User, text: str, *, limit: int = SHOWN) -> list[Group]:
    """The groups in which something was found, at most `limit` of each; what was meant exactly stands first.

    A constant number of queries. Nothing is found for nothing.
    """
    wanted = Wanted.read(text)
    if not wanted.words:
        return []
    groups = []
    for kind, (title, read) in GROUPS.items():
        hits = list(read(user, wanted)[: limit + 1])
        if hits:
            groups.append(Group(kind, title, hits[:limit], len(hits) > limit))
    # A group with an exact hit before the others; sorting keeps their order otherwise.
    return sorted(groups, key=lambda group: group.hits[0].rank)


def all_of(user: User, text: str, kind: str) -> QuerySet[Any] | None:
    """Every hit of one kind; None for a kind there is not, or for nothing to look for."""
    wanted = Wanted.read(text)
    return GROUPS[kind][1](user, wanted) if kind in GROUPS and wanted.words else None
