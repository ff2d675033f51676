"""The request for a rollback: its items, targets, checklist and the decisions of people on it."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .catalog import Migration, MigrationRevision, Service, Target
from .people import Role, User
from .policy import PolicyVersion
from .scripts import RollbackScript


class Status(models.TextChoices):
    """Where a rollback stands. The moves between these are in `approvals.workflow`."""

    DRAFT = "draft", _("Draft")
    IN_REVIEW = "in_review", _("In review")
    APPROVED = "approved", _("Approved")
    EXECUTING = "executing", _("Executing")
    EXECUTED = "executed", _("Executed")
    PARTLY_EXECUTED = "partly_executed", _("Partly executed")
    CHANGES_REQUESTED = "changes_requested", _("Changes requested")
    REJECTED = "rejected", _("Rejected")
    CANCELLED = "cancelled", _("Cancelled")
    EXPIRED = "expired", _("Expired")
    FAILED = "failed", _("Failed")


class Urgency(models.TextChoices):
    PLANNED = "planned", _("Planned")
    URGENT = "urgent", _("Urgent")
    EMERGENCY = "emergency", _("Emergency")


class FileFate(models.TextChoices):
    """What becomes of the migration file, so that the next deployment does not apply it again."""

    UNDECIDED = "", _("not decided")
    REMOVED = "removed", _("removed from the release")
    REPLACED = "replaced", _("replaced by a corrected file of the same version")
    SUPERSEDED = "superseded", _("removed; a file of a higher version takes its place")


class HistoryTreatment(models.TextChoices):
    """What becomes of the rows of Flyway's history (`approvals.flyway.treatment.Treatment`)."""

    DELETE = "delete", _("deleted, as if the migration had never run")
    MARK = "mark", _("kept, and marked as deleted by a DELETE row, as Flyway's repair does")


class RollbackRequest(models.Model):
    """The request. Call an instance `rollback`, so that `request` is always HTTP."""

    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="rollbacks")
    requester = models.ForeignKey(User, on_delete=models.PROTECT, related_name="rollbacks")
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.DRAFT)
    incident = models.ForeignKey(
        "approvals.Incident", null=True, blank=True, on_delete=models.PROTECT, related_name="rollbacks"
    )
    urgency = models.CharField(max_length=10, choices=Urgency.choices, default=Urgency.URGENT)
    reason = models.TextField(blank=True)
    forward_fix = models.TextField(blank=True, help_text=_("Why a corrective forward migration will not do."))
    history_treatment = models.CharField(
        max_length=10, choices=HistoryTreatment.choices, default=HistoryTreatment.DELETE
    )
    file_fate = models.CharField(
        max_length=12, choices=FileFate.choices, default=FileFate.UNDECIDED, blank=True
    )
    frozen_by = models.CharField(max_length=120, blank=True)
    frozen_until = models.DateTimeField(null=True, blank=True)
    app_version = models.CharField(max_length=120, blank=True)
    session_options = models.JSONField(default=dict, blank=True)
    change_digest = models.CharField(max_length=64, blank=True)
    request_digest = models.CharField(max_length=64, blank=True)
    risk = models.PositiveSmallIntegerField(null=True)
    rating = models.JSONField(default=list, blank=True)
    # Assertions that the rating rests on (a table was empty): asked again under the locks, before the script.
    automatic_checks = models.JSONField(default=list, blank=True)
    # Counts edits, so that a page opened before an edit can't overwrite it.
    revision = models.PositiveIntegerField(default=1)
    policy_version = models.ForeignKey(PolicyVersion, null=True, on_delete=models.PROTECT, related_name="+")
    attempts = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    submitted_at = models.DateTimeField(null=True, blank=True)
    approved_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    withdrawn_because = models.TextField(blank=True)
    # True for good once two people let it skip a gate (`BreakGlass`), so that every list can say so; only
    # the database writes it.
    forced = models.BooleanField(default=False, editable=False)
    # The same of a granted exception instead of a backup (`BackupException`).
    excepted = models.BooleanField(default=False, editable=False)

    class Meta:
        ordering = ("-id",)
        indexes = [
            models.Index(fields=["status", "-id"], name="rollback_by_status"),
            models.Index(fields=["service", "-id"], name="rollback_by_service"),
            models.Index(fields=["requester", "-id"], name="rollback_by_requester"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(history_treatment__in=HistoryTreatment.values),
                name="history_treatment_is_known",
            ),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def label(self) -> str:
        """The name by which people call it: RB-142."""
        return f"RB-{self.pk}"

    @property
    def overdue_expiry(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    def representative(self) -> RollbackTarget:
        """The target on which it is rehearsed and that runs first: the canary of a fleet, or else the only
        one."""
        return self.rollback_targets.select_related("target__service", "target__rehearsal_target")[:1].get()


class RollbackItem(models.Model):
    """One migration to take back, the revision of it that is applied, and the script that does it. Newest
    first."""

    rollback = models.ForeignKey(RollbackRequest, on_delete=models.CASCADE, related_name="items")
    position = models.PositiveSmallIntegerField()
    migration = models.ForeignKey(Migration, on_delete=models.PROTECT, related_name="items")
    revision = models.ForeignKey(MigrationRevision, on_delete=models.PROTECT, related_name="+")
    script = models.ForeignKey(RollbackScript, null=True, on_delete=models.PROTECT, related_name="items")

    class Meta:
        ordering = ("rollback", "position")
        constraints = [
            models.UniqueConstraint(fields=["rollback", "position"], name="one_item_per_position"),
            models.UniqueConstraint(fields=["rollback", "migration"], name="one_item_per_migration"),
        ]

    def __str__(self) -> str:
        return f"{self.migration} of {self.rollback}"


class RollbackTarget(models.Model):
    """A target of the request with its pinned history rows. A request for several is a fleet; the first of
    them is its canary."""

    rollback = models.ForeignKey(RollbackRequest, on_delete=models.CASCADE, related_name="rollback_targets")
    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="rollback_targets")
    # In the order in which they run.
    position = models.PositiveSmallIntegerField(default=1)
    # [{installed_rank, version, type, script, checksum, success}], in the order of the items
    pins = models.JSONField(default=list)

    class Meta:
        ordering = ("rollback", "position")
        constraints = [
            models.UniqueConstraint(fields=["rollback", "target"], name="target_once_per_rollback"),
            models.UniqueConstraint(
                fields=["rollback", "position"],
                name="one_target_per_position",
                deferrable=models.Deferrable.DEFERRED,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.target} of {self.rollback}"


class ChecklistEntry(models.Model):
    """One confirmation by a person on the pre-rollback checklist, good for the change they confirmed it
    for."""

    class Point(models.TextChoices):
        BACKUP = "backup", _("A verified backup exists")
        SCHEMA_VERSION = "schema_version", _("The current schema version is recorded")
        TABLES = "tables", _("The impacted tables are identified")
        DEPENDENCIES = "dependencies", _("Nothing depends on what goes")
        STAKEHOLDERS = "stakeholders", _("Stakeholders are notified")

    rollback = models.ForeignKey(RollbackRequest, on_delete=models.CASCADE, related_name="checklist")
    point = models.CharField(max_length=20, choices=Point.choices)
    note = models.TextField()
    change_digest = models.CharField(max_length=64)
    confirmed_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    confirmed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["rollback", "point"], name="one_entry_per_point"),
        ]

    def __str__(self) -> str:
        return f"{self.point} of {self.rollback}"


class Evidence(models.Model):
    """A dated record, bound to a digest, that a gate holds (or does not)."""

    class Kind(models.TextChoices):
        FACTS = "facts", _("facts read from the target")
        REHEARSAL = "rehearsal", _("rehearsal")
        BACKUP = "backup", _("backup")
        PREFLIGHT = "preflight", _("preflight")

    rollback = models.ForeignKey(RollbackRequest, on_delete=models.CASCADE, related_name="evidence")
    # Where it was found; null only in what was recorded when every request had one target.
    target = models.ForeignKey(Target, null=True, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    change_digest = models.CharField(max_length=64)
    holds = models.BooleanField()
    sentence = models.TextField()
    data = models.JSONField(default=dict)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-at", "-id")
        indexes = [models.Index(fields=["rollback", "kind", "-at"], name="evidence_latest")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.rollback}"


class Approval(models.Model):
    """One person's decision on one request digest. Only `voided_at` and its reason may ever change."""

    class Decision(models.TextChoices):
        APPROVE = "approve", _("approved")
        REJECT = "reject", _("rejected")
        REQUEST_CHANGES = "request_changes", _("asked for changes")

    rollback = models.ForeignKey(RollbackRequest, on_delete=models.PROTECT, related_name="approvals")
    approver = models.ForeignKey(User, on_delete=models.PROTECT, related_name="approvals")
    role = models.CharField(
        max_length=20, choices=[(r.value, r.label) for r in (Role.SENIOR_DBA, Role.PLATFORM_LEAD)]
    )
    decision = models.CharField(max_length=16, choices=Decision.choices)
    request_digest = models.CharField(max_length=64)
    comment = models.TextField(blank=True)
    acknowledged = models.TextField(
        blank=True, help_text=_("What stays lost, as ticked or typed by the approver.")
    )
    confirmed_at = models.DateTimeField(help_text=_("When the approver last proved who they are."))
    at = models.DateTimeField(default=timezone.now)
    voided_at = models.DateTimeField(null=True, blank=True)
    void_reason = models.CharField(max_length=200, blank=True)

    # By `policy.judged`: whether it counts as long as its request stays as it is.
    counts: bool

    class Meta:
        ordering = ("at", "id")
        constraints = [
            models.UniqueConstraint(
                fields=["rollback", "approver", "request_digest"],
                condition=models.Q(voided_at=None),
                name="one_decision_per_person",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    at__gte=models.F("confirmed_at"), at__lte=models.F("confirmed_at") + timedelta(minutes=5)
                ),
                name="identity_confirmed_within_five_minutes",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.decision} of {self.rollback} by {self.approver}"
