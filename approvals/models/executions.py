"""Executions: attempts on one rollback target, their steps and log, and the backups taken for them."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .catalog import Target
from .people import User
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

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    rollback_target = models.ForeignKey(RollbackTarget, on_delete=models.PROTECT, related_name="executions")
    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="executions")
    purpose = models.CharField(max_length=10, choices=Purpose.choices)
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


class ExecutionStep(models.Model):
    """One statement of the attempt, as it went."""

    class State(models.TextChoices):
        PENDING = "pending", _("not begun")
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")

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

    class Meta:
        ordering = ("execution", "position")
        constraints = [
            models.UniqueConstraint(fields=["execution", "position"], name="one_step_per_position"),
        ]

    def __str__(self) -> str:
        return f"step {self.position} of {self.execution}"


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
    """A dump of a target. Only a restored and compared one is ever called verified."""

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
    path = models.CharField(max_length=500, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    bytes = models.BigIntegerField(null=True)
    seconds = models.FloatField(null=True)
    tables = models.JSONField(
        default=dict, help_text=_("Rows and row hash of each table in the dump's snapshot.")
    )
    # How far it is: {stage: {began, ended, done, of}} with stages dump (bytes), restore (bytes) and compare
    # (tables); `of` is an estimate for the first two.
    progress = models.JSONField(default=dict)
    sentence = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    verified_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"backup {self.pk} of {self.target}"
