"""Executions: attempts on one rollback target, their steps and log, and the backups taken for them."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .backup_exceptions import BackupException
from .backups import BaseBackup, Grade
from .catalog import Target
from .fleets import FleetRun
from .people import Role, User
from .rollbacks import RollbackTarget


class ExecutionStatus(models.TextChoices):
    """Where an attempt stands; `unresolved` means: not known yet, and nothing else may start on the
    target."""

    QUEUED = "queued", _("Queued")
    CLAIMED = "claimed", _("Claimed by a worker")
    PREFLIGHT = "preflight", _("Preflight")
    BACKUP = "backup", _("Taking and verifying the backup")
    RUNNING = "running", _("Running")
    COMMITTING = "committing", _("Committing")
    VERIFYING = "verifying", _("Verifying")
    SUCCEEDED = "succeeded", _("Committed and verified")
    NO_EFFECT = "no_effect", _("No effect")
    ROLLED_BACK = "rolled_back", _("Rolled back")
    UNRESOLVED = "unresolved", _("Unresolved")
    PARTIAL = "partial", _("Partly done")
    AWAITING_RESTART = "awaiting_restart", _("Awaiting restart")
    COMMITTED_CHECK_FAILED = "committed_check_failed", _("Committed, a check failed after commit")


# What a worker is busy with; `unresolved` and `awaiting_restart` are open but nobody works on them.
BUSY = ("claimed", "preflight", "backup", "running", "committing", "verifying")
OPEN = ("queued", *BUSY, "unresolved", "awaiting_restart")


class Execution(models.Model):
    """One attempt. Its id is random, because a script could plant a marker for an id that it can guess."""

    class Purpose(models.TextChoices):
        REHEARSAL = "rehearsal", _("rehearsal")
        REAL = "real", _("real")

    class Course(models.TextChoices):
        GO_ON = "go_on", _("go on")
        TAKE_BACK = "take_back", _("take back")
        BY_HAND = "by_hand", _("settle by hand")

    class Settled(models.TextChoices):
        GONE_ON = "gone_on", _("gone on with")
        TAKEN_BACK = "taken_back", _("taken back")
        BY_HAND = "by_hand", _("settled by hand")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    rollback_target = models.ForeignKey(RollbackTarget, on_delete=models.PROTECT, related_name="executions")
    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="executions")
    purpose = models.CharField(max_length=10, choices=Purpose.choices)
    # Of a fleet: the run that it belongs to and the wave in which it began (0: the canary). One that is set
    # aside does not count for its target: it ended before a worker took it, or may be tried again.
    run = models.ForeignKey(FleetRun, null=True, on_delete=models.PROTECT, related_name="executions")
    wave = models.PositiveSmallIntegerField(null=True)
    set_aside = models.BooleanField(default=False)
    # The target's window was over before it could begin: nothing was sent there, and nothing will be.
    missed = models.BooleanField(default=False)
    status = models.CharField(max_length=24, choices=ExecutionStatus.choices, default=ExecutionStatus.QUEUED)
    change_digest = models.CharField(max_length=64)
    request_digest = models.CharField(max_length=64, blank=True)
    requested_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    worker = models.CharField(max_length=120, blank=True)
    queued_at = models.DateTimeField(default=timezone.now)
    claimed_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    cancel_requested_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    cancelled_because = models.TextField(blank=True)
    # Evidence about the backend on the target, recorded before the script runs. The marker row is the truth.
    xid = models.CharField(max_length=24, blank=True)
    pid = models.IntegerField(null=True)
    backend_start = models.DateTimeField(null=True)
    system_identifier = models.CharField(max_length=40, blank=True)
    timeline = models.IntegerField(null=True)
    postmaster_start = models.DateTimeField(null=True)
    sentence = models.TextField(blank=True, help_text=_("What happened, in plain words."))
    sqlstate = models.CharField(max_length=5, blank=True)
    blocker = models.JSONField(null=True)
    # Who waits for us meanwhile: a list of {application, count, longest_s}.
    waiters = models.JSONField(default=list)
    checks = models.JSONField(default=list)
    timings = models.JSONField(default=dict)
    locks = models.JSONField(default=list)
    # When each part of the attempt began on the target, as ISO times, and what limits it has, in seconds.
    marks = models.JSONField(default=dict)
    limits = models.JSONField(default=dict)
    # The sessions that were there before the commit: {application, user, client, count}. None: not asked.
    pools = models.JSONField(null=True)
    # One that goes on with, or takes back, what another left partly done.
    continues = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="continued_by")
    course = models.CharField(max_length=10, choices=Course.choices, blank=True)
    # What was asked and signed for, under which it continues that.
    continuation = models.ForeignKey(
        "Continuation", null=True, on_delete=models.PROTECT, related_name="attempts"
    )
    # Until one that was left partly done is settled, nothing else may start on its target.
    settled_at = models.DateTimeField(null=True)
    settled_as = models.CharField(max_length=10, choices=Settled.choices, blank=True)
    settled_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    settled_because = models.TextField(blank=True)
    # What waits for a restart: {postmaster_start, settings: [{name, now, then}]}.
    restart = models.JSONField(null=True)
    restart_confirmed_at = models.DateTimeField(null=True)
    restart_confirmed_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    watch_until = models.DateTimeField(null=True)
    # The alarm: the migration was seen again. It is shown until somebody answers for it.
    reappeared_at = models.DateTimeField(null=True)
    alarm_answered_at = models.DateTimeField(null=True)
    alarm_answered_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    alarm_answer = models.TextField(blank=True)

    class Meta:
        ordering = ("-queued_at",)
        indexes = [
            models.Index(fields=["status", "-queued_at"], name="execution_by_status"),
            models.Index(fields=["rollback_target", "-queued_at"], name="execution_newest"),
            models.Index(fields=["watch_until"], condition=Q(reappeared_at=None), name="execution_watch"),
            models.Index(
                fields=["target"],
                condition=Q(reappeared_at__isnull=False, alarm_answered_at=None),
                name="execution_alarm",
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["target"],
                condition=Q(purpose="real", status__in=OPEN),
                name="one_open_execution_per_target",
            ),
        ]

    def __str__(self) -> str:
        return f"EX-{str(self.pk)[:8]}"

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def is_unsettled(self) -> bool:
        """Was it left partly done, and has nobody gone on, taken it back or settled it by hand since?"""
        return (
            self.purpose == self.Purpose.REAL
            and self.status == ExecutionStatus.PARTIAL
            and self.settled_at is None
        )


class ExecutionStep(models.Model):
    """One statement of the attempt, as it went."""

    class State(models.TextChoices):
        PENDING = "pending", _("not begun")
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")
        # A step that runs alone: it may have begun; taken back; nobody knows how it stands.
        CLAIMED = "claimed", _("claimed")
        UNDONE = "undone", _("taken back")
        UNKNOWN = "unknown", _("not known")

    class How(models.TextChoices):
        TRANSACTIONAL = "transactional", _("in the transaction")
        ALONE = "alone", _("alone")

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveIntegerField()
    item_position = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=80)
    says = models.TextField()
    sql = models.TextField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    tag = models.CharField(max_length=80, blank=True)
    rows = models.BigIntegerField(null=True)
    milliseconds = models.FloatField(null=True)
    how = models.CharField(max_length=14, choices=How.choices, default=How.TRANSACTIONAL)
    # What a step that runs alone has: its own claim on the target, what was there before it, the statements
    # that take it back, those that clear away what a failure left, and what the target said of it last.
    claim = models.UUIDField(null=True, unique=True)
    before = models.JSONField(null=True)
    undo = models.JSONField(default=list)
    leftover = models.JSONField(default=list)
    found = models.TextField(blank=True)
    # In an execution that continues another: the step of the first one that it is about, and what it sends.
    of = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="later")
    statements = models.JSONField(default=list)
    claimed_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("execution", "position")
        constraints = [
            models.UniqueConstraint(fields=["execution", "position"], name="one_step_per_position"),
        ]

    def __str__(self) -> str:
        return f"step {self.position} of {self.execution}"


class Continuation(models.Model):
    """A wish to go on with, or take back, what an execution left partly done: exactly these statements."""

    execution = models.ForeignKey(Execution, on_delete=models.PROTECT, related_name="continuations")
    course = models.CharField(max_length=10, choices=Execution.Course.choices)
    # In order: {of, does ("run" or "take back"), how, says, kind, statements}.
    steps = models.JSONField()
    digest = models.CharField(max_length=64)
    reason = models.TextField()
    asked_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField(default=timezone.now)
    voided_at = models.DateTimeField(null=True)
    void_reason = models.CharField(max_length=200, blank=True)
    # The attempt that carries it out, or did; none again where that ended without effect and another may
    # follow under the same signatures.
    carried_out = models.OneToOneField(Execution, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.UniqueConstraint(
                fields=["execution"],
                condition=Q(voided_at=None, carried_out=None),
                name="one_open_continuation_per_execution",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.course} of {self.execution}"


class ContinuationApproval(models.Model):
    """One person's signature under one continuation. Written once."""

    continuation = models.ForeignKey(Continuation, on_delete=models.PROTECT, related_name="approvals")
    approver = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(
        max_length=20, choices=[(r.value, r.label) for r in (Role.SENIOR_DBA, Role.PLATFORM_LEAD)]
    )
    digest = models.CharField(max_length=64)
    comment = models.TextField(blank=True)
    confirmed_at = models.DateTimeField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("at", "id")
        constraints = [
            models.UniqueConstraint(fields=["continuation", "approver"], name="one_signature_per_person"),
            models.CheckConstraint(
                condition=Q(at__gte=F("confirmed_at"), at__lte=F("confirmed_at") + timedelta(minutes=5)),
                name="signed_within_five_minutes",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.approver} for {self.continuation}"


class ExecutionLog(models.Model):
    """One line of an execution's log; secrets are masked before they get here."""

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="log")
    at = models.DateTimeField(default=timezone.now)
    level = models.CharField(max_length=8, default="info")
    text = models.TextField()

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.text


class Backup(models.Model):
    """A backup of a target: a dump, and from a certain size on a point in time with it. Only a dump that was
    restored and compared is ever called verified, and a point in time is called nothing else."""

    class State(models.TextChoices):
        RUNNING = "running", _("being taken")
        DUMPED = "dumped", _("dumped, not verified")
        VERIFIED = "verified", _("verified")
        FAILED = "failed", _("failed")
        REFUSED = "refused", _("refused")
        REMOVED = "removed", _("removed")

    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="backups")
    execution = models.ForeignKey(Execution, null=True, on_delete=models.PROTECT, related_name="backups")
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    # What it is to be; what it is worth says `worth`.
    grade = models.PositiveSmallIntegerField(choices=Grade.choices, default=Grade.FULL)
    # Which database it is of: the target's address may come to mean another one.
    system_identifier = models.CharField(max_length=40, blank=True)
    database_oid = models.BigIntegerField(null=True)
    path = models.CharField(max_length=500, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    bytes = models.BigIntegerField(null=True)
    seconds = models.FloatField(null=True)
    tables = models.JSONField(
        default=dict, help_text=_("Rows and row hash of each table in the dump's snapshot.")
    )
    # Taken while the script's own transaction kept writers out, so that no write is lost between the two.
    gapless = models.BooleanField(default=False)
    # Foreign keys of a dump of some tables that point to rows which are not in it: {oid, table, name, again}.
    # A restore leaves them out by their oid; `again` is the statement that makes one anew, without validating
    # it, where there is one.
    keys_left_out = models.JSONField(default=list)
    base = models.ForeignKey(BaseBackup, null=True, on_delete=models.PROTECT, related_name="backups")
    # In whose name it is less than the policy asks for: then its grade is none, whatever is in it.
    exception = models.ForeignKey(
        BackupException, null=True, on_delete=models.PROTECT, related_name="backups"
    )
    # The restore point right before the script: {name, lsn, timeline, wal, at, archived_at}.
    point = models.JSONField(default=dict)
    # How far it is: {stage: {began, ended, done, of}} with stages dump (bytes), restore (bytes) and compare
    # (tables); `of` is an estimate for the first two.
    progress = models.JSONField(default=dict)
    sentence = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    verified_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-created_at",)
        constraints = [
            models.CheckConstraint(
                name="backup_by_exception_is_of_no_grade", condition=Q(exception=None) | Q(grade=Grade.NONE)
            )
        ]

    def __str__(self) -> str:
        return f"backup {self.pk} of {self.target}"

    @property
    def by_exception(self) -> bool:
        """Was it taken and compared, and is it less than the policy asks for?"""
        return self.exception_id is not None and self.state == self.State.VERIFIED

    @property
    def worth(self) -> Grade:
        """What it may be relied on for; a file that is gone is worth nothing."""
        if self.state == self.State.VERIFIED:
            return Grade(self.grade)
        return Grade.DUMPED if self.state == self.State.DUMPED else Grade.NONE

    @property
    def word(self) -> str:
        """What it is, in a word or three."""
        if self.by_exception:
            return str(_("by exception"))
        if self.state == self.State.VERIFIED:
            return str(self.worth.label)
        return str(self.get_state_display())
