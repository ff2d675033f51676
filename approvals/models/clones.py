"""Rehearsal clones: the rules by which a service's rows are masked in them, and the clones that are kept."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from approvals.masks import Method

from .catalog import Service, Target
from .executions import Backup
from .people import User


class MaskingRule(models.Model):
    """What becomes of some columns of a service on rehearsal clones, beside the rules that are shipped.

    What it says never changes. One that masks is in force from its first moment, and two people take it away;
    one that keeps values as they are needs two to be in force, and one takes it away.
    """

    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="masking_rules")
    columns = models.CharField(max_length=200, help_text=_("schema.table.column, with * and ? for any."))
    method = models.CharField(max_length=10, choices=Method.choices)
    reason = models.CharField(max_length=300, blank=True)
    proposed_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField(default=timezone.now)
    confirmed_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    confirmed_at = models.DateTimeField(null=True)
    removal_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    removal_at = models.DateTimeField(null=True)
    removed_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    removed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("service", "columns", "id")
        constraints = [
            models.UniqueConstraint(
                fields=["service", "columns"],
                condition=Q(removed_at=None),
                name="one_masking_rule_per_columns",
            ),
            models.CheckConstraint(
                name="masking_kept_with_a_reason", condition=~Q(method=Method.KEEP, reason="")
            ),
            models.CheckConstraint(
                name="masking_rule_confirmed_by_another",
                condition=Q(confirmed_by=None, confirmed_at=None)
                | Q(confirmed_by__isnull=False, confirmed_at__isnull=False)
                & ~Q(confirmed_by=F("proposed_by")),
            ),
            models.CheckConstraint(
                name="masking_rule_removed_by_two",
                condition=Q(removed_at=None, removed_by=None)
                | Q(removed_at__isnull=False, removed_by__isnull=False, method=Method.KEEP)
                | Q(removed_at__isnull=False, removed_by__isnull=False, removal_by__isnull=False)
                & ~Q(removed_by=F("removal_by")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.columns}: {self.get_method_display()}"

    @property
    def keeps(self) -> bool:
        return self.method == Method.KEEP

    @property
    def in_force(self) -> bool:
        return self.removed_at is None and (not self.keeps or self.confirmed_at is not None)

    @property
    def waits(self) -> bool:
        """Does it wait for a second person, to be in force or to be taken away?"""
        return self.removed_at is None and (not self.in_force or self.removal_at is not None)


class RehearsalClone(models.Model):
    """A masked copy of a backup, kept on the server of copies as long as nothing changed; rehearsals and
    trials work on copies of it. Its database is named after its key."""

    class State(models.TextChoices):
        MAKING = "making", _("being made")
        READY = "ready", _("ready")
        FAILED = "failed", _("failed")
        DROPPED = "dropped", _("dropped")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="clones")
    server = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="clones_for_others")
    backup = models.ForeignKey(Backup, on_delete=models.PROTECT, related_name="clones")
    # What has to be the same for it to be used again: the backup, these two, and the server it is on.
    masking = models.CharField(max_length=64, help_text=_("SHA-256 of the rules."))
    server_version = models.IntegerField()
    server_identifier = models.CharField(max_length=40)
    state = models.CharField(max_length=10, choices=State.choices, default=State.MAKING)
    worker = models.CharField(max_length=120, blank=True)
    bytes = models.BigIntegerField(default=0)
    # The pins of its history rows, newest last, and what was masked: see `executor.masking.Filled.as_json`.
    history = models.JSONField(default=list)
    filled = models.JSONField(default=dict)
    seconds = models.FloatField(null=True)
    sentence = models.TextField(blank=True)
    uses = models.PositiveIntegerField(default=0)
    made_at = models.DateTimeField(default=timezone.now)
    used_at = models.DateTimeField(default=timezone.now)
    dropped_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-made_at",)
        indexes = [
            models.Index(fields=["used_at"], condition=Q(dropped_at=None), name="rehearsal_clone_kept"),
            models.Index(fields=["target", "-made_at"], name="rehearsal_clone_latest"),
        ]

    def __str__(self) -> str:
        return f"clone {str(self.pk)[:8]} of {self.target}"
