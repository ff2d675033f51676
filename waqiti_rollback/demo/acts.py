"""The three acts of the tour. Each says what happens and asks target and portal whether it is so."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import psycopg
import pyrage
from pyrage import x25519

from approvals import audit, gates, scripts
from approvals.analysis import Risk
from approvals.errors import Denied
from approvals.gates import latest_evidence
from approvals.models import (
    AuditEvent,
    Backup,
    Check,
    Evidence,
    Execution,
    ExecutionStatus,
    Migration,
    RollbackRequest,
    Status,
)
from waqiti_rollback.embedded.server import Say

from . import journey, wishes
from .estate import PortalEstate
from .people import user
from .witness import Witness

ACTING_KEYS = "SELECT count(*) FROM pg_constraint WHERE conname LIKE 'fk%%' AND confdeltype <> 'a'"
NO_PAYMENT = Check(
    "No payment is under way", "SELECT count(*) FROM saga_states WHERE status = 'RUNNING'", "0"
)
PAYMENT = """
INSERT INTO saga_states (saga_type, status) VALUES ('TRANSFER', 'RUNNING') RETURNING saga_type
"""
AMOUNTS = replace(
    wishes.CASCADES,
    by="bram",
    versions=("10",),
    title="Refunds of zero are refused",
    reason="The new check refuses the refunds of zero with which a partner tests its connection.",
    impact="One partner can't go live.",
    forward_fix="Allowing zero for one partner only can't be said in a check.",
)
# Inserted past all domain functions, as a process of the web server could if somebody broke into it.
FORGED = """
INSERT INTO approvals_approval
    (rollback_id, approver_id, role, decision, request_digest,
     comment, acknowledged, confirmed_at, at, void_reason)
SELECT id, requester_id, 'senior_dba', 'approve', request_digest, '', '', now(), now(), ''
  FROM approvals_rollbackrequest WHERE id = %s
"""


class NotSo(Exception):
    """Something that had to be true was not; the message says what."""


class Acts:
    """The acts, in their order, on one estate whose worker runs."""

    def __init__(self, estate: PortalEstate, say: Say) -> None:
        self.estate = estate
        self.say = say
        self.production = Witness(estate.servers.production, "wallet_production")
        self.staging = Witness(estate.servers.staging, "wallet_staging")

    def expect(self, fact: object, sentence: str) -> None:
        """Say that something was found true; raise NotSo if it was not."""
        if not fact:
            raise NotSo(sentence)
        self.say(f"  ✓ {sentence}")

    # Act one: everything goes well

    def success(self) -> None:
        """Request, facts, rehearsal, two approvals, backup, execution, checks, history row, audit."""
        self.say("ONE: a rollback on production that succeeds")
        rollback = self._asked(wishes.CASCADES, Risk.HIGH)
        self._rehearsed(rollback)
        self._signed(rollback, "dunya", Status.IN_REVIEW, "one of two signatures is not enough")
        self._signed(rollback, "emeka", Status.APPROVED, "the second one approves it")
        before = self.production.versions()
        self.say("Grace (ops) starts it; the worker asks every gate again, takes a backup, and runs it")
        execution = journey.executed(journey.start(rollback))
        self.expect(execution.status == ExecutionStatus.SUCCEEDED, execution.sentence)
        self._backed_up(execution)
        for check in execution.checks:
            self.expect(check["passed"], f"check “{check['name']}” was answered {check['actual']}")
        self.expect(
            self.production.one(ACTING_KEYS) == 0, "no foreign key of the target acts on delete any more"
        )
        gone = list(wishes.CASCADES.versions)
        self.expect(
            self.production.versions() == before[:-1] == [v for v in before if v not in gone],
            f"the history has lost the row of {gone[0]}, and no other",
        )
        self.expect(
            self.production.marker(execution.pk) == "claim", "the target has the marker of this execution"
        )
        self.expect(journey.fresh(rollback).status == Status.EXECUTED, f"{rollback.label} is executed")
        self._on_record(rollback)

    def _asked(self, wish: journey.Wish, risk: Risk) -> RollbackRequest:
        asker = user(wish.by)
        self.say(
            f"{asker} (engineer) asks to take {', '.join(wish.versions)} back on {wish.target}: {wish.title}"
        )
        rollback = journey.ask(wish)
        facts = latest_evidence(rollback, Evidence.Kind.FACTS)
        self.expect(facts and facts.holds, f"facts: {facts.sentence if facts else 'none'}")
        rollback = journey.submit(rollback)
        proven = [gate for gate in gates.gates(rollback) if gate.key in ("completeness", "proof")]
        for gate in proven:
            self.expect(gate.holds, f"{gate.title}: {gate.detail}")
        self.expect(rollback.risk == risk, f"{rollback.label} is in review, its risk is {risk.name}")
        return rollback

    def _rehearsed(self, rollback: RollbackRequest) -> None:
        self.say("It is rehearsed on a copy of production, restored on the staging server")
        before = self.staging.fingerprint(), self.production.fingerprint()
        journey.rehearsed(journey.ask_for_rehearsal(rollback))
        evidence = latest_evidence(rollback, Evidence.Kind.REHEARSAL)
        self.expect(evidence and evidence.holds, f"rehearsal: {evidence.sentence if evidence else 'none'}")
        self.expect(self.staging.rehearsal_clones() == 0, "the copy is dropped again")
        after = self.staging.fingerprint(), self.production.fingerprint()
        self.expect(before == after, "neither staging nor production has changed")

    def _signed(self, rollback: RollbackRequest, by: str, status: Status, sentence: str) -> None:
        self.say(f"{user(by)} (senior DBA) approves")
        self.expect(journey.decide(rollback, by).status == status, sentence)

    def _backed_up(self, execution: Execution) -> None:
        backup = Backup.objects.get(execution=execution)
        stored = (self.estate.directory / "backups" / "kept" / backup.path).read_bytes()
        key = x25519.Identity.from_str((self.estate.directory / "backup.key").read_text().split()[-1])
        digest = hashlib.sha256(pyrage.decrypt(stored, [key])).hexdigest()
        self.expect(
            backup.state == Backup.State.VERIFIED and digest == backup.sha256, f"backup: {backup.sentence}"
        )

    def _on_record(self, rollback: RollbackRequest) -> None:
        events = AuditEvent.objects.filter(rollback=rollback.label).order_by("seq")
        actions = iter(found := list(events.values_list("action", flat=True)))
        story = "rollback.submitted", "rehearsal.recorded", "rollback.approved", "execution.succeeded"
        told = all(part in actions for part in story)  # each looks on from where the one before was found
        self.expect(told, f"the audit trail tells it in {len(found)} events")
        self.verified()

    def verified(self) -> None:
        """Recompute the whole chain."""
        verdict = audit.verify()
        self.expect(verdict.holds, f"all {verdict.events} events of the audit trail verify, link by link")

    # Act two: a check fails

    def failing_check(self) -> None:
        """Rehearsed and approved, but the world moved on: the check fails, everything is taken back."""
        self.say("TWO: a rollback whose check fails")
        migration = Migration.objects.get(
            service__name="wallet-service", kind="V", version=AMOUNTS.versions[0]
        )
        script = migration.scripts.order_by("-number")[:1].get()
        scripts.add_script(
            migration, sql=script.sql, checks=[*script.check_list(), NO_PAYMENT], actor=user(AMOUNTS.by)
        )
        rollback = self._asked(AMOUNTS, Risk.MEDIUM)
        self._rehearsed(rollback)
        self._signed(rollback, "dunya", Status.APPROVED, "one signature is enough for this risk")
        self.expect(self.production.one(PAYMENT), "meanwhile the application begins a payment on production")
        before = self.production.fingerprint()
        self.say("Grace (ops) starts it")
        execution = journey.executed(journey.start(rollback))
        self.expect(execution.status == ExecutionStatus.ROLLED_BACK, execution.sentence)
        self.expect(
            self.production.fingerprint() == before, "the target is as it was: schema, rows and history"
        )
        self.expect(
            self.production.marker(execution.pk) is None, "the target has no marker of this execution"
        )
        rollback = journey.fresh(rollback)
        self.expect(rollback.status == Status.FAILED, f"{rollback.label} has failed")
        self.expect(not rollback.approvals.filter(voided_at=None).exists(), "its approval is void")
        self.verified()

    # Act three: nobody signs what they asked for

    def self_approval(self) -> None:
        """Refused by the domain function, recorded, and refused by the database too."""
        self.say("THREE: somebody approves what they asked for")
        kwame = user("kwame")
        rollback = self._asked(replace(AMOUNTS, by="kwame"), Risk.MEDIUM)
        self.say(f"{kwame} is engineer and senior DBA, and tries to approve his own request")
        try:
            journey.decide(rollback, "kwame")
            refusal = ""
        except Denied as denied:
            refusal = str(denied)
        self.expect(refusal, f"refused: {refusal}")
        self.expect(not rollback.approvals.exists(), "no approval was stored")
        attempt = AuditEvent.objects.filter(rollback=rollback.label, actor="kwame").order_by("-seq").first()
        self.expect(
            attempt and attempt.action == "rollback.approved.denied", "the attempt is in the audit trail"
        )
        self.expect(self._forgery_refused(rollback), "the database refuses it as well, whoever inserts it")
        self.expect(
            journey.fresh(rollback).status == Status.IN_REVIEW, f"{rollback.label} is still in review"
        )
        self.verified()

    def _forgery_refused(self, rollback: RollbackRequest) -> bool:
        portal, role = self.estate.servers.portal, "waqiti_web"
        dsn = portal.dsn(self.estate.database, role, portal.login_password(role))
        try:
            with psycopg.connect(dsn) as connection:
                connection.execute(FORGED, [rollback.pk])
        except psycopg.errors.CheckViolation as refused:
            return refused.diag.constraint_name == "approver_is_not_requester"
        return False
