"""Incidents: why a rollback was needed, what happened when, and the post-mortem due 48 hours after it."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .catalog import Service
from .people import User


class Incident(models.Model):
    """Why a rollback was needed."""

    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="incidents")
    title = models.CharField(max_length=200)
    reason = models.TextField()
    impact = models.TextField()
    opened_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    opened_at = models.DateTimeField(default=timezone.now)

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
    prevention = models.TextField(_("what we change so that it does not happen again"), blank=True)
    submitted_at = models.DateTimeField(null=True, blank=True)
    submitted_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")

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
