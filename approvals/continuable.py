"""What must hold again before what is partly done is gone on with, or taken back.

Signatures say that people want it; whether it may begin now is asked anew, by the portal when ops start it
and by the worker right before it sends anything. Going on is more of the change, so it is asked nearly all
that a start is. The way back needs no window and no backup, but a freeze that people declared stops it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext as _

from . import gates, halfway, history, policy
from .errors import Refused
from .flyway.versions import Version
from .gates import Gate, Needed
from .known import Known
from .models import Continuation, Execution, PolicyRule

Course = Execution.Course


def conditions(execution: Execution, course: str, known: Known | None = None) -> list[Gate]:
    """What this course asks of target and portal after this partly done execution, judged now, what is
    missing first; nothing is asked of settling by hand, which sends nothing. Signatures are apart.

    `known` (with `only`) spares reading twice. A fixed number of queries.
    """
    if course == Course.BY_HAND:
        return []
    rollback_target = execution.rollback_target
    known = known or Known(rollback_target.rollback, only=rollback_target)
    committed = halfway.is_committed(execution)
    found = [judge(known) for judge in _judges(course, committed=committed)]
    if course == Course.TAKE_BACK:
        found.append(_no_freeze(known))
    elif committed:
        found.append(_not_applied_again(known))
    return sorted(found, key=lambda gate: gate.holds)


def missing(execution: Execution, course: str) -> list[Gate]:
    """Those that do not hold now, with the risk as the newest facts have it."""
    known = Known(execution.rollback_target.rollback, only=execution.rollback_target)
    found = [gate for gate in conditions(execution, course, known) if not gate.holds]
    if course == Course.GO_ON and not halfway.is_committed(execution):
        found += [gate for gate in [gates.risk(known)] if not gate.holds]
    return found


def sentence(found: list[Gate]) -> str:
    """What is missing, in one line."""
    return " ".join(f"{gate.title}: {gate.detail}" for gate in found)


def has_transaction(execution: Execution) -> bool:
    """Does this execution run the transaction? Not one that takes back, nor one that goes on behind it."""
    if execution.continues is None:
        return True
    return execution.course == Course.GO_ON and not halfway.is_committed(execution.continues)


def takes_backup(execution: Execution, rule: PolicyRule) -> bool:
    """Is a backup taken before it runs? Where the transaction is still to come a new one is, because rows
    were written since the first. The way back, and what is left behind the transaction, destroy none."""
    return rule.backup_required and has_transaction(execution)


def expires(continuation: Continuation) -> datetime:
    """Until when it may be carried out: as long as an approved rollback may wait, from the last signature on
    that it needed, or from when it was asked for where the policy asks for nobody's."""
    rule = policy.rule_for(continuation.execution.rollback_target.rollback)
    given = [line.approval for line in halfway.signatures(continuation) if line.approval is not None]
    begun = max((approval.at for approval in given), default=continuation.asked_at)
    return begun + policy.execution_period(rule)


def over(continuation: Continuation) -> str:
    """That it may not be carried out any more, as a sentence; empty while it may."""
    if expires(continuation) > timezone.now():
        return ""
    return _("The time to carry this out is over. Ask anew; it takes new signatures.")


def _judges(course: str, *, committed: bool) -> tuple[gates.Judge, ...]:
    if course == Course.TAKE_BACK:
        return gates.TO_TAKE_BACK
    return gates.TO_GO_ON_COMMITTED if committed else gates.TO_GO_ON


def _no_freeze(known: Known) -> Gate:
    """Windows are for changes, and what is half done is nobody's wish. But a freeze was declared for a
    reason, and two people can lift it."""
    freeze = known.standing.freeze if known.standing else None
    return Gate(
        "freeze",
        _("Nothing freezes the target"),
        freeze is None,
        _("No freeze is in force; taking back waits for no window.")
        if freeze is None or known.standing is None
        else known.standing.sentence,
        "" if freeze is None else _("two people, who can lift the freeze on the page of the target"),
        Needed.EXECUTE,
    )


def _not_applied_again(known: Known) -> Gate:
    """Its row went with the transaction; where a deployment brought it back, what is left of the script would
    run against another schema than people signed for."""
    title, again = _("The migration was not applied again"), list(_applied_again(known))
    no = _("The history has it again: %(what)s. Settle it by hand.") % {"what": ", ".join(again)}
    return Gate(
        "history",
        title,
        not again,
        no if again else _("Since the transaction was committed nothing has brought it back."),
        _("a DBA, who looks what the deployment has left") if again else "",
        Needed.EXECUTE,
    )


def _applied_again(known: Known) -> Iterator[str]:
    rollback_target = known.concerned[0]
    try:
        standing = history.standing(known.rows[rollback_target.target_id])
    except Refused as refused:
        yield str(refused)
        return
    versions = [pin["version"] for pin in rollback_target.pins]
    yield from (f"V{version}" for version in versions if Version.parse(version) in standing)
