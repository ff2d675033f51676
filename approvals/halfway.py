"""What an execution left partly done: how its steps stand, and what going on or taking back would send."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from . import filling, policy
from .analysis.alone import (
    Detached,
    IndexDropped,
    IndexMade,
    NotAlone,
    Reload,
    Rewritten,
    Setting,
    read_alone,
)
from .analysis.parts import Parts, Planned, parts
from .digests import canonical_sha256
from .models import Continuation, ContinuationApproval, Execution, ExecutionStep, Role, RollbackItem

Course = Execution.Course
_State, _How = ExecutionStep.State, ExecutionStep.How
# When the transaction was committed, among an execution's marks.
COMMITTED = "committed"
# What was signed for may be tried this many times while no try has had an effect, a rollback as well as what
# continues one that is partly done; a trigger holds the latter too.
ATTEMPTS = 3


def planned(items: Iterable[RollbackItem]) -> list[dict[str, Any]]:
    """The steps of the items' stored plans, in the order in which they run, each with its item's position."""
    return [
        step | {"item": item.position} for item in items for step in filling.plan_of(item).get("steps", [])
    ]


def parts_of(steps: Sequence[dict[str, Any]]) -> Parts:
    """What of stored steps runs before, in and after the transaction; positions from 0."""
    return parts(
        [
            Planned(
                step["kind"],
                step["statement"]["change"],
                step["statement"]["sql"],
                step["statement"]["kind"],
            )
            for step in steps
        ]
    )


@dataclass(frozen=True)
class Stand:
    """One step of the first execution and how it stands after all that went on with it or took it back.

    `in_place` is None where nobody knows. `leftover` are statements that clear away what a failure left.
    """

    step: ExecutionStep
    latest: ExecutionStep
    in_place: bool | None
    before: dict[str, Any] | None

    @property
    def leftover(self) -> list[str]:
        return list(self.latest.leftover)


def chain(execution: Execution) -> list[Execution]:
    """The first execution and those that continue it, up to this one, in order."""
    found = [execution]
    while found[0].continues is not None:
        found.insert(0, found[0].continues)
    return found


def is_committed(execution: Execution) -> bool:
    """Has the transaction been committed, by this execution or one that it continues?"""
    return any(COMMITTED in each.marks for each in chain(execution))


def stands(execution: Execution) -> list[Stand]:
    """How every step stands after this execution, in the order of the plan."""
    line = chain(execution)
    committed = is_committed(execution)
    rows = ExecutionStep.objects.filter(execution__in=line).select_related("of", "execution")
    by_execution: dict[object, list[ExecutionStep]] = {each.pk: [] for each in line}
    for row in rows.order_by("position"):
        by_execution[row.execution_id].append(row)
    first = by_execution[line[0].pk]
    latest = {row.pk: row for row in first}
    before = {row.pk: row.before for row in first}
    for each in line[1:]:
        for row in by_execution[each.pk]:
            if row.of_id is not None and row.state != _State.PENDING:
                latest[row.of_id] = row
                before[row.of_id] = before[row.of_id] or row.before
    return [
        Stand(row, latest[row.pk], _in_place(row, latest[row.pk], committed=committed), before[row.pk])
        for row in first
    ]


def _in_place(step: ExecutionStep, latest: ExecutionStep, *, committed: bool) -> bool | None:
    if step.how == _How.TRANSACTIONAL:
        return committed
    if latest.state in (_State.CLAIMED, _State.RUNNING, _State.UNKNOWN):
        return None
    if latest.execution.course != Course.TAKE_BACK:
        return latest.state == _State.DONE
    about = read_alone(step.sql)
    if latest.state == _State.FAILED:  # an index that was half dropped serves nobody any more
        return not (isinstance(about, IndexMade) and latest.leftover)
    return False


@dataclass(frozen=True)
class Offer:
    """What one course would send. `why_not` is empty if it can be asked for; `entries` are
    {of, does, how, says, kind, statements} with `does` one of run, take back, stays."""

    course: str
    transaction: bool
    entries: tuple[dict[str, Any], ...]
    why_not: str = ""

    @property
    def steps(self) -> dict[str, Any]:
        """What would be sent."""
        return {"transaction": self.transaction, "steps": list(self.entries)}

    def signed(self, reason: str) -> dict[str, Any]:
        """What is stored and signed for: by hand nothing is sent, but what people say that they did."""
        return self.steps | ({"by_hand": reason} if self.course == Course.BY_HAND else {})


def digest_of(execution: Execution, course: str, steps: dict[str, Any]) -> str:
    """What signatures bind to: these statements after this execution of this request."""
    return canonical_sha256(
        {
            "execution": str(execution.pk),
            "request": execution.request_digest,
            "course": course,
            "steps": steps,
        }
    )


def offer(execution: Execution, course: str, standing: Sequence[Stand] | None = None) -> Offer:
    """What a course would send now: by hand nothing, else only what is known is ever offered."""
    if course == Course.BY_HAND:
        return Offer(course, False, ())
    standing = stands(execution) if standing is None else standing
    if unknown := [stand for stand in standing if stand.in_place is None]:
        why_not = _("Step %(step)d has to be looked at first: nobody knows how it stands.") % {
            "step": unknown[0].step.position
        }
        return Offer(course, False, (), why_not)
    if not any(stand.step.how == _How.ALONE for stand in standing):
        return Offer(course, False, (), _("Nothing of it ran alone, so there is nothing to continue with."))
    committed = is_committed(execution)
    return _back(standing, committed) if course == Course.TAKE_BACK else _on(standing, committed)


def _on(standing: Sequence[Stand], committed: bool) -> Offer:
    entries, configured = [], False
    for stand in standing:
        about = _about(stand.step)
        renewed = isinstance(about, Reload) and configured
        if stand.in_place and not renewed:
            continue
        configured = configured or isinstance(about, Setting)
        clearing = [] if isinstance(about, IndexDropped) else stand.leftover
        # What is left of these is their own end, and not cleared away before.
        rest = [] if isinstance(about, Detached | Rewritten) and clearing else [stand.step.sql]
        entries.append(_entry(stand.step, "run", [*clearing, *rest]))
    return Offer(Course.GO_ON, not committed, tuple(entries))


def _back(standing: Sequence[Stand], committed: bool) -> Offer:
    if committed:
        why_not = _(
            "The transaction is committed, and what it took back can't be given back by itself. Go on."
        )
        return Offer(Course.TAKE_BACK, False, (), why_not)
    entries, last = [], []
    for stand in reversed(standing):
        if stand.step.how == _How.TRANSACTIONAL or not (stand.in_place or stand.leftover):
            continue
        about = _about(stand.step)
        if isinstance(about, Rewritten):
            continue  # its rows are what they were
        if isinstance(about, Reload):
            last.append(_entry(stand.step, "run", [stand.step.sql]))
        elif stand.in_place and (stand.before or {}).get("for_good"):
            entries.append(_entry(stand.step, "stays", []))
        else:
            # Half detached, half dropped: there is no way back but to its end, and from there.
            half = isinstance(about, Detached | IndexDropped) and stand.leftover
            undo = _undo(stand) if stand.in_place or half else []
            entries.append(_entry(stand.step, "take back", [*stand.leftover, *undo]))
    entries = [entry for entry in entries if entry["statements"] or entry["does"] == "stays"] + last
    why_not = "" if entries else _("Nothing of it is in place: there is nothing to take back.")
    return Offer(Course.TAKE_BACK, False, tuple(entries), why_not)


def _undo(stand: Stand) -> list[str]:
    """The statements that were recorded when the step was claimed first."""
    return list(stand.step.undo or stand.latest.undo)


def _entry(step: ExecutionStep, does: str, statements: list[str]) -> dict[str, Any]:
    return {
        "of": step.position,
        "does": does,
        "how": step.how,
        "kind": step.kind,
        "says": step.says,
        "statements": statements,
    }


def _about(step: ExecutionStep) -> object:
    if step.how != _How.ALONE:
        return None
    try:
        return read_alone(step.sql)
    except NotAlone:
        return None


def signatures(continuation: Continuation) -> list[policy.Signature[ContinuationApproval]]:
    """The signatures that the policy asks for, each given or missing: as many as for the rollback itself."""
    rule = policy.rule_for(continuation.execution.rollback_target.rollback)
    given = continuation.approvals.filter(digest=continuation.digest, approver__is_active=True)
    people = [
        each
        for each in given.select_related("approver")
        if each.role in {role.value for role in each.approver.roles}
    ]
    return policy.signatures(rule, people)


def missing_roles(continuation: Continuation) -> list[Role]:
    """The roles whose signatures are missing, one entry per missing signature."""
    return [line.role for line in signatures(continuation) if line.approval is None]


def unsigned(execution: Execution) -> str:
    """Why an execution that continues another may not run, as a sentence; empty if it may."""
    continuation = execution.continuation
    if continuation is None or execution.continues is None or continuation.carried_out_id != execution.pk:
        return _("Nobody asked for continuing it.")
    if digest_of(execution.continues, continuation.course, continuation.steps) != continuation.digest:
        return _("What would run is not what was signed for: its digest differs.")
    if missing_roles(continuation):
        return _("A signature is missing or no longer counts.")
    return ""


def attempt(execution: Execution) -> int:
    """Which attempt it is, from 1, under the signatures that it continues another by."""
    made = Execution.objects.filter(continuation=execution.continuation_id, continuation__isnull=False)
    return made.filter(queued_at__lte=execution.queued_at).count()


def stand_again(execution: Execution) -> None:
    """An attempt at continuing ended without effect: what was signed for may be tried again, unless that was
    the last time. The caller has written its outcome and holds it locked."""
    if attempt(execution) < ATTEMPTS:
        Continuation.objects.filter(carried_out=execution, voided_at=None).update(carried_out=None)
