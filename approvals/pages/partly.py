"""What the page of a partly done execution offers: how the steps stand, what going on or back would send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from approvals import continuing, halfway, policy
from approvals.decisions import DECIDES
from approvals.models import Continuation, ContinuationApproval, Execution, ExecutionStatus, Role, User

Course = Execution.Course


@dataclass(frozen=True)
class Way:
    """One course that ops can ask for. `why_not` is empty if they can; the digest is what they ask for."""

    course: str
    title: str
    means: str
    entries: Sequence[dict[str, Any]]
    transaction: bool
    digest: str
    why_not: str = ""


@dataclass(frozen=True)
class Asked:
    """What somebody asked for and waits for signatures or for its start."""

    continuation: Continuation
    title: str
    entries: Sequence[dict[str, Any]]
    transaction: bool
    signatures: list[policy.Signature[ContinuationApproval]]
    roles: list[Role]
    why_not_sign: str

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
    ways = [_way(execution, course, standing) for course in (Course.GO_ON, Course.TAKE_BACK)]
    continuation = continuing.open_one(execution)
    asked = _asked(continuation, user) if continuation is not None else None
    nothing = halfway.offer(execution, Course.BY_HAND).steps
    by_hand = halfway.digest_of(execution, Course.BY_HAND, nothing)
    return Partly(ways=ways, asked=asked, by_hand=by_hand, is_ops=is_ops, decides=decides)


def _way(execution: Execution, course: str, standing: Sequence[halfway.Stand]) -> Way:
    offered = halfway.offer(execution, course, standing)
    target = execution.target.name
    return Way(
        course=course,
        title=title(course, target),
        means=_means(course, target),
        entries=offered.entries,
        transaction=offered.transaction,
        digest=halfway.digest_of(execution, course, offered.steps),
        why_not=offered.why_not,
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


def _asked(continuation: Continuation, user: User) -> Asked:
    return Asked(
        continuation=continuation,
        title=title(continuation.course, continuation.execution.target.name),
        entries=continuation.steps["steps"],
        transaction=continuation.steps["transaction"],
        signatures=halfway.signatures(continuation),
        roles=continuing.roles_to_give(continuation, user),
        why_not_sign=continuing.why_not_sign(continuation, user),
    )
