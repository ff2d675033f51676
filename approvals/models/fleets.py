"""Runs over fleets: one approved rollback on many targets, a canary first, then waves."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .people import User
from .rollbacks import RollbackRequest


class FleetRun(models.Model):
    """One run over all targets of a request. What began in it is its executions; what starts next is decided
    by `approvals.waves`."""

    class State(models.TextChoices):
        RUNNING = "running", _("Running")
        HELD = "held", _("Held")
        STOPPED = "stopped", _("Stopped")
        CANCELLED = "cancelled", _("Cancelled")
        FINISHED = "finished", _("Finished")

    rollback = models.ForeignKey(RollbackRequest, on_delete=models.PROTECT, related_name="runs")
    request_digest = models.CharField(max_length=64)
    wave_size = models.PositiveSmallIntegerField()
    stop_after = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    # The number of the wave that began last; 0 is the canary's.
    wave = models.PositiveSmallIntegerField(default=0)
    # So many failures somebody has seen and gone on in spite of.
    accepted = models.PositiveSmallIntegerField(default=0)
    sentence = models.TextField(blank=True, help_text=_("Why it does not run, in plain words."))
    # Where the clock started it, each target begins in its own window and not after that.
    schedule = models.OneToOneField("Schedule", null=True, on_delete=models.PROTECT, related_name="run")
    started_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    started_at = models.DateTimeField(default=timezone.now)
    confirmed_at = models.DateTimeField()
    changed_at = models.DateTimeField(default=timezone.now)
    # When nothing of it was open any more.
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.UniqueConstraint(
                fields=["rollback"],
                condition=Q(ended_at=None),
                name="one_open_run_per_rollback",
            ),
            models.CheckConstraint(
                condition=Q(wave_size__gte=1, stop_after__gte=1), name="run_has_wave_and_limit"
            ),
            models.CheckConstraint(
                condition=Q(ended_at=None) | Q(state__in=("cancelled", "finished")),
                name="run_ends_cancelled_or_finished",
            ),
            models.CheckConstraint(
                condition=Q(started_at__gte=F("confirmed_at"))
                & (Q(started_at__lte=F("confirmed_at") + timedelta(minutes=5)) | Q(schedule__isnull=False)),
                name="run_confirmed_within_five_minutes",
            ),
        ]

    def __str__(self) -> str:
        return f"run {self.pk} of {self.rollback}"

    @property
    def is_over(self) -> bool:
        """True once nothing of it can begin any more; what began may still be under way."""
        return self.state in (self.State.CANCELLED, self.State.FINISHED)
