"""What the page of a partly done execution offers: how the steps stand, what going on or back would send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from approvals import continuable, continuing, halfway, policy
from approvals.decisions import DECIDES
from approvals.gates import Gate
from approvals.known import Known
from approvals.models import Continuation, ContinuationApproval, Execution, ExecutionStatus, Role, User

Course = Execution.Course


@dataclass(frozen=True)
class Way:
    """One course that ops can ask for. `why_not` is empty if they can; the digest is what they ask for.
    `waits` are the conditions of its start that don't hold now, `asks` says what a worker does first."""

    course: str
    title: str
    means: str
    entries: Sequence[dict[str, Any]]
    transaction: bool
    digest: str
    why_not: str = ""
    waits: Sequence[Gate] = ()
    asks: str = ""


@dataclass(frozen=True)
class Asked:
    """What somebody asked for and waits for signatures or for its start; of `most` attempts at it, `made` had
    no effect."""

    continuation: Continuation
    title: str
    entries: Sequence[dict[str, Any]]
    transaction: bool
    signatures: list[policy.Signature[ContinuationApproval]]
    roles: list[Role]
    why_not_sign: str
    expires: datetime
    waits: Sequence[Gate]
    made: int
    most: int = halfway.ATTEMPTS

    @property
    def missing(self) -> list[Role]:
        return [line.role for line in self.signatures if line.approval is None]


@dataclass(frozen=True)
class Partly:
    """Everything about continuing one execution; the flags say what this reader may do. `by_hand` is the
    digest of settling it by hand, before anybody said what was done."""

    ways: list[Way] = field(default_factory=list)
    asked: Asked | None = None
    continued_by: Execution | None = None
    by_hand: str = ""
    is_ops: bool = False
    decides: bool = False


def partly(execution: Execution, user: User) -> Partly | None:
    """What can be done about this execution; None where nothing of it is partly done. Few queries, however
    many steps it has."""
    if execution.purpose != Execution.Purpose.REAL or execution.status != ExecutionStatus.PARTIAL:
        return None
    is_ops, decides = Role.OPS in user.roles, bool(user.roles & set(DECIDES))
    if not execution.is_unsettled:
        following = execution.continued_by.exclude(status=ExecutionStatus.NO_EFFECT).order_by("-queued_at")
        return Partly(continued_by=following.first(), is_ops=is_ops, decides=decides)
    under_way = execution.continued_by.order_by("-queued_at").first()
    if under_way is not None and under_way.is_open:
        return Partly(continued_by=under_way, is_ops=is_ops, decides=decides)
    standing = halfway.stands(execution)
    known = Known(execution.rollback_target.rollback, only=execution.rollback_target)
    ways = [_way(execution, course, standing, known) for course in (Course.GO_ON, Course.TAKE_BACK)]
    continuation = continuing.open_one(execution)
    asked = _asked(continuation, user, ways) if continuation is not None else None
    nothing = halfway.offer(execution, Course.BY_HAND).steps
    by_hand = halfway.digest_of(execution, Course.BY_HAND, nothing)
    return Partly(ways=ways, asked=asked, by_hand=by_hand, is_ops=is_ops, decides=decides)


def _way(execution: Execution, course: str, standing: Sequence[halfway.Stand], known: Known) -> Way:
    offered = halfway.offer(execution, course, standing)
    conditions = [] if offered.why_not else continuable.conditions(execution, course, known)
    target = execution.target.name
    return Way(
        course=course,
        title=title(course, target),
        means=_means(course, target),
        entries=offered.entries,
        transaction=offered.transaction,
        digest=halfway.digest_of(execution, course, offered.steps),
        why_not=offered.why_not,
        waits=[gate for gate in conditions if not gate.holds],
        asks=_asks(offered, backs_up=known.rule.backup_required),
    )


def title(course: str, target: str) -> str:
    """What a course does to a target, as a heading and a button say it."""
    if course == Course.TAKE_BACK:
        return _("Take back on %(target)s") % {"target": target}
    if course == Course.BY_HAND:
        return _("Call it settled by hand: %(target)s is free again") % {"target": target}
    return _("Go on on %(target)s") % {"target": target}


def _means(course: str, target: str) -> str:
    if course == Course.TAKE_BACK:
        return _(
            "The statements that take the done steps back, the last one first. %(target)s is then as it was "
            "before the rollback, and the rollback counts as failed."
        ) % {"target": target}
    return _(
        "The rest of the steps, in their order, with the checks that were approved. The rollback is then "
        "executed on %(target)s."
    ) % {"target": target}


def _asks(offered: halfway.Offer, *, backs_up: bool) -> str:
    """What the worker does first when it starts, as a sentence."""
    if offered.course == Course.TAKE_BACK:
        return _(
            "First the worker asks the target whether all of it stands as it was left. It needs no window "
            "and no new backup, since nothing of it destroys rows; a freeze stops it."
        )
    if offered.transaction and backs_up:
        return _(
            "First the worker asks again what a start is asked, and the target whether all of it stands as "
            "it was left. Then it takes a new backup."
        )
    return _(
        "First the worker asks again what a start is asked, and the target whether all of it stands as it "
        "was left. No new backup is taken."
    )


def _asked(continuation: Continuation, user: User, ways: Sequence[Way]) -> Asked:
    return Asked(
        continuation=continuation,
        title=title(continuation.course, continuation.execution.target.name),
        entries=continuation.steps["steps"],
        transaction=continuation.steps["transaction"],
        signatures=halfway.signatures(continuation),
        roles=continuing.roles_to_give(continuation, user),
        why_not_sign=continuing.why_not_sign(continuation, user),
        expires=continuable.expires(continuation),
        waits=next((way.waits for way in ways if way.course == continuation.course), ()),
        made=continuation.attempts.count(),
    )
