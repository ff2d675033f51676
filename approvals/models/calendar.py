"""When a target may be changed: its windows and freezes, and the starts that are scheduled into them."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .catalog import Target
from .executions import Execution
from .people import User
from .rollbacks import RollbackRequest


class CalendarEntry(models.Model):
    """A window in which executions may start on a target, or a freeze in which none may.

    What it says never changes; it is proposed, confirmed by somebody else, and taken away by two people
    again. A freeze is in force from its first moment, and only lifting it takes two.
    """

    class Kind(models.TextChoices):
        WEEKLY = "weekly", _("weekly window")
        DATED = "dated", _("window on a date")
        FREEZE = "freeze", _("freeze")

    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="calendar")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    # Weekly: days from 0, Monday, and times on the clock of the target's zone. An end that is not after the
    # start is on the next day.
    days = ArrayField(models.PositiveSmallIntegerField(), default=list, blank=True)
    starts = models.TimeField(null=True, blank=True)
    ends = models.TimeField(null=True, blank=True)
    # Dated windows and freezes: moments.
    begins_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    proposed_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField(default=timezone.now)
    confirmed_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    confirmed_at = models.DateTimeField(null=True)
    removal_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    removal_at = models.DateTimeField(null=True)
    removal_reason = models.CharField(max_length=300, blank=True)
    removed_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    removed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("target", "-id")
        indexes = [
            models.Index(fields=["target"], condition=Q(removed_at=None), name="calendar_standing"),
        ]
        constraints = [
            models.CheckConstraint(
                name="calendar_entry_is_whole",
                condition=Q(
                    kind="weekly",
                    days__len__gt=0,
                    starts__isnull=False,
                    ends__isnull=False,
                    begins_at=None,
                    ends_at=None,
                )
                | Q(
                    kind__in=["dated", "freeze"],
                    days__len=0,
                    starts=None,
                    ends=None,
                    begins_at__isnull=False,
                    ends_at__gt=F("begins_at"),
                ),
            ),
            models.CheckConstraint(name="freeze_has_a_reason", condition=~Q(kind="freeze", reason="")),
            models.CheckConstraint(
                name="calendar_entry_confirmed_by_another",
                condition=Q(confirmed_by=None, confirmed_at=None)
                | Q(confirmed_by__isnull=False, confirmed_at__isnull=False)
                & ~Q(confirmed_by=F("proposed_by")),
            ),
            # Before it was in force one person takes it back; afterwards two have to.
            models.CheckConstraint(
                name="calendar_entry_removed_by_two",
                condition=Q(removed_at=None, removed_by=None)
                | Q(removed_at__isnull=False, removed_by__isnull=False, confirmed_at=None) & ~Q(kind="freeze")
                | Q(removed_at__isnull=False, removed_by__isnull=False, removal_by__isnull=False)
                & ~Q(removed_by=F("removal_by")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.target}"

    @property
    def is_freeze(self) -> bool:
        return self.kind == self.Kind.FREEZE

    @property
    def in_force(self) -> bool:
        """Does it count? (A dated one counts whether or not its dates are now.)"""
        return self.removed_at is None and (self.is_freeze or self.confirmed_at is not None)

    @property
    def waits(self) -> bool:
        """Does it wait for a second person, to be in force or to be taken away?"""
        return self.removed_at is None and (not self.in_force or self.removal_at is not None)

    @property
    def is_over(self) -> bool:
        return self.ends_at is not None and self.ends_at <= timezone.now()


class Schedule(models.Model):
    """A start that ops have set for later. Beat carries it out in their name, all gates again."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        STARTED = "started", _("started")
        CANCELLED = "cancelled", _("cancelled")
        MISSED = "missed", _("missed")

    rollback = models.ForeignKey(RollbackRequest, on_delete=models.PROTECT, related_name="schedules")
    request_digest = models.CharField(max_length=64)
    at = models.DateTimeField()
    until = models.DateTimeField(help_text=_("When the window closes that it is for."))
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField(default=timezone.now)
    confirmed_at = models.DateTimeField(help_text=_("When the person last proved who they are."))
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    # Why it could not start when it was tried last, or how it ended.
    sentence = models.TextField(blank=True)
    execution = models.ForeignKey(Execution, null=True, on_delete=models.PROTECT, related_name="+")
    # Of a fleet: how its run is to go.
    wave_size = models.PositiveSmallIntegerField(null=True)
    stop_after = models.PositiveSmallIntegerField(null=True)
    ended_at = models.DateTimeField(null=True)
    ended_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ("-id",)
        indexes = [models.Index(fields=["at"], condition=Q(state="waiting"), name="schedule_waiting")]
        constraints = [
            models.UniqueConstraint(
                fields=["rollback"], condition=Q(state="waiting"), name="one_schedule_per_rollback"
            ),
            models.CheckConstraint(
                condition=Q(made_at__gte=F("confirmed_at"), at__gt=F("made_at"), until__gt=F("at"))
                & Q(made_at__lte=F("confirmed_at") + timedelta(minutes=5)),
                name="schedule_confirmed_and_ahead",
            ),
            models.CheckConstraint(
                condition=Q(wave_size=None, stop_after=None) | Q(wave_size__gte=1, stop_after__gte=1),
                name="schedule_of_a_run_says_how",
            ),
        ]

    def __str__(self) -> str:
        return f"start of {self.rollback} at {self.at:%Y-%m-%d %H:%M} UTC"
