"""Gates that look at the targets as they were last read, and the risk that follows from it."""

from __future__ import annotations

from django.utils.translation import gettext as _

from approvals import alike as likeness
from approvals import history, rating
from approvals.errors import Refused
from approvals.known import Known
from approvals.models import Evidence

from .gate import NAMES, Gate, Needed, judged, requester


def facts_read(known: Known) -> Gate:
    facts = known.evidence(Evidence.Kind.FACTS)
    return judged(
        "facts",
        _("Facts were read from the target"),
        holds=facts is not None and facts.holds,
        yes=facts.sentence if facts else "",
        no=facts.sentence if facts else _("The worker has not read the target for this change yet."),
        who=_("the worker; ask for it on this page"),
        at=facts.at if facts else None,
    )


def history_pinned(known: Known) -> Gate:
    """Asked again before every step: a deployment between approval and execution must not go unnoticed."""
    no = ""
    try:
        for rollback_target in known.concerned:
            history.require_pinned(known.rows[rollback_target.target_id], rollback_target.pins)
    except Refused as refused:
        no = f"{rollback_target}: {refused}" if known.is_fleet else str(refused)
    return judged(
        "history",
        _("The history is as it was pinned"),
        holds=bool(known.rollback_targets) and not no,
        yes=_("The pinned rows are there unchanged, and nothing newer is applied above them."),
        no=no or _("The request names no target."),
        who=_("%(name)s; newer migrations have to go along") % {"name": known.rollback.requester},
        needed=Needed.APPROVE,
    )


def alike(known: Known) -> Gate:
    """Of fleets only: what is rehearsed and proven on the canary must speak for every target."""
    canary = known.rollback_targets[0]
    found = likeness.problems(known.concerned, known.facts, known.items, canary=canary)
    more = len(found) - NAMES
    no = " ".join(found[:NAMES]) + (_(" And %(more)d more.") % {"more": more} if more > 0 else "")
    return judged(
        "alike",
        _("The targets are alike"),
        holds=not found,
        yes=_("Set up alike, different databases, with the schema of %(canary)s to the last object.")
        % {"canary": canary.target},
        no=no,
        who=_("%(name)s: leave out those that differ, they take a request of their own")
        % {"name": known.rollback.requester},
        needed=Needed.APPROVE,
        at=min((each.at for each in known.facts.values()), default=None),
    )


def risk(known: Known) -> Gate:
    """Rated again with the newest facts: people sign for a risk. Not among the judges that pages ask, because
    it reads every script."""
    rollback = known.rollback
    now = rating.rate(rollback, known.evidence(Evidence.Kind.FACTS), known.items)
    why = now.reasons[0]["text"] if now.reasons else ""
    return judged(
        "risk",
        _("The risk is what was approved"),
        holds=now.risk <= (rollback.risk or 0),
        yes=_("The newest facts make it no higher."),
        no=_("The risk is %(now)s now, more than was approved: %(why)s") % {"now": now.risk.name, "why": why},
        who=requester(known),
        needed=Needed.EXECUTE,
    )
