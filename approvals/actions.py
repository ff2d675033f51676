"""What a person may do with a rollback or an execution right now, and why an expected button is not there.

Pages show what this says and decide nothing themselves; the domain decides again when a button is pressed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from . import (
    access,
    alarms,
    backup_exceptions,
    break_glass,
    comments,
    decisions,
    executions,
    gates,
    queueing,
    signed,
    workflow,
)
from .gates import Gate, Needed
from .known import Known
from .models import (
    Approval,
    Execution,
    ExecutionStatus,
    Job,
    Role,
    RollbackRequest,
    RollbackTarget,
    Status,
    User,
)
from .workflow import Party

# What is said of what is under way: of the rollback and the target their names.
OF_HOLDERS = ("purpose", "status", "target__name", "rollback_target__rollback__id")


@dataclass(frozen=True)
class Action:
    """One thing this person would expect to be able to do here; `why_not` is empty if they can."""

    key: str
    label: str
    why_not: str = ""

    @property
    def allowed(self) -> bool:
        return not self.why_not


class Standing:
    """How one person stands to one rollback; everything is read at most once."""

    def __init__(self, rollback: RollbackRequest, user: User, known: Known | None = None) -> None:
        self.rollback, self.user = rollback, user
        self.status = Status(rollback.status)
        self.known = known or Known(rollback)

    @cached_property
    def parties(self) -> frozenset[Party]:
        return workflow.parties(self.rollback, self.user)

    @cached_property
    def gates(self) -> list[Gate]:
        return gates.gates(self.rollback, self.known)

    def lacking(self, needed: Needed, *, besides: str = "") -> str:
        """The gates that must hold at this point and don't, as one sentence; empty if all hold."""
        open_ones = [g for g in self.gates if g.needed <= needed and not g.holds and g.key != besides]
        if len(open_ones) == 1:
            return _("Missing: %(what)s. %(why)s") % {"what": open_ones[0].title, "why": open_ones[0].detail}
        titles = [gate.title for gate in open_ones]
        return _("Missing: %(what)s.") % {"what": "; ".join(titles)} if titles else ""

    @property
    def rollback_target(self) -> RollbackTarget | None:
        return next(iter(self.known.rollback_targets), None)

    @cached_property
    def open_executions(self) -> list[Execution]:
        """What is under way for this rollback, and real ones of others on the same target."""
        if self.rollback_target is None:
            return []
        found = Execution.objects.filter(
            queueing.HOLDS_TARGET, target_id=self.rollback_target.target_id
        ).select_related("target", "rollback_target__rollback")
        return [
            execution
            for execution in found.only(*OF_HOLDERS)
            if execution.purpose == Execution.Purpose.REAL
            or execution.rollback_target_id == self.rollback_target.pk
        ]

    @cached_property
    def changed(self) -> str:
        """How it differs from what was signed, as a sentence; empty if it doesn't."""
        return signed.changed(self.rollback, self.known.items)

    @property
    def missing_roles(self) -> list[Role]:
        return self.known.missing_roles

    @property
    def asks_for_people(self) -> bool:
        return bool(self.known.rule.senior_dbas + self.known.rule.platform_leads)

    @property
    def decides(self) -> bool:
        """Does this person hold a role that decides on rollbacks at all?"""
        return bool(self.user.roles & set(decisions.DECIDES))


def available_actions(rollback: RollbackRequest, user: User, known: Known | None = None) -> dict[str, Action]:
    """The actions this person would expect on this rollback, by key, each with the reason where it can't be.

    `known` spares reading its records again. A fixed number of queries, however large the rollback is.
    """
    standing = Standing(rollback, user, known)
    found = (rule(standing) for rule in RULES)
    return {action.key: action for action in found if action is not None}


def _submit(s: Standing) -> Action | None:
    if Party.REQUESTER not in s.parties or s.status != Status.DRAFT:
        return None
    needed = Needed.SUBMIT if s.asks_for_people else Needed.APPROVE
    return Action("submit", _("Submit for review"), s.lacking(needed))


def _edit(s: Standing) -> Action | None:
    if Party.REQUESTER not in s.parties or s.status in (Status.FAILED, Status.EXPIRED):
        return None
    return Action("edit", _("Edit")) if s.status in workflow.EDITABLE else None


def _reopen(s: Standing) -> Action | None:
    if Party.REQUESTER not in s.parties or s.status not in (Status.FAILED, Status.EXPIRED):
        return None
    return Action("reopen", _("Open again as a draft"))


def _withdraw(s: Standing) -> Action | None:
    if Party.REQUESTER not in s.parties:
        return None
    label = _("Withdraw…")
    if s.status == Status.EXECUTING:
        return Action("withdraw", label, _("Its execution has begun; ops can cancel that."))
    allowed = workflow.MOVES.get((s.status, Status.CANCELLED), frozenset())
    return Action("withdraw", label) if allowed & s.parties else None


def _confirm(s: Standing) -> Action | None:
    if Party.REQUESTER not in s.parties or s.status not in workflow.EDITABLE:
        return None
    return Action("confirm", _("Confirm"))


def _facts(s: Standing) -> Action | None:
    if s.status not in workflow.EDITABLE or not access.writes(s.user):
        return None
    waiting = s.known.facts_job
    under_way = waiting is not None and waiting.state in (Job.State.WAITING, Job.State.CLAIMED)
    return Action(
        "facts",
        _("Read the facts again"),
        _("A worker has been asked to read them and has not answered yet.") if under_way else "",
    )


def _comment(s: Standing) -> Action | None:
    return Action("comment", _("Comment")) if comments.may_speak(s.user) else None


def _rehearse(s: Standing) -> Action | None:
    if not s.parties or s.status not in workflow.EDITABLE or s.rollback_target is None:
        return None
    target = s.rollback_target.target
    why_not = next((g.detail for g in s.gates if g.key == "script" and not g.holds), "")
    if target.is_production and target.rehearsal_target_id is None:
        why_not = _("%(target)s names no staging server to rehearse on.") % {"target": target}
    if any(e.purpose == Execution.Purpose.REHEARSAL for e in s.open_executions):
        why_not = _("A rehearsal is under way.")
    return Action("rehearse", _("Rehearse"), why_not)


def _approve(s: Standing) -> Action | None:
    undecided = (Status.DRAFT, Status.IN_REVIEW, Status.CHANGES_REQUESTED)
    if not s.decides or s.status not in undecided:
        return None
    return Action("approve", _("Approve…"), _why_no_approval(s))


def _why_no_approval(s: Standing) -> str:
    if why_not := _why_no_decision(s):
        return why_not
    if s.status != Status.IN_REVIEW:
        return _("It has not been submitted for review.")
    if s.rollback.overdue_expiry:
        return _("The time to decide on it is over.")
    if any(approval.approver_id == s.user.pk for approval in s.known.approvals):
        return _("You have approved it already.")
    if not set(decisions.DECIDES) & s.user.roles & set(s.missing_roles):
        roles = ", ".join(str(role.label) for role in s.missing_roles)
        return _("Your signature is not the one that is missing: %(roles)s.") % {"roles": roles}
    return s.lacking(Needed.APPROVE)


def _why_no_decision(s: Standing) -> str:
    if s.user.pk == s.rollback.requester_id:
        return _("You asked for this rollback, so you can't decide on it.")
    if Party.APPROVER not in s.parties:
        return _("You are an author of a script in this rollback, so you can't decide on it.")
    return ""


def _request_changes(s: Standing) -> Action | None:
    return _against(s, Approval.Decision.REQUEST_CHANGES, _("Request changes…"))


def _reject(s: Standing) -> Action | None:
    return _against(s, Approval.Decision.REJECT, _("Reject…"))


def _against(s: Standing, decision: Approval.Decision, label: str) -> Action | None:
    if not s.decides or s.status not in (Status.IN_REVIEW, Status.APPROVED):
        return None
    return Action(decision.value, label, _why_no_decision(s))


def _start(s: Standing) -> Action | None:
    if Role.OPS not in s.user.roles or s.status not in (Status.IN_REVIEW, Status.APPROVED):
        return None
    return Action("start", _("Start the execution…"), _why_no_start(s))


def _why_no_start(s: Standing) -> str:
    if s.status != Status.APPROVED:
        count = len(s.missing_roles)
        return ngettext(
            "It is not approved yet: %(count)d signature is missing.",
            "It is not approved yet: %(count)d signatures are missing.",
            count,
        ) % {"count": count}
    if s.rollback.overdue_expiry:
        return _("The time to execute it is over.")
    if holder := next((e for e in s.open_executions if e.purpose == Execution.Purpose.REAL), None):
        return _(
            "%(execution)s of %(label)s is %(status)s on %(target)s. Only one may run there at a time."
        ) % {
            "execution": holder,
            "label": holder.rollback_target.rollback.label,
            "status": holder.get_status_display().lower(),
            "target": holder.target,
        }
    return s.changed or s.lacking(Needed.EXECUTE)


def _schedule(s: Standing) -> Action | None:
    if Role.OPS not in s.user.roles or s.status != Status.APPROVED:
        return None
    label = _("Schedule the start…")
    if s.known.schedule is not None:
        return Action("schedule", label, _("A start is scheduled already; cancel that one first."))
    if s.rollback.overdue_expiry:
        return Action("schedule", label, _("The time to execute it is over."))
    return Action("schedule", label, s.changed or s.lacking(Needed.EXECUTE, besides="window"))


def _unschedule(s: Standing) -> Action | None:
    if Role.OPS not in s.user.roles or s.known.schedule is None:
        return None
    return Action("unschedule", _("Cancel the scheduled start"))


def _break_glass(s: Standing) -> Action | None:
    """Only where something could be skipped: nobody is to think of it otherwise."""
    if s.status not in break_glass.ASKABLE or not s.user.roles & break_glass.ASKS:
        return None
    why_not = break_glass.why_not_ask(s.rollback, s.user, s.known)
    return None if why_not else Action("break_glass", _("Break glass…"))


def _backup_exception(s: Standing) -> Action | None:
    """Offered only where a worker found that the backup can't be had; of a fleet, that of any target."""
    if s.status not in backup_exceptions.ASKABLE or not s.user.roles & backup_exceptions.ASKS:
        return None
    why_not = backup_exceptions.why_not_ask(s.rollback, s.user, s.known)
    return None if why_not else Action("backup_exception", _("Exception instead of a backup…"))


RULES: tuple[Callable[[Standing], Action | None], ...] = (
    _submit,
    _approve,
    _start,
    _schedule,
    _unschedule,
    _reopen,
    _request_changes,
    _reject,
    _edit,
    _rehearse,
    _facts,
    _confirm,
    _withdraw,
    _break_glass,
    _backup_exception,
    _comment,
)


def why_nothing(user: User) -> str:
    """For somebody who can do nothing at all here: who could, in one sentence."""
    if Role.AUDITOR in user.roles:
        return _("As an auditor you read everything here and decide nothing.")
    return _("You may read this. Its requester, approvers and ops act on it.")


def execution_actions(execution: Execution, user: User) -> dict[str, Action]:
    """What this person would expect to be able to do with an execution. No queries but for their roles."""
    found = {}
    own_rehearsal = execution.purpose == Execution.Purpose.REHEARSAL and execution.requested_by_id == user.pk
    if execution.is_open and (Role.OPS in user.roles or own_rehearsal):
        found["cancel"] = Action("cancel", _("Cancel the execution…"), executions.past_cancelling(execution))
    if execution.status == ExecutionStatus.AWAITING_RESTART and Role.OPS in user.roles:
        why_not = _("It was confirmed already.") if execution.restart_confirmed_at else ""
        found["restarted"] = Action("restarted", _("The server was restarted"), why_not)
    if execution.reappeared_at is not None and execution.alarm_answered_at is None:
        found["answer"] = Action("answer", _("Answer for the alarm…"), alarms.why_not_answer(execution, user))
    return found
