"""The demo's rollbacks, one function for those that belong together; between them they are in every status.

Time alone can't be waited for. An expiry and a due date are moved by SQL, and the incidents concerned say so.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import psycopg
from django.utils import timezone

from approvals import followups, incidents, policy, rollbacks, scripts
from approvals.errors import Denied
from approvals.models import (
    Approval,
    Check,
    Execution,
    ExecutionStatus,
    Incident,
    Job,
    Migration,
    PostMortem,
    Role,
    RollbackRequest,
    RollbackScript,
    Target,
)
from waqiti_rollback.embedded import Estate

from . import journey, wishes
from .people import user
from .services import BY_NAME

APPROVERS = {Role.SENIOR_DBA: ("dunya", "emeka"), Role.PLATFORM_LEAD: ("fatou",)}
TOO_STRICT = Check("No wallet is above the limit", "SELECT count(*) FROM wallets WHERE balance > 10000", "0")


def production() -> None:
    """Executed, with everything that production asks for, and its post-mortem handed in."""
    incident = journey.open_incident(wishes.TOP_UPS_REFUSED)
    rollback = journey.submit(journey.ask(wishes.TOP_UPS_REFUSED, incident))
    journey.rehearsed(journey.ask_for_rehearsal(rollback))
    incidents.add_note(
        incident, text="Top-ups above 10,000 are queued by the app meanwhile.", actor=user("grace")
    )
    sign(rollback)
    carry_out(rollback, ExecutionStatus.SUCCEEDED)
    incidents.save_post_mortem(
        incident,
        actor=user("amina"),
        what_happened="A check that new rows should keep was applied to updates of old ones as well.",
        root_cause="NOT VALID spares existing rows only until they are updated; nobody tried that.",
        prevention="Migrations that add a check are tried with rows that break it, before the release.",
        noticed="Support called after 20 minutes; no alarm watches refused top-ups.",
        went_well="The way back was rehearsed before anybody had to hurry.",
        submit=True,
    )
    _follow_up(incident)


def _follow_up(incident: Incident) -> None:
    """One action that is done and one that is open, by people who have to do with it."""
    today = timezone.localdate()
    tried = followups.add_action(
        incident,
        text="Try every new check with rows that break it, in the pipeline of the service",
        owner=user("bram"),
        due_on=today + timedelta(days=3),
        actor=user("amina"),
    )
    followups.set_done(tried, True, actor=user("bram"))
    followups.add_action(
        incident,
        text="Raise an alarm when more than 1 in 100 top-ups is refused",
        owner=user("grace"),
        due_on=today + timedelta(days=14),
        actor=user("amina"),
    )
    followups.set_references(incident, change_record="CHG-2291", corrected_by=None, actor=user("amina"))


def staging() -> RollbackRequest:
    """Cancelled; executed, with an overdue post-mortem; failed because of a check; and one that is approved
    and ready, which is returned."""
    withdrawn = journey.submit(journey.ask(wishes.NICKNAMES_WITHDRAWN))
    rollbacks.withdraw(withdrawn, actor=user("bram"), reason="The fault was in the page after all.")

    gone = journey.submit(journey.ask(wishes.NICKNAMES_GO))
    sign(gone)
    carry_out(gone, ExecutionStatus.SUCCEEDED)
    PostMortem.objects.filter(incident=gone.incident).update(due_at=timezone.now() - timedelta(hours=5))
    _say_moved(gone.incident, "the due date of its post-mortem lies five hours back")

    incident = journey.open_incident(wishes.LIMIT_ON_STAGING)
    strict = _script_of(wishes.LIMIT_ON_STAGING)
    right = strict.check_list()
    scripts.add_script(strict.migration, sql=strict.sql, checks=[*right, TOO_STRICT], actor=user("bram"))
    failing = journey.submit(journey.ask(wishes.LIMIT_ON_STAGING, incident))
    sign(failing)
    carry_out(failing, ExecutionStatus.ROLLED_BACK)
    scripts.add_script(strict.migration, sql=strict.sql, checks=right, actor=user("amina"))
    ready = journey.submit(_impatient(journey.ask(wishes.LIMIT_ON_STAGING, incident)))
    sign(ready)
    return ready


def _impatient(rollback: RollbackRequest) -> RollbackRequest:
    """It gives up after two seconds instead of two minutes where somebody holds what it needs."""
    RollbackRequest.objects.filter(pk=rollback.pk).update(session_options={"lock_phase_s": 2.0})
    _say_moved(rollback.incident, "it asks for its locks for two seconds instead of two minutes")
    edited = rollbacks.edit(rollback, actor=rollback.requester, revision=rollback.revision)
    journey.job_done(Job.Kind.FACTS, edited.pk, edited.label)
    return journey.fresh(edited)


def ended_early() -> None:
    """Draft, changes requested, rejected, expired."""
    target = Target.objects.get(name=wishes.CASCADES.target)
    migration = Migration.objects.get(service=target.service, kind="V", version=wishes.KEYS[0])
    rollbacks.create(target, [migration], actor=user("bram"), reason="Amina asked me to prepare this.")

    early = journey.submit(journey.ask(wishes.CASCADES_TOO_EARLY))
    with suppress(Denied):  # on record: nobody signs what they asked for
        journey.decide(early, early.requester.username)
    journey.decide(
        early,
        "emeka",
        decision=Approval.Decision.REQUEST_CHANGES,
        comment="Say what a forward fix would cost, and rehearse it first.",
    )
    dear = journey.submit(journey.ask(wishes.PARTITIONS_FOR_SPACE))
    journey.decide(
        dear,
        "fatou",
        Role.PLATFORM_LEAD,
        Approval.Decision.REJECT,
        comment="All transactions are too dear a price for two weeks of disk. Make the indexes smaller.",
    )
    forgotten = journey.submit(journey.ask(wishes.CASCADES_FORGOTTEN))
    RollbackRequest.objects.filter(pk=forgotten.pk).update(expires_at=timezone.now())
    _say_moved(forgotten.incident, "the time to decide ended at once instead of after 72 hours")
    rollbacks.expire_due()


def settings(servers: Estate) -> None:
    """Partly done, because somebody made a view of one that goes; gone on with; and waiting for a restart."""
    rollback = journey.submit(journey.ask(wishes.CONNECTIONS_BACK))
    sign(rollback)
    target = BY_NAME[wishes.CONNECTIONS_BACK.target]
    with psycopg.connect(servers.staging.superuser_dsn(target.database), autocommit=True) as somebody:
        somebody.execute("CREATE VIEW busiest AS SELECT * FROM connection_usage_by_application")
        partly = carry_out(rollback, ExecutionStatus.PARTIAL)
        somebody.execute("DROP VIEW busiest")
    journey.waits_for_restart(
        journey.go_on(partly, reason="The view in the way was somebody's experiment; it is gone.")
    )


def waiting() -> None:
    """In review: one lacks a single signature, one lacks all three. Both are rehearsed side by side."""
    cascades = journey.submit(journey.ask(wishes.CASCADES))
    partitions = journey.submit(journey.ask(wishes.PARTITIONS_BROKEN))
    for rehearsal in [journey.ask_for_rehearsal(cascades), journey.ask_for_rehearsal(partitions)]:
        journey.rehearsed(rehearsal)
    journey.decide(cascades, "dunya", comment="The eight keys are named in the checks; fine by me.")


def not_yet_scheduled() -> RollbackRequest:
    """Approved, two migrations at once, and nobody has chosen yet when it starts."""
    rollback = journey.submit(journey.ask(wishes.CASCADES_ON_STAGING))
    sign(rollback)
    return rollback


def preview() -> RollbackRequest:
    """Approved, on a target that nothing else needs."""
    rollback = journey.submit(journey.ask(wishes.PARTITIONS_ON_PREVIEW))
    sign(rollback)
    return rollback


def sign(rollback: RollbackRequest) -> None:
    """Everybody signs whom the policy asks for; nobody, where it asks for nobody."""
    people = {role: iter(names) for role, names in APPROVERS.items()}
    for role in policy.missing_signatures(journey.fresh(rollback)):
        journey.decide(rollback, next(people[role]), role, comment="Read, and rehearsed where it has to be.")


def carry_out(rollback: RollbackRequest, expected: ExecutionStatus) -> Execution:
    """Ops start it. Raises journey.Stuck unless it ends as expected."""
    ended = journey.executed(journey.start(rollback))
    if ended.status != expected:
        raise journey.Stuck(f"{rollback.label} ended as {ended.status}, not {expected}: {ended.sentence}")
    return ended


def _script_of(wish: journey.Wish) -> RollbackScript:
    """The newest script of the one migration that a wish names."""
    target = Target.objects.get(name=wish.target)
    migration = Migration.objects.get(service=target.service, kind="V", version=wish.versions[0])
    return migration.scripts.order_by("-number")[:1].get()


def _say_moved(incident: Incident | None, what: str) -> None:
    """On the incident's timeline, so that nobody takes an invented moment for a real one."""
    if incident:
        text = f"Demo data: {what}, because nobody waits for it here."
        incidents.add_note(incident, text=text, actor=user(incident.opened_by.username))
