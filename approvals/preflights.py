"""The preflight: people ask for a look at how things stand, the worker answers with a checklist on record.

It is shown before anybody presses the button, and the worker takes the same look again as an execution
begins; there it decides. Each look is evidence: dated, bound to the change, never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from . import access, analysis, audit, continuable, digests, filling, gates, grades, jobs, windows, workflow
from .analysis import mentions
from .errors import Denied, Refused
from .known import Known
from .models import (
    Evidence,
    Execution,
    ExecutionStatus,
    Job,
    Migration,
    MigrationRevision,
    PolicyRule,
    RollbackItem,
    RollbackRequest,
    RollbackTarget,
    Status,
    User,
)

# What was looked at longer ago than this is shown as old: things move.
FRESH = timedelta(minutes=15)
ASKABLE = (Status.IN_REVIEW, Status.APPROVED)
Points = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Found:
    """What a preflight came to: may it start, and in a sentence why, or why not."""

    go: bool
    sentence: str


def ask(rollback: RollbackRequest, *, actor: User) -> Job:
    """Ask the worker for a look. Whoever sees the rollback may, but for auditors. Raises Denied or Refused;
    a look that is under way is not asked for twice."""
    with audit.unit_of_work("preflight.requested", actor=actor, rollback=rollback) as facts:
        rollback = workflow.locked(rollback)
        if not access.rollbacks(actor).filter(pk=rollback.pk).exists():
            raise Denied(_("You do not see this rollback."))
        if not access.writes(actor):
            raise Denied(_("Auditors read everything and change nothing."))
        workflow.require(rollback, ASKABLE)
        latest = jobs.latest(Job.Kind.PREFLIGHT, rollback.pk)
        if latest is not None and latest.state in (Job.State.WAITING, Job.State.CLAIMED):
            raise Refused(_("A worker was asked for it already; it shows here when it has looked."))
        facts["change"] = rollback.change_digest
        return jobs.ask(Job.Kind.PREFLIGHT, subject=rollback.pk, actor=actor, digest=rollback.change_digest)


def objections(
    rollback: RollbackRequest,
    *,
    only: RollbackTarget | None = None,
    items: Sequence[RollbackItem] | None = None,
    rule: PolicyRule | None = None,
) -> list[dict[str, Any]]:
    """What the portal itself has against a start now, as points that stop it: every gate again, the time to
    execute, and the rating with the newest facts; and what is forced, as points to look at. `only` asks about
    one of several targets; `items` (of `digests.items_of`) and the `rule` (of `policy.rule_for`) spare
    reading them."""
    items = digests.items_of(rollback) if items is None else items
    known = Known(rollback, items=items, only=only, rule=rule)
    found = [
        _point(gate.key, gate.title, "look" if gate.forced else "stop", gate.detail)
        for gate in gates.gates(rollback, known)
        if gate.needed <= gates.Needed.EXECUTE and (gate.forced or not gate.holds)
    ]
    if rollback.overdue_expiry:
        said = _("The time to execute %(label)s is over.") % {"label": rollback.label}
        found.append(_point("expiry", _("It is still in time"), "stop", said))
    if not (risk := gates.risk(known)).holds:
        found.append(_point(risk.key, risk.title, "stop", risk.detail))
    return found


def objections_to_continuing(execution: Execution) -> list[dict[str, Any]]:
    """The same of an execution that goes on with another, or takes it back: what that asks."""
    assert execution.continues is not None  # noqa: S101 (the caller has looked)
    assert execution.continuation is not None  # noqa: S101 (a trigger holds it)
    missing = continuable.missing(execution.continues, execution.course)
    found = [_point(gate.key, gate.title, "stop", gate.detail) for gate in missing]
    if over := continuable.over(execution.continuation):
        found.append(_point("expiry", _("It is still in time"), "stop", over))
    return found


def no_go(known: Known) -> str:
    """Why nobody should start it now, as a sentence: the newest look, unless it is old, saw on the target (of
    a fleet: its canary) what would end the attempt without effect. Empty where it didn't; gates are not among
    it, they are asked anew. A start by the clock does not ask this: nobody is there to have it looked again.
    """
    found = known.evidence(Evidence.Kind.PREFLIGHT)
    if found is None or found.holds or known.now - found.at > FRESH:
        return ""
    seen = found.data.get("seen", [found.sentence])
    said = _(
        "The preflight of %(at)s says no-go: %(why)s Starting now would use up an attempt and change "
        "nothing. Have a worker look again: once it says go, this can start."
    )
    at = windows.clock(found.at, known.rollback_targets[0].target)
    return said % {"at": at, "why": seen[0]} if seen else ""


def require_no_no_go(rollback: RollbackRequest) -> None:
    """Raise Refused where starting would use up an attempt and change nothing, see `no_go`."""
    if why_not := no_go(Known(rollback)):
        raise Refused(why_not)


def sentences(points: Points) -> list[str]:
    """Points as people read them in one line each."""
    own = ("expiry", "risk")
    return [p["says"] if p["key"] in own else f"{p['title']}: {p['says']}" for p in points]


def record(
    rollback: RollbackRequest,
    points: Points,
    harm: Points,
    *,
    execution: Execution | None = None,
    rollback_target: RollbackTarget | None = None,
    items: Sequence[RollbackItem] | None = None,
    rule: PolicyRule | None = None,
) -> Found:
    """The worker's answer: what it found on the target (`points`) and what the rollback breaks elsewhere
    (`harm`); the portal adds what it knows itself. Stored as evidence, with its event. `items` and `rule` as
    with `objections`."""
    if rollback_target is None:
        rollback_target = execution.rollback_target if execution else rollback.representative()
    items = digests.items_of(rollback) if items is None else items
    continues = execution is not None and execution.continues_id is not None
    mine = objections_to_continuing(execution) if execution is not None and continues else None
    mine = objections(rollback, only=rollback_target, items=items, rule=rule) if mine is None else mine
    seen = [_seen(point) for point in points if point["verdict"] == "stop"]
    # What is forced is to be looked at; it stops nothing.
    why = [*sentences([point for point in mine if point["verdict"] == "stop"]), *seen]
    points = [*(mine or [_all_hold(continues=continues)]), *points]
    harm = [_repeatables(rollback, items), *harm]
    stops = [point for point in points if point["verdict"] == "stop"]
    sentence = _("No-go. %(why)s") % {"why": " ".join(why)} if why else _go_sentence(points, harm)
    subject = execution or rollback
    about = {"execution": execution} if execution else {"rollback": rollback}
    with audit.unit_of_work("preflight.recorded", actor=None, **about) as facts:
        Evidence.objects.create(
            rollback=rollback,
            target=rollback_target.target,
            kind=Evidence.Kind.PREFLIGHT,
            change_digest=rollback.change_digest,
            holds=not stops,
            sentence=sentence,
            data={
                "points": list(points),
                "breaks": list(harm),
                "seen": seen,
                "execution": str(subject.pk) if execution else "",
            }
            | _above_limit(points),
        )
        facts |= {"holds": not stops, "change": rollback.change_digest, "stops": [p["key"] for p in stops]}
    return Found(not stops, sentence)


def _above_limit(points: Points) -> dict[str, bool]:
    """Whether the backup can't be had for the size of the target; nothing where no worker looked at that."""
    told = [point for point in points if point["key"] in ("backup", *grades.BEYOND_REACH)]
    beyond = any(point["key"] in grades.BEYOND_REACH and point["verdict"] == "stop" for point in told)
    return {"above_limit": beyond} if told else {}


def _seen(point: dict[str, Any]) -> str:
    """What the worker saw, with the first that it is about."""
    return f"{point['says']} {point['who'][0].rstrip('.')}." if point["who"] else str(point["says"])


def _all_hold(*, continues: bool) -> dict[str, Any]:
    says = _("Asked again: all hold, and the risk is no higher.")
    if continues:
        says = _("Asked again, of what is left: all that going on or taking back needs.")
    return _point("gates", _("Every gate holds"), "go", says)


def _go_sentence(points: Points, harm: Points) -> str:
    count = sum(point["verdict"] == "look" for point in (*points, *harm))
    if not count:
        return _("Go: nothing stands in the way.")
    return ngettext(
        "Go: nothing stands in the way; %(count)d point is worth knowing.",
        "Go: nothing stands in the way; %(count)d points are worth knowing.",
        count,
    ) % {"count": count}


def rehearsed_locks(rollback_target: RollbackTarget) -> list[tuple[str, str]]:
    """The relations, each with a mode, that the last passed rehearsal of these bytes was seen to lock."""
    rehearsal = (
        Execution.objects.filter(
            rollback_target__rollback=rollback_target.rollback_id,
            purpose=Execution.Purpose.REHEARSAL,
            change_digest=rollback_target.rollback.change_digest,
            status=ExecutionStatus.SUCCEEDED,
        )
        .order_by("-queued_at")
        .first()
    )
    return [(lock["relation"], lock["mode"]) for lock in rehearsal.locks] if rehearsal else []


def _repeatables(rollback: RollbackRequest, items: Sequence[RollbackItem]) -> dict[str, Any]:
    """Repeatable migrations whose statements name something that goes: Flyway runs them with the next
    deployment, and they fail."""
    gone: set[str] = set()
    for item in items:
        if item.script is not None:
            plan = analysis.plan_script(filling.sql_of(item))
            gone |= {mentions.bare(each.relation) for each in plan.destroys if each.column is None}
    title = _("Repeatable migrations that need what goes")
    found = []
    for revision in _repeatable_revisions(rollback) if gone else ():
        if names := sorted(gone & mentions.relations(revision.sql)):
            found.append(f"{revision.path}: {', '.join(names)}")
    if not found:
        return _point("repeatables", title, "go", _("None."))
    says = _("The next deployment runs them when they change, and they fail without it.")
    return _point("repeatables", title, "look", says, found)


def _repeatable_revisions(rollback: RollbackRequest) -> list[MigrationRevision]:
    """The newest text of each repeatable migration of the service that is still there; one query."""
    return list(
        MigrationRevision.objects.filter(
            migration__service=rollback.service_id,
            migration__kind=Migration.Kind.REPEATABLE,
            migration__removed_at=None,
        )
        .order_by("migration_id", "-number")
        .distinct("migration_id")
    )


def _point(key: str, title: str, verdict: str, says: str, who: Sequence[str] = ()) -> dict[str, Any]:
    """A point as the worker's are, see `executor.obstacles.Point`."""
    return {"key": key, "title": title, "verdict": verdict, "says": says, "who": list(who)}
