"""Incidents: why a rollback was needed, what happened when, and the post-mortem due 48 hours after it."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .catalog import Migration, Service
from .people import User


class Incident(models.Model):
    """Why a rollback was needed."""

    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="incidents")
    title = models.CharField(max_length=200)
    reason = models.TextField()
    impact = models.TextField()
    opened_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    opened_at = models.DateTimeField(default=timezone.now)
    change_record = models.CharField(_("entry in the change management system"), max_length=120, blank=True)
    # The migration that was corrected or added so that it does not happen again; often it comes later.
    corrected_by = models.ForeignKey(
        Migration, null=True, blank=True, on_delete=models.PROTECT, related_name="corrects"
    )

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return self.label

    @property
    def label(self) -> str:
        """The name by which people call it: INC-31."""
        return f"INC-{self.pk}"


class IncidentNote(models.Model):
    """One entry a person added to the timeline; what the portal did itself is read from the audit trail."""

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="notes")
    at = models.DateTimeField(default=timezone.now)
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    text = models.TextField()

    class Meta:
        ordering = ("at", "id")

    def __str__(self) -> str:
        return f"note {self.pk} on {self.incident}"


class PostMortem(models.Model):
    """The review after an executed rollback: due 48 hours after it, overdue until it is handed in."""

    incident = models.OneToOneField(Incident, on_delete=models.CASCADE, related_name="post_mortem")
    due_at = models.DateTimeField()
    what_happened = models.TextField(_("what happened"), blank=True)
    root_cause = models.TextField(_("root cause"), blank=True)
    noticed = models.TextField(_("how it was noticed, and what cost time"), blank=True)
    went_well = models.TextField(_("what went well"), blank=True)
    prevention = models.TextField(_("what we change so that it does not happen again"), blank=True)
    submitted_at = models.DateTimeField(null=True, blank=True)
    submitted_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    saved_at = models.DateTimeField(null=True, blank=True)
    saved_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    # Counts what was saved, so that a page opened before somebody else saved can't overwrite it.
    revision = models.PositiveIntegerField(default=1)
    reopened_at = models.DateTimeField(null=True, blank=True)
    reopened_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    reopened_because = models.TextField(blank=True)
    # What was handed in before each reopening: [{at, by, and each text under its name}], oldest first.
    earlier = models.JSONField(default=list, blank=True)

    class Meta:
        ordering = ("due_at",)
        indexes = [
            models.Index(fields=["due_at"], condition=models.Q(submitted_at=None), name="post_mortem_due"),
        ]

    def __str__(self) -> str:
        return f"post-mortem of {self.incident}"

    @property
    def overdue(self) -> bool:
        return self.submitted_at is None and self.due_at < timezone.now()


class IncidentAction(models.Model):
    """One thing that somebody will do until a day, so that it does not happen again."""

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="actions")
    text = models.CharField(_("what will be done"), max_length=300)
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="incident_actions")
    due_on = models.DateField(_("due on"))
    added_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    added_at = models.DateTimeField(default=timezone.now)
    done_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("due_on", "id")
        indexes = [
            models.Index(fields=["due_on"], condition=models.Q(done_at=None), name="incident_action_open"),
        ]
        constraints = [
            models.CheckConstraint(
                name="done_by_somebody_at_some_time",
                condition=models.Q(done_by=None, done_at=None)
                | models.Q(done_by__isnull=False, done_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"action {self.pk} of {self.incident}"

    @property
    def overdue(self) -> bool:
        """True from the day after the due one on, by the reader's calendar."""
        return self.done_at is None and self.due_on < timezone.localdate()
