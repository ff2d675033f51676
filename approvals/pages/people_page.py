"""Reads for the pages of people: the list, what each role may do by the tables, one person's work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import F, OrderBy, OuterRef, Prefetch, Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from approvals import access, permissions
from approvals.models import IncidentAction, Role, RollbackRequest, Service, Status, Team, User
from approvals.queries import count_of, with_standing, with_subjects
from approvals.workflow import ENDED, MOVES, Party

SORTS: dict[str, tuple[OrderBy | str, ...]] = {
    "seen": (F("last_login").desc(nulls_last=True), "username"),
    "username": ("username",),
}
# So many services of a team are named.
NAMED = 20
# Who a role is to a rollback. A requester is an engineer of the owning team.
PARTY: dict[Role, Party] = {
    Role.ENGINEER: Party.REQUESTER,
    Role.SENIOR_DBA: Party.APPROVER,
    Role.PLATFORM_LEAD: Party.APPROVER,
    Role.OPS: Party.OPS,
}
# What posting to a URL does, where the statuses do not say it already.
DEEDS: dict[str, str | Promise] = {
    "rollback_new": lazy("ask for rollbacks"),
    "script_new": lazy("write rollback scripts and their checks"),
    "rollback_confirm": lazy("confirm the checklist of their own rollbacks"),
    "rollback_rehearse": lazy("ask for rehearsals"),
    "rollback_decide": lazy("approve, reject and ask for changes; never on what they asked for or wrote"),
    "rollback_start": lazy("start executions"),
    "rollback_break_glass": lazy("ask for break-glass: to skip a window or a rehearsal"),
    "rollback_break_glass_confirm": lazy("confirm break-glass; never of what they asked for or wrote"),
    "rollback_break_glass_review": lazy("review break-glass that others asked for and confirmed"),
    "rollback_backup_exception": lazy("ask to run without a backup that can't be had"),
    "rollback_backup_exception_sign": lazy("sign that it may; never what they asked for or wrote"),
    "execution_cancel": lazy("cancel rehearsals they asked for"),
    "target_sync": lazy("have a target's history read again"),
    "incident_new": lazy("open incidents"),
    "post_mortem": lazy("write post-mortems"),
    "incident_action_new": lazy("give and finish actions"),
    "incident_reopen": lazy("open a handed-in post-mortem again, with a reason"),
    "contact_new": lazy("name contacts"),
    "audit_verify": lazy("verify the audit trail"),
}
# What the same does in the hands of one role.
MORE: dict[tuple[Role, str], str | Promise] = {
    (Role.OPS, "execution_cancel"): lazy("cancel rehearsals and executions"),
}
READS: dict[str, str | Promise] = {
    "audit_list": lazy("read the whole audit trail"),
    "audit_export": lazy("export events and the report of rollbacks"),
}


def listed(
    *, text: str = "", role: str = "", team: str = "", state: str = "", sort: str = ""
) -> QuerySet[User]:
    """People with a role, by name unless sorted; disabled ones too where `state` is all or disabled."""
    found = User.objects.filter(groups__name__in=[role] if role in Role.values else Role.values)
    if state == "disabled":
        found = found.filter(is_active=False)
    elif state != "all":
        found = found.filter(is_active=True)
    for word in text.split():
        found = found.filter(
            Q(username__icontains=word) | Q(first_name__icontains=word) | Q(last_name__icontains=word)
        )
    if team:
        found = found.filter(teams__name=team)
    teams = Prefetch("teams", Team.objects.order_by("name").prefetch_related("services"))
    # The roles are joined to filter by: ask for each person once, and sort afterwards.
    whole = User.objects.filter(pk__in=found.values("pk")).prefetch_related("groups", teams)
    return whole.order_by(*SORTS.get(sort, ("first_name", "last_name", "username")), "pk")


@dataclass(frozen=True)
class RoleCard:
    """A role, what it sees and does by the tables of permissions and of moves, and how many hold it."""

    role: Role
    sees: str
    does: list[str]
    moves: list[str]
    holders: int


def roles() -> list[RoleCard]:
    """Every role in words; one query."""
    held = User.objects.filter(is_active=True).values_list("groups__name", flat=True)
    names = list(held)
    return [RoleCard(role, _sees(role), list(_does(role)), _moves(role), names.count(role)) for role in Role]


def _sees(role: Role) -> str:
    return _("all services") if role in access.SEES_ALL else _("the services of their teams")


def _does(role: Role) -> Iterator[str]:
    for name, says in DEEDS.items():
        if role in permissions.TABLE.get(name, permissions.CLOSED).write:
            yield str(MORE.get((role, name), says))
    for name, says in READS.items():
        if role in permissions.TABLE.get(name, permissions.CLOSED).read:
            yield str(says)


def _moves(role: Role) -> list[str]:
    """The moves of the table of transitions that this role may make, told by where each leads."""
    party = PARTY.get(role)
    goals: dict[Status, list[str]] = {}
    for (source, goal), who in MOVES.items():
        if party in who:
            goals.setdefault(goal, []).append(str(source.label).lower())
    return [
        _("%(goal)s (from %(sources)s)") % {"goal": goal.label, "sources": ", ".join(sources)}
        for goal, sources in goals.items()
    ]


@dataclass(frozen=True)
class TeamLine:
    """A team, the first of its services, and how many it has."""

    name: str
    services: list[str]
    count: int

    @property
    def more(self) -> int:
        """How many services are not named."""
        return self.count - len(self.services)


@dataclass(frozen=True)
class Work:
    """What somebody has open, as far as the reader sees it."""

    rollbacks: list[RollbackRequest]
    actions: list[IncidentAction]


def open_work(person: User, reader: User, *, limit: int = 20) -> Work:
    """The person's rollbacks that have not ended and their open actions, of services the reader sees."""
    asked = access.rollbacks(reader).filter(requester=person).exclude(status__in=ENDED)
    given = IncidentAction.objects.filter(owner=person, done_at=None)
    seen = given.filter(incident__in=access.incidents(reader).values("pk"))
    return Work(
        list(with_subjects(with_standing(asked.order_by("-updated_at")))[:limit]),
        list(seen.select_related("incident").order_by("due_on")[:limit]),
    )


def teams_of(person: User) -> list[TeamLine]:
    """The teams of a person, each with the first of its services by name; two queries."""
    first = Prefetch("services", Service.objects.order_by("name")[:NAMED], to_attr="first")
    count = count_of(Service.objects.filter(team=OuterRef("pk")))
    teams = person.teams.order_by("name").annotate(count=count).prefetch_related(first)
    return [TeamLine(str(team), [str(each) for each in team.first], team.count) for team in teams]


def parties_of(person: User) -> list[str]:
    """What this person may do, one phrase for each deed of each of their roles."""
    return list(dict.fromkeys(says for role in Role if role in person.roles for says in _does(role)))
