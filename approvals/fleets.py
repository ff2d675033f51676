"""Runs over fleets: ops start one, hold it, go on, and end it. What comes next is worked out by itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from . import audit, executions, fleet_progress, preflights, workflow
from .decisions import require_confirmed
from .errors import Denied, Refused
from .models import BUSY, Execution, ExecutionStatus, FleetRun, Role, RollbackRequest, Schedule, Status, User
from .waves import Stand

State = FleetRun.State
# How often one target may be tried in one run.
TRIES = 3


def start(
    rollback: RollbackRequest,
    *,
    actor: User,
    digest: str,
    confirmed_at: datetime | None,
    wave_size: int,
    stop_after: int = 1,
) -> FleetRun:
    """Start the run of an approved rollback over its targets: the canary begins now, then waves of
    `wave_size`; `stop_after` failures stop it. Ops only. Raises Denied, Refused or Conflict."""
    with audit.unit_of_work("fleet.started", actor=actor, rollback=rollback) as facts:
        rollback = workflow.locked(rollback)
        workflow.require_party(rollback, actor, workflow.Party.OPS)
        workflow.require(rollback, [Status.APPROVED], digest=digest)
        confirmed_at, _now = require_confirmed(confirmed_at)
        preflights.require_no_no_go(rollback)
        run = FleetRun(wave_size=wave_size, stop_after=stop_after, confirmed_at=confirmed_at)
        _begin(run, rollback, actor, facts)
    return run


def start_scheduled(schedule: Schedule) -> FleetRun:
    """Start the run that ops have scheduled, in the name of who did: like `start`, only that they proved who
    they are when they scheduled it, and that each target begins in its own window or not at all.

    Raises Denied, Refused or Conflict, as where somebody has started or cancelled it meanwhile.
    """
    actor = User.objects.get(pk=schedule.by_id)  # as they are now: they may have lost the role
    with audit.unit_of_work("fleet.started", actor=actor, rollback=schedule.rollback) as facts:
        rollback = executions.require_scheduled(schedule, actor)
        facts["schedule"] = schedule.pk
        run = FleetRun(
            wave_size=schedule.wave_size or 1,
            stop_after=schedule.stop_after or 1,
            confirmed_at=schedule.confirmed_at,
            schedule=schedule,
        )
        _begin(run, rollback, actor, facts)
    return run


def _begin(run: FleetRun, rollback: RollbackRequest, actor: User, facts: audit.Facts) -> None:
    """What every start of a run is; the caller holds the rollback locked and has seen who may."""
    require_waves(rollback, wave_size=run.wave_size, stop_after=run.stop_after)
    executions.require_startable(rollback)
    workflow.move(rollback, Status.EXECUTING, actor=actor)
    rollback.attempts += 1
    rollback.save(update_fields=["attempts"])
    run.rollback, run.request_digest = rollback, rollback.request_digest
    run.started_by, run.started_at = actor, timezone.now()
    run.save()
    # Whoever was faster than the clock: what was scheduled has begun.
    rollback.schedules.filter(state=Schedule.State.WAITING).update(
        state=Schedule.State.STARTED, ended_at=run.started_at, ended_by=actor
    )
    facts |= {"request": rollback.request_digest, "targets": rollback.rollback_targets.count()}
    facts |= {"wave_size": run.wave_size, "stop_after": run.stop_after}
    facts |= fleet_progress.advance(run)


def require_waves(rollback: RollbackRequest, *, wave_size: int | None, stop_after: int | None) -> None:
    """Raise Refused unless a run of this rollback could go like that."""
    targets = rollback.rollback_targets.count()
    if targets < 2:
        raise Refused(_("%(label)s has one target: start its execution.") % {"label": rollback.label})
    if not (1 <= (wave_size or 0) < targets and 1 <= (stop_after or 0) <= targets):
        raise Refused(
            _("A wave has 1 to %(most)d targets, and 1 to %(targets)d failures stop the run.")
            % {"most": targets - 1, "targets": targets}
        )


def hold(run: FleetRun, *, actor: User, reason: str) -> FleetRun:
    """Begin nothing more: what no worker has taken counts as not begun, what is under way goes to its end."""
    with audit.unit_of_work("fleet.held", actor=actor, rollback=run.rollback) as facts:
        run = _locked(run, actor)
        if not reason.strip():
            raise Refused(_("Say why you hold it."))
        if run.state != State.RUNNING:
            raise Refused(_refusal(run))
        said = _("Held by %(who)s: %(why)s") % {"who": actor, "why": reason.strip()}
        facts["called_off"] = _leave(run, State.HELD, said)
        facts["reason_sha256"] = audit.digest_of(reason.strip())
        facts |= fleet_progress.advance(run)
    return run


def go_on(
    run: FleetRun, *, actor: User, confirmed_at: datetime | None, seen: int, again: bool = False
) -> FleetRun:
    """Go on with what has not begun, in spite of the `seen` failures that the page showed; `again` also tries
    those once more that ended without effect (each at most TRIES times).

    Raises Denied, or Refused where the canary is not done, a target is unsure, more has failed since, or the
    time to execute is over.
    """
    with audit.unit_of_work("fleet.went_on", actor=actor, rollback=run.rollback) as facts:
        run = _locked(run, actor)
        confirmed_at, _now = require_confirmed(confirmed_at)
        if run.state not in (State.HELD, State.STOPPED):
            raise Refused(_refusal(run))
        if problem := why_not_go_on(run, again=again):
            raise Refused(problem)
        stands = _stands(run)
        if stands.count(Stand.FAILED) != seen:
            raise Refused(_("Other targets have failed since you opened the page. Look again."))
        facts["tried_again"] = _give_another_try(run) if again else 0
        run.accepted = _stands(run).count(Stand.FAILED)
        facts["in_spite_of"] = run.accepted
        run.state, run.sentence, run.changed_at = State.RUNNING, "", timezone.now()
        run.save(update_fields=["state", "sentence", "accepted", "changed_at"])
        facts |= fleet_progress.advance(run)
    return run


def why_not_go_on(run: FleetRun, *, again: bool) -> str:
    """Why nobody can go on with a run that is held or stopped, as a sentence; empty if ops can."""
    tries, targets = fleet_progress.tries_of(run), fleet_progress.in_order(run)
    stands = [fleet_progress.stand(tries[each.pk]) for each in targets]
    if run.rollback.overdue_expiry:
        return _("The time to execute %(label)s is over: end the run.") % {"label": run.rollback.label}
    if Stand.UNSURE in stands:
        return _("Before it can go on, see how %(target)s stands, and settle it.") % {
            "target": targets[stands.index(Stand.UNSURE)].target
        }
    if stands[0] is Stand.FAILED and not (again and _may_try_again(tries[targets[0].pk])):
        return _("The canary is not done, and nothing else begins before it. End the run.")
    if Stand.WAITING not in stands and not (again and any(map(_may_try_again, tries.values()))):
        return _("Nothing is left to begin.")
    return ""


def cancel(run: FleetRun, *, actor: User, reason: str) -> FleetRun:
    """End the run for good: nothing more begins, whatever is under way is cancelled, and its targets tell how
    each ended. What has been committed stays."""
    with audit.unit_of_work("fleet.cancelled", actor=actor, rollback=run.rollback) as facts:
        run = _locked(run, actor)
        if not reason.strip():
            raise Refused(_("Say why you end it."))
        if run.is_over:
            raise Refused(_refusal(run))
        said = _("Ended by %(who)s: %(why)s") % {"who": actor, "why": reason.strip()}
        facts["called_off"] = _leave(run, State.CANCELLED, said)
        # Behind COMMIT nobody can cancel any more; the worker asks once more before it sends that.
        facts["cancelled"] = run.executions.filter(
            status__in=BUSY, cancel_requested_at=None, continues=None
        ).update(
            cancel_requested_at=timezone.now(), cancel_requested_by=actor, cancelled_because=reason.strip()
        )
        facts["reason_sha256"] = audit.digest_of(reason.strip())
        facts |= fleet_progress.advance(run)
    return run


def _locked(run: FleetRun, actor: User) -> FleetRun:
    if Role.OPS not in actor.roles:
        raise Denied(_("Only ops can hold a run, go on with it or end it."))
    return fleet_progress.lock(run.pk)


def _refusal(run: FleetRun) -> str:
    return _("The run is %(state)s, so this can't be done.") % {"state": run.get_state_display().lower()}


def _leave(run: FleetRun, state: FleetRun.State, sentence: str) -> int:
    """Nothing more begins. Returns how many were queued and are called off."""
    run.state, run.sentence, run.changed_at = state, sentence, timezone.now()
    run.save(update_fields=["state", "sentence", "changed_at"])
    return fleet_progress.call_off(run)


def _stands(run: FleetRun) -> list[Stand]:
    tries = fleet_progress.tries_of(run)
    return [fleet_progress.stand(tries[each.pk]) for each in fleet_progress.in_order(run)]


def _may_try_again(tries: list[Execution]) -> bool:
    """Did it end without effect, and may the target be tried once more?"""
    last = fleet_progress.newest(tries)
    begun = [each for each in tries if each.claimed_at is not None]
    return (
        last is not None
        and last.status == ExecutionStatus.NO_EFFECT
        and not last.missed
        and len(begun) < TRIES
    )


def _give_another_try(run: FleetRun) -> int:
    """Set aside what ended without effect. Returns how many targets begin anew."""
    again = [
        fleet_progress.newest(tries)
        for tries in fleet_progress.tries_of(run).values()
        if _may_try_again(tries)
    ]
    return run.executions.filter(pk__in=[each.pk for each in again if each is not None]).update(
        set_aside=True
    )


def says(counts: dict[str, int]) -> str:
    """How many targets stand how, as a sentence: `14 of 200 taken back, 1 failed, 185 not begun.`"""
    total = sum(counts.values())
    words: list[tuple[str, Any]] = [
        ("done", _("%(count)d of %(total)d taken back")),
        ("failed", ngettext("%(count)d failed", "%(count)d failed", counts.get("failed", 0))),
        ("unsure", _("%(count)d not known or partly done")),
        (
            "missed",
            ngettext(
                "%(count)d missed its window", "%(count)d missed their windows", counts.get("missed", 0)
            ),
        ),
        ("open", _("%(count)d under way")),
        ("queued", _("%(count)d queued")),
        ("waiting", _("%(count)d not begun")),
    ]
    told = [
        text % {"count": counts.get(key, 0), "total": total}
        for key, text in words
        if counts.get(key) or key == "done"
    ]
    return ", ".join(told) + "."
