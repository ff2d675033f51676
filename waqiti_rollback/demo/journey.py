"""The verbs of a rollback's way, each by the person whose turn it is; waits for what the worker answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from django.utils import timezone

from approvals import (
    checklist,
    continuing,
    decisions,
    executions,
    fleets,
    halfway,
    history,
    incidents,
    proofs,
    rollbacks,
)
from approvals.models import (
    OPEN,
    Approval,
    ChecklistEntry,
    Execution,
    ExecutionStatus,
    FileFate,
    FleetRun,
    Incident,
    Job,
    Migration,
    Role,
    RollbackRequest,
    Target,
    Urgency,
)

from .people import user

T = TypeVar("T")
PATIENCE = 180.0


class Stuck(Exception):
    """The worker did not answer, or not as it should have; the message says what it said instead."""


@dataclass(frozen=True)
class Wish:
    """What somebody asks for and why. `title`, `reason` and `impact` are the incident's."""

    by: str
    target: str
    versions: tuple[str, ...]
    title: str
    reason: str
    impact: str
    forward_fix: str
    fate: FileFate = FileFate.REMOVED
    app_version: str = "the release before"
    urgency: Urgency = Urgency.URGENT


def wait_for(what: str, look: Callable[[], T | None], seconds: float = PATIENCE) -> T:
    """Return what `look` finds as soon as it finds something. Raises Stuck after `seconds`."""
    deadline = time.monotonic() + seconds
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise Stuck(f"{what} took longer than {seconds:.0f} s.")
        time.sleep(0.05)
    return found


def job_done(kind: Job.Kind, subject: object, about: str) -> Job:
    """Wait until the newest job of this kind about this subject has ended. Raises Stuck if it failed."""

    def look() -> Job | None:
        job = Job.objects.filter(kind=kind, subject=str(subject)).order_by("-id").first()
        return job if job and job.finished_at else None

    job = wait_for(f"{Job.Kind(kind).label} ({about})", look)
    if job.state == Job.State.FAILED:
        raise Stuck(f"{Job.Kind(kind).label} ({about}): {job.sentence}")
    return job


def sync(targets: Sequence[Target], *, by: str | None = None) -> None:
    """Ask for the histories of the targets and wait until all were read."""
    for target in targets:
        history.ask_for_sync(target, actor=user(by) if by else None)
    for target in targets:
        job_done(Job.Kind.SYNC, target.pk, target.name)


def open_incident(wish: Wish) -> Incident:
    """The incident behind a wish."""
    service = Target.objects.get(name=wish.target).service
    return incidents.open_incident(
        service, title=wish.title, reason=wish.reason, impact=wish.impact, actor=user(wish.by)
    )


def ask(wish: Wish, incident: Incident | None = None) -> RollbackRequest:
    """Draft a rollback and wait until the worker has read the facts for it."""
    target = Target.objects.get(name=wish.target)
    migrations = [
        Migration.objects.get(service=target.service, kind="V", version=version) for version in wish.versions
    ]
    rollback = rollbacks.create(
        target,
        migrations,
        actor=user(wish.by),
        incident=incident or open_incident(wish),
        urgency=wish.urgency,
        reason=wish.reason,
        forward_fix=wish.forward_fix,
        file_fate=wish.fate,
        frozen_by=str(user("grace")),
        frozen_until=timezone.now() + timedelta(days=7),
        app_version=wish.app_version,
    )
    job_done(Job.Kind.FACTS, rollback.pk, rollback.label)
    return fresh(rollback)


def on_all(rollback: RollbackRequest, targets: Iterable[Target]) -> RollbackRequest:
    """Let a draft run on all of these, by name, and wait until the worker has read them."""
    ordered = sorted(targets, key=lambda target: target.name)
    edited = rollbacks.edit(rollback, actor=rollback.requester, revision=rollback.revision, targets=ordered)
    job_done(Job.Kind.FACTS, edited.pk, edited.label)
    return fresh(edited)


def fresh(rollback: RollbackRequest) -> RollbackRequest:
    """The rollback as it is now."""
    return RollbackRequest.objects.get(pk=rollback.pk)


def submit(rollback: RollbackRequest) -> RollbackRequest:
    """The requester fills the checklist and submits."""
    requester = user(rollback.requester.username)
    notes = {
        ChecklistEntry.Point.DEPENDENCIES: "Searched the code of all services; no release uses it any more.",
        ChecklistEntry.Point.STAKEHOLDERS: "Told support, ops and the teams downstream.",
    }
    for point, note in notes.items():
        checklist.confirm(rollback, point, note=note, actor=requester)
    examined(rollback)
    return rollbacks.submit(rollback, actor=requester)


def examined(rollback: RollbackRequest) -> None:
    """Wait until the worker has examined every script of the rollback. Raises Stuck if it could not."""
    scripts = [item.script_id for item in rollback.items.all() if item.script_id]
    for proof in proofs.newest_of(scripts).values():
        job_done(Job.Kind.PROVE, proof.pk, f"{rollback.label}: {proof.script}")


def ask_for_rehearsal(rollback: RollbackRequest) -> Execution:
    """The requester asks for a rehearsal; see `rehearsed`."""
    return executions.ask_for_rehearsal(rollback, actor=user(rollback.requester.username))


def rehearsed(rehearsal: Execution) -> Execution:
    """Wait until a rehearsal has ended. Raises Stuck if it did not pass."""
    ended = executed(rehearsal)
    job_done(Job.Kind.REHEARSE, rehearsal.pk, str(rehearsal))
    if ended.status != ExecutionStatus.SUCCEEDED:
        raise Stuck(
            f"The rehearsal of {ended.rollback_target.rollback} ended as {ended.status}: {ended.sentence}"
        )
    return ended


def decide(
    rollback: RollbackRequest,
    by: str,
    role: Role = Role.SENIOR_DBA,
    decision: Approval.Decision = Approval.Decision.APPROVE,
    comment: str = "",
) -> RollbackRequest:
    """Decide as `by`, right after signing in again, on the digest as it is now."""
    rollback = fresh(rollback)
    return decisions.decide(
        rollback,
        decision,
        actor=user(by),
        role=role,
        digest=rollback.request_digest,
        confirmed_at=timezone.now(),
        comment=comment,
        acknowledged=decisions.acknowledgement(rollback),
    )


def start(rollback: RollbackRequest, by: str = "grace") -> Execution:
    """Ops start an approved rollback, right after signing in again."""
    rollback = fresh(rollback)
    return executions.start(
        rollback, actor=user(by), digest=rollback.request_digest, confirmed_at=timezone.now()
    )


def start_run(rollback: RollbackRequest, *, wave_size: int, by: str = "grace") -> FleetRun:
    """Ops start the run of an approved rollback over its targets, right after signing in again."""
    rollback = fresh(rollback)
    return fleets.start(
        rollback,
        actor=user(by),
        digest=rollback.request_digest,
        confirmed_at=timezone.now(),
        wave_size=wave_size,
    )


def rests(run: FleetRun) -> FleetRun:
    """Wait until a run goes on no more by itself and nothing of it is under way."""

    def look() -> FleetRun | None:
        found = FleetRun.objects.get(pk=run.pk)
        moves = found.state == FleetRun.State.RUNNING or found.executions.filter(status__in=OPEN).exists()
        return None if moves else found

    return wait_for(f"{run} to rest", look)


def go_on(execution: Execution, *, reason: str, by: str = "grace") -> Execution:
    """Ops go on with what is partly done, where the policy asks for nobody's signature."""
    offered = halfway.offer(execution, Execution.Course.GO_ON)
    asked = continuing.ask(
        execution,
        course=offered.course,
        digest=halfway.digest_of(execution, offered.course, offered.steps),
        reason=reason,
        actor=user(by),
        confirmed_at=timezone.now(),
    )
    return continuing.start(asked, actor=user(by), confirmed_at=timezone.now())


def waits_for_restart(execution: Execution) -> Execution:
    """Wait until everything ran and only a restart is missing. Raises Stuck if it ends before that."""

    def look() -> Execution | None:
        found = Execution.objects.get(pk=execution.pk)
        if found.status not in OPEN:
            raise Stuck(f"{found} ended as {found.status} instead of waiting: {found.sentence}")
        return found if found.status == ExecutionStatus.AWAITING_RESTART else None

    return wait_for(f"{execution} to wait for a restart", look)


def executed(execution: Execution) -> Execution:
    """Wait until an execution has ended, however, and until the history was read again if it changed."""

    def look() -> Execution | None:
        found = Execution.objects.get(pk=execution.pk)
        return None if found.status in OPEN else found

    ended = wait_for(f"{execution} ({execution.get_purpose_display()})", look)
    if ended.watch_until:
        job_done(Job.Kind.SYNC, ended.target_id, ended.target.name)
    return ended
