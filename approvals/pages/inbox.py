"""The dashboard's reads: what waits for this person, what runs, what went wrong, what ended lately."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

from django.db.models import (
    Case,
    F,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
    prefetch_related_objects,
)
from django.db.models.functions import TruncHour
from django.utils import timezone

from approvals import access, gates, policy, windows
from approvals.gates import Gate
from approvals.incidents import WRITES
from approvals.known import Known
from approvals.models import (
    BUSY,
    Approval,
    BackupException,
    BreakGlass,
    Execution,
    ExecutionStatus,
    IncidentAction,
    PostMortem,
    Role,
    RollbackRequest,
    RollbackScript,
    Schedule,
    Service,
    Status,
    Target,
    User,
)
from approvals.queries import SUBJECTS
from approvals.workflow import ENDED

from . import break_glass_page, calendar_page, exception_page

LIMIT = 20
RECENT = 8
# A failed attempt stays this long with its requester.
FAILURE_SHOWN = timedelta(days=7)
DECIDERS = (Role.SENIOR_DBA, Role.PLATFORM_LEAD)
# Where the next move is the requester's; what is in review or approved waits for others.
WITH_REQUESTER = frozenset({Status.DRAFT, Status.CHANGES_REQUESTED, Status.FAILED, Status.EXPIRED})

# What lines about rollbacks say of them, of who asked and of the incident, or need for what they say.
SHOWN_OF_ROLLBACKS = (
    "status",
    "forced",
    "excepted",
    "risk",
    "rating",
    "expires_at",
    "submitted_at",
    "approved_at",
    "updated_at",
    "ended_at",
    "policy_version_id",
    "requester__username",
    "requester__first_name",
    "requester__last_name",
    "incident__id",
)
# What the gate about the freeze asks besides.
SHOWN_OF_FREEZE = ("frozen_by", "frozen_until", "file_fate", "app_version")
# What lines about executions say of them, their targets and their rollbacks.
SHOWN_OF_EXECUTIONS = (
    "status",
    "purpose",
    "queued_at",
    "reappeared_at",
    "target__name",
    "target__environment",
    "target__time_zone",
    "rollback_target__rollback__forced",
    "rollback_target__rollback__excepted",
)

# What ends within the same hour is ordered by how grave it is.
PRESSING: tuple[Any, ...] = (TruncHour("expires_at"), F("risk").desc(nulls_last=True), "id")


@dataclass(frozen=True)
class Decision:
    """A rollback and the signatures that it lacks."""

    rollback: RollbackRequest
    missing: list[Role]

    @property
    def completes(self) -> bool:
        """True if one more signature is all it needs."""
        return len(self.missing) == 1

    @property
    def missing_words(self) -> str:
        """Whose signatures are missing: `2 × Senior DBA, Platform lead`."""
        return Role.counted(self.missing)


@dataclass(frozen=True)
class Blocked:
    """A rollback that is approved and can't be started, and the first gate in the way."""

    rollback: RollbackRequest
    gate: Gate


@dataclass
class Ended:
    """A rollback that ended lately and its last real execution, if it had one."""

    rollback: RollbackRequest
    last: Execution | None = None

    @property
    def status(self) -> str:
        """What its end was: the execution's outcome says more than the status of the rollback."""
        if self.last is not None and self.rollback.status in (Status.EXECUTED, Status.FAILED):
            return self.last.status
        return self.rollback.status


@dataclass(frozen=True)
class SettingUp:
    """What an admin looks after: targets that can't be read, people who can do nothing yet."""

    has_service: bool
    targets: list[Target]
    people: list[User]


@dataclass
class Inbox:
    """Everything on one person's dashboard. Lists are cut to `LIMIT`, the newest or most pressing first."""

    alarms: list[Execution] = field(default_factory=list)
    unresolved: list[Execution] = field(default_factory=list)
    partly: list[Execution] = field(default_factory=list)
    to_decide: list[Decision] = field(default_factory=list)
    not_mine: int = 0
    to_start: list[RollbackRequest] = field(default_factory=list)
    blocked: list[Blocked] = field(default_factory=list)
    with_me: list[RollbackRequest] = field(default_factory=list)
    with_others: list[Decision] = field(default_factory=list)
    actions: list[IncidentAction] = field(default_factory=list)
    setting_up: SettingUp | None = None
    calendar: list[calendar_page.Line] = field(default_factory=list)
    restarts: list[Execution] = field(default_factory=list)
    running: list[Execution] = field(default_factory=list)
    post_mortems: list[PostMortem] = field(default_factory=list)
    glasses: list[BreakGlass] = field(default_factory=list)
    to_except: list[BackupException] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)

    limit = LIMIT

    @property
    def approved(self) -> int:
        """How many approved ones were read, whether they can be started or not."""
        return len(self.to_start) + len(self.blocked)

    @property
    def own(self) -> int:
        """How many of this person's own were read."""
        return len(self.with_me) + len(self.with_others)

    @property
    def waiting(self) -> int:
        """How many rollbacks this person can do something about."""
        keys = {each.rollback.pk for each in self.to_decide}
        keys |= {execution.rollback_target.rollback_id for execution in self.restarts}
        keys |= {glass.rollback_id for glass in self.to_confirm}
        keys |= {exception.rollback_id for exception in self.to_except}
        return len(keys | {each.pk for each in (*self.to_start, *self.with_me)})

    @property
    def also(self) -> int:
        """How much else waits or is late: windows and freezes, actions, post-mortems, reviews."""
        late = sum(action.overdue for action in self.actions)
        return len(self.calendar) + late + len(self.overdue) + len(self.overdue_reviews)

    @property
    def rollbacks(self) -> list[RollbackRequest]:
        """All rollbacks that stand in a list."""
        return [
            *(each.rollback for each in self.to_decide),
            *self.to_start,
            *self.with_me,
            *(each.rollback for each in self.with_others),
            *(each.rollback_target.rollback for each in (*self.running, *self.restarts)),
            *(each.rollback for each in self.ended),
        ]

    @cached_property
    def overdue(self) -> list[PostMortem]:
        return [found for found in self.post_mortems if found.overdue]

    @cached_property
    def to_confirm(self) -> list[BreakGlass]:
        """Break-glass that waits for this person to be the second one."""
        return [glass for glass in self.glasses if glass.confirmed_at is None]

    @cached_property
    def reviews(self) -> list[BreakGlass]:
        """What was forced and nobody has reviewed yet."""
        return [glass for glass in self.glasses if glass.is_open]

    @cached_property
    def overdue_reviews(self) -> list[BreakGlass]:
        return [glass for glass in self.reviews if glass.overdue]


def read(user: User) -> Inbox:
    """Read the dashboard of this person; a constant number of queries."""
    inbox = Inbox(
        post_mortems=list(_post_mortems(user)[:LIMIT]),
        actions=list(_actions(user)[:LIMIT]),
        glasses=list(break_glass_page.pending(user, timezone.now())[:LIMIT]),
        to_except=exception_page.pending(user, timezone.now(), LIMIT),
        ended=_ended(user),
    )
    for name, executions in _executions(user).items():
        setattr(inbox, name, executions)
    if user.roles.intersection(DECIDERS):
        inbox.to_decide, inbox.not_mine = _to_decide(user)
    if Role.OPS in user.roles:
        waiting = Schedule.objects.filter(rollback=OuterRef("pk"), state=Schedule.State.WAITING)
        approved = _rollbacks(user).filter(status=Status.APPROVED).order_by(*PRESSING)
        approved = approved.annotate(scheduled_at=Subquery(waiting.values("at")[:1]))
        inbox.to_start = list(approved.only(*SHOWN_OF_ROLLBACKS, *SHOWN_OF_FREEZE)[:LIMIT])
    if Role.ENGINEER in user.roles:
        inbox.with_me, inbox.with_others = _mine(user)
    if user.roles & windows.CONFIRMS:
        inbox.calendar = calendar_page.lines(calendar_page.for_second_person(user)[:LIMIT], user)
    if Role.ADMIN in user.roles:
        inbox.setting_up = _setting_up()
    # What their lines say is read for all of the lists at once.
    prefetch_related_objects(inbox.rollbacks, *SUBJECTS)
    _part_blocked(inbox)
    _add_outcomes(inbox.ended)
    return inbox


def _part_blocked(inbox: Inbox) -> None:
    """Part from what is to be started what nobody can start as it is; one query."""
    plans = Prefetch("items__script", RollbackScript.objects.only("plan", "placeholders", "sql"))
    prefetch_related_objects(inbox.to_start, plans)
    for rollback in inbox.to_start:
        items, targets = rollback.items.all(), rollback.rollback_targets.all()
        known = Known(rollback, items=items, rollback_targets=targets)
        if blocking := gates.at_a_glance(known):
            inbox.blocked.append(Blocked(rollback, blocking[0]))
    blocked = {each.rollback.pk for each in inbox.blocked}
    inbox.to_start = [rollback for rollback in inbox.to_start if rollback.pk not in blocked]


def _mine(user: User) -> tuple[list[RollbackRequest], list[Decision]]:
    """What this person asked for and did not end long ago: where the next move is theirs, and the rest with
    the signatures that it waits for."""
    recent = Q(ended_at__gte=timezone.now() - FAILURE_SHOWN, status__in=WITH_REQUESTER)
    still = Q(ended_at=None) | recent
    mine_first = Case(When(status__in=WITH_REQUESTER, then=0), default=1)
    found = list(_rollbacks(user).filter(still, requester=user).order_by(mine_first, "-id")[:LIMIT])
    with_me = [rollback for rollback in found if rollback.status in WITH_REQUESTER]
    rest = found[len(with_me) :]
    missing = policy.missing_by_rollback([each for each in rest if each.status == Status.IN_REVIEW])
    return with_me, [Decision(rollback, missing.get(rollback.pk, [])) for rollback in rest]


def _setting_up() -> SettingUp:
    unread = Target.objects.exclude(health=Target.Health.GOOD).select_related("service")
    idle = User.objects.filter(is_active=True).exclude(groups__name__in=Role.values)
    return SettingUp(
        has_service=Service.objects.exists(),
        targets=list(unread.order_by("environment", "name")[:RECENT]),
        people=list(idle.order_by("username")[:RECENT]),
    )


def _rollbacks(user: User) -> QuerySet[RollbackRequest]:
    visible = access.rollbacks(user).select_related(None)
    return visible.select_related("requester", "incident").only(*SHOWN_OF_ROLLBACKS)


def _executions(user: User) -> dict[str, list[Execution]]:
    """Executions that somebody must know of, by the list that they stand in: first which, of every list as
    many as are shown, then all of them whole; two queries."""
    visible = access.executions(user).select_related(None).order_by("-queued_at")
    lists = {
        "alarms": visible.filter(reappeared_at__isnull=False, alarm_answered_at=None).order_by(
            "-reappeared_at"
        ),
        "unresolved": visible.filter(status=ExecutionStatus.UNRESOLVED),
        "partly": visible.filter(
            status=ExecutionStatus.PARTIAL, purpose=Execution.Purpose.REAL, settled_at=None
        ),
        "running": visible.filter(status__in=("queued", *BUSY)),
    }
    if Role.OPS in user.roles:
        lists["restarts"] = visible.filter(status=ExecutionStatus.AWAITING_RESTART)
    first, *rest = (
        found.annotate(list=Value(name)).values_list("list", "pk")[:LIMIT] for name, found in lists.items()
    )
    keys = list(first.union(*rest, all=True))
    whole = (
        Execution.objects.select_related("target", "rollback_target__rollback")
        .only(*SHOWN_OF_EXECUTIONS)
        .in_bulk([key for _list, key in keys])
    )
    return {name: [whole[key] for each, key in keys if each == name] for name in lists}


def _to_decide(user: User) -> tuple[list[Decision], int]:
    """What this person may sign, the most pressing first; and how many others in review they may not."""
    signed = Approval.objects.filter(
        approver=user, voided_at=None, request_digest=F("rollback__request_digest")
    )
    in_review = _rollbacks(user).filter(status=Status.IN_REVIEW, expires_at__gt=timezone.now())
    # An inner query, so that several items or scripts by this person don't multiply or hide rows.
    written = RollbackRequest.objects.filter(items__script__authors=user).values("pk")
    open_to_me = in_review.exclude(
        Q(requester=user) | Q(pk__in=written) | Q(pk__in=signed.values("rollback"))
    )
    found = list(open_to_me.order_by(*PRESSING)[: LIMIT * 2])
    missing = policy.missing_by_rollback(found)
    mine = [
        Decision(rollback, missing[rollback.pk])
        for rollback in found
        if user.roles.intersection(missing[rollback.pk])
    ]
    return mine[:LIMIT], in_review.count() - len(mine)


def _post_mortems(user: User) -> QuerySet[PostMortem]:
    """Those not handed in yet, the most overdue first, of services this person sees; auditors watch all."""
    if not user.roles & (WRITES | {Role.AUDITOR}):
        return PostMortem.objects.none()
    visible = access.incidents(user)
    return (
        PostMortem.objects.filter(submitted_at=None, incident__in=visible.values("pk"))
        .select_related("incident__service")
        .only("due_at", "submitted_at", "incident__title", "incident__service__name")
        .order_by("due_at")
    )


def _actions(user: User) -> QuerySet[IncidentAction]:
    """What this person promised to do after incidents and has not done, the most overdue first."""
    visible = access.incidents(user)
    own = IncidentAction.objects.filter(owner=user, done_at=None, incident__in=visible.values("pk"))
    return own.select_related("incident").order_by("due_on", "id")


def _ended(user: User) -> list[Ended]:
    found = _rollbacks(user).filter(status__in=ENDED).select_related("incident__post_mortem")
    shown = found.only(
        *SHOWN_OF_ROLLBACKS, "incident__post_mortem__due_at", "incident__post_mortem__submitted_at"
    )
    return [Ended(rollback) for rollback in shown.order_by("-ended_at", "-id")[:RECENT]]


def _add_outcomes(ended: list[Ended]) -> None:
    """Add the last real execution of each, if it had one; one query."""
    where = {target.pk: each for each in ended for target in each.rollback.rollback_targets.all()}
    real = Execution.objects.filter(purpose=Execution.Purpose.REAL, rollback_target__in=where)
    newest = real.order_by("rollback_target_id", "-queued_at").distinct("rollback_target_id")
    for execution in newest.only("rollback_target", "status", "sentence"):
        where[execution.rollback_target_id].last = execution
