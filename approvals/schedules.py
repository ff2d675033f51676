"""Starts for later: ops choose a time in an opening of the target, and beat starts in their name.

All gates are asked again then. What could not start by the end of its opening has missed it: the rollback
expires as if its time to execute were over. Scheduling never makes that time longer.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from . import audit, executions, fleets, gates, jobs, rollbacks, signed, windows, workflow
from .decisions import require_confirmed
from .errors import Conflict, Denied, Refused
from .known import Known
from .models import Job, RollbackRequest, RollbackTarget, Schedule, Status, User
from .openings import Span

log = logging.getLogger(__name__)
State = Schedule.State

# How long a start may come late on a target that is always open.
GRACE = timedelta(minutes=30)


def waiting(rollback: RollbackRequest) -> Schedule | None:
    """The start that waits, if there is one; one query."""
    return rollback.schedules.filter(state=State.WAITING).select_related("by").first()


def next_opening(rollback: RollbackRequest, known: Known | None = None) -> Span | None:
    """The next opening of the target that begins in the time to execute; None: it is open now, or none
    comes."""
    known = known or Known(rollback)
    standing = known.standing
    if standing is None or standing.is_open or standing.span is None:
        return None
    if rollback.expires_at is not None and standing.span.begins >= rollback.expires_at:
        return None
    return standing.span


def why_not(rollback: RollbackRequest, known: Known | None = None) -> str:
    """Why no start can be scheduled as things are, as a sentence; empty if one can."""
    if rollback.status != Status.APPROVED:
        return _("Only what is approved can be scheduled.")
    if rollback.overdue_expiry:
        return _("The time to execute it is over.")
    known = known or Known(rollback)
    if problem := signed.changed(rollback):
        return problem
    found = gates.gates(rollback, known)
    lacking = [g for g in found if g.needed <= gates.Needed.EXECUTE and not g.holds and g.key != "window"]
    return " ".join(f"{gate.title}: {gate.detail}" for gate in lacking)


def schedule(
    rollback: RollbackRequest,
    *,
    actor: User,
    digest: str,
    confirmed_at: datetime | None,
    at: datetime | None = None,
    wave_size: int | None = None,
    stop_after: int | None = None,
) -> Schedule:
    """Set a start for `at` (aware), or for the next opening of the target. Ops only; replaces nothing. Of a
    fleet it is the canary that begins then; `wave_size` and `stop_after` are those of the run.

    Raises Denied, Refused or Conflict: the moment must lie ahead, in an opening and in the time to execute,
    and every gate but that of the window must hold now.
    """
    with audit.unit_of_work("schedule.made", actor=actor, rollback=rollback) as facts:
        rollback = workflow.locked(rollback)
        workflow.require_party(rollback, actor, workflow.Party.OPS)
        workflow.require(rollback, [Status.APPROVED], digest=digest)
        confirmed_at, now = require_confirmed(confirmed_at)
        if problem := why_not(rollback):
            raise Refused(problem)
        if waiting(rollback) is not None:
            raise Refused(_("A start is scheduled already; cancel that one first."))
        rollback_target = rollback.representative()
        if rollback.rollback_targets.count() > 1:
            fleets.require_waves(rollback, wave_size=wave_size, stop_after=stop_after)
        chosen, until = _fit(rollback, rollback_target, at, now)
        made = Schedule.objects.create(
            rollback=rollback,
            request_digest=rollback.request_digest,
            at=chosen,
            until=until,
            by=actor,
            made_at=now,
            confirmed_at=confirmed_at,
            wave_size=wave_size,
            stop_after=stop_after,
        )
        jobs.ask(Job.Kind.PREFLIGHT, subject=rollback.pk, actor=actor, digest=rollback.change_digest)
        facts |= {"schedule": made.pk, "for": audit.stamp(chosen), "until": audit.stamp(until)}
        facts["request"] = rollback.request_digest
    return made


def _fit(
    rollback: RollbackRequest, rollback_target: RollbackTarget, at: datetime | None, now: datetime
) -> tuple[datetime, datetime]:
    """The moment of the start and the end of the opening it lies in. Raises Refused where it lies in none."""
    target = rollback_target.target
    entries = windows.in_force(target)
    found = windows.calendar(target, entries)
    if at is None:
        span = found.next_span(now)
        if span is None:
            raise Refused(_("No window of %(target)s comes.") % {"target": target})
        if span.holds(now):
            raise Refused(_("%(target)s is open now: start it, or choose a time.") % {"target": target})
        at = span.begins
    if at <= now:
        raise Refused(_("That time is over already."))
    if rollback.expires_at is None or at >= rollback.expires_at:
        raise Refused(
            _("The time to execute %(label)s is over before that: it ends %(end)s.")
            % {
                "label": rollback.label,
                "end": windows.clock(rollback.expires_at, target) if rollback.expires_at else "",
            }
        )
    span = found.span_at(at)
    if span is None:
        says = windows.standing(target, entries, at).sentence
        words = {"target": target, "at": windows.clock(at, target), "says": says}
        raise Refused(_("%(target)s is closed at %(at)s. %(says)s") % words)
    until = span.ends if found.has_windows else min(span.ends, at + GRACE)
    return at, min(until, rollback.expires_at)


def cancel(found: Schedule, *, actor: User) -> Schedule:
    """Take a scheduled start back; the approvals stay. Ops only. Raises Denied or Refused."""
    with audit.unit_of_work("schedule.cancelled", actor=actor, rollback=found.rollback) as facts:
        rollback = workflow.locked(found.rollback)
        workflow.require_party(rollback, actor, workflow.Party.OPS)
        end = _end(found, State.CANCELLED, _("Cancelled by %(who)s.") % {"who": actor}, actor=actor)
        facts["schedule"] = end.pk
    return end


def carry_out_due(now: datetime | None = None) -> int:
    """Start what is due, and end what missed its opening. Returns how many were started.

    Called by beat, and safe to be called by several at once: a start locks its rollback.
    """
    now, started = now or timezone.now(), 0
    due = Schedule.objects.filter(state=State.WAITING, at__lte=now).order_by("at", "id")
    for found in due.select_related("rollback", "by"):
        try:
            with suppress(Conflict):
                started += _carry_out(found, now)
        except Exception:  # what is wrong with one must not let the windows of the others pass
            log.exception("%s could not be carried out", found)
    return started


def _carry_out(found: Schedule, now: datetime) -> bool:
    """Start one that is due, if it may be; say why where it may not."""
    rollback = RollbackRequest.objects.get(pk=found.rollback_id)
    if rollback.status != Status.APPROVED or rollback.request_digest != found.request_digest:
        _give_up(found, _("The rollback is not what was scheduled any more."))
        return False
    if now >= found.until:
        _miss(found)
        return False
    try:
        if found.wave_size is None:
            executions.start_scheduled(found)
        else:
            fleets.start_scheduled(found)
    except Denied:
        _give_up(found, _("%(who)s may not start it any more.") % {"who": found.by})
    except Refused as refused:
        if found.sentence != str(refused):
            Schedule.objects.filter(pk=found.pk, state=State.WAITING).update(sentence=str(refused))
        log.info("%s could not start yet", found)
    else:
        return True
    return False


def _give_up(found: Schedule, sentence: str) -> None:
    with audit.unit_of_work("schedule.cancelled", actor=None, rollback=found.rollback) as facts:
        workflow.locked(found.rollback)
        facts["schedule"] = _end(found, State.CANCELLED, sentence).pk


def _miss(found: Schedule) -> None:
    """Its opening is over: the rollback expires with it, approvals and all."""
    with audit.unit_of_work("schedule.missed", actor=None, rollback=found.rollback) as facts:
        rollback = workflow.locked(found.rollback)
        said = _("It missed its window, which closed %(at)s.") % {"at": f"{found.until:%Y-%m-%d %H:%M} UTC"}
        ended = _end(found, State.MISSED, f"{said} {found.sentence}".strip())
        facts |= {"schedule": ended.pk, "was": rollback.status}
        facts["voided"] = rollbacks.void_approvals(rollback, why="missed its window")
        workflow.move(rollback, Status.EXPIRED, actor=None)


def _end(found: Schedule, state: Schedule.State, sentence: str, *, actor: User | None = None) -> Schedule:
    """End a schedule whose rollback the caller holds locked. Raises Conflict if somebody was faster."""
    fresh = Schedule.objects.select_for_update(of=("self",)).get(pk=found.pk)
    if fresh.state != State.WAITING:
        raise Conflict(_("This start is %(state)s already.") % {"state": fresh.get_state_display()})
    fresh.state, fresh.sentence = state, sentence
    fresh.ended_at, fresh.ended_by = timezone.now(), actor
    fresh.save(update_fields=["state", "sentence", "ended_at", "ended_by"])
    return fresh
