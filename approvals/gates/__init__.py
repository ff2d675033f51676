"""The conditions a rollback must meet: each says whether it holds, what is missing and who can supply it.

The judges live in modules by what they look at; which of them are asked when is decided here.
"""

from __future__ import annotations

from approvals.known import Known
from approvals.models import Evidence, RollbackRequest

from . import opening, people, proven, request, scripts, target, tried
from .gate import Gate, Judge, Needed
from .target import risk

__all__ = [
    "AT_A_GLANCE",
    "JUDGES",
    "TO_GO_ON",
    "TO_GO_ON_COMMITTED",
    "TO_TAKE_BACK",
    "Gate",
    "Judge",
    "Needed",
    "at_a_glance",
    "gates",
    "latest_evidence",
    "missing",
    "risk",
]

JUDGES: tuple[Judge, ...] = (
    scripts.script_readable,
    scripts.checks_present,
    proven.complete,
    proven.proven,
    request.reasons,
    request.forward_fix,
    target.facts_read,
    target.history_pinned,
    request.file_settled,
    request.file_taken_care_of,
    request.checklist_done,
    tried.rehearsed,
    tried.backup_evidence,
    people.approved,
    opening.window_ahead,
    opening.window,
    scripts.runnable,
)

# What is asked again before what is partly done is gone on with: while its transaction is still to come, and
# once that is committed; and before it is taken back. What only the first start can have (a rehearsal that is
# young enough) is not among them: nothing that is half done can be rehearsed.
TO_GO_ON: tuple[Judge, ...] = (
    target.facts_read,
    target.history_pinned,
    request.file_settled,
    people.approved,
    opening.window,
    scripts.runnable,
)
TO_GO_ON_COMMITTED: tuple[Judge, ...] = (people.approved, opening.window, scripts.runnable)
TO_TAKE_BACK: tuple[Judge, ...] = (target.history_pinned,)

# Those that a list can ask of each rollback on it: they need the rollback, its items with their scripts and
# its targets, and no query.
AT_A_GLANCE: tuple[Judge, ...] = (request.file_settled, scripts.runnable)


def gates(rollback: RollbackRequest, known: Known | None = None) -> list[Gate]:
    """Every gate of this rollback, judged from the records as they are now; what is missing, and needed
    soonest, comes first, then what is forced.

    A fixed number of queries; `known` spares those for what was read already.
    """
    known = known or Known(rollback)
    if known.judged is None:
        judges = (*JUDGES, target.alike) if known.is_fleet else JUDGES
        judged = (judge(known) for judge in judges)
        known.judged = sorted(judged, key=lambda gate: (gate.holds, not gate.forced, gate.needed))
    return known.judged


def missing(rollback: RollbackRequest, needed: Needed) -> list[Gate]:
    """The gates that must hold at this point and do not."""
    return [gate for gate in gates(rollback) if gate.needed <= needed and not gate.holds]


def at_a_glance(known: Known) -> list[Gate]:
    """What is in the way of an execution as far as the records of a list tell."""
    return [gate for gate in (judge(known) for judge in AT_A_GLANCE) if not gate.holds]


def latest_evidence(rollback: RollbackRequest, kind: Evidence.Kind) -> Evidence | None:
    """The newest evidence of this kind for the change as it is now; older bytes prove nothing."""
    return Known(rollback).evidence(kind)
