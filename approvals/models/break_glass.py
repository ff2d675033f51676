"""Break-glass: two people let a rollback skip its window or its rehearsal, and a third one reviews why."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .people import User
from .rollbacks import RollbackRequest


class BreakGlass(models.Model):
    """One use of it: asked for by one person, confirmed by another, reviewed by somebody who was neither.

    What was asked for never changes. It counts for one change, as it was submitted then, until it is over.
    """

    class Skip(models.TextChoices):
        """What may be skipped; there is nothing else that could be."""

        WINDOW = "window", _("windows and freezes")
        REHEARSAL = "rehearsal", _("the rehearsal")

    PEOPLE = ("proposed_by", "confirmed_by", "removed_by", "closed_by")

    rollback = models.ForeignKey(RollbackRequest, on_delete=models.PROTECT, related_name="break_glass")
    change_digest = models.CharField(max_length=64)
    skips = ArrayField(models.CharField(max_length=10, choices=Skip.choices))
    reason = models.TextField()
    proposed_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(help_text=_("When it is over, whenever it is confirmed."))
    confirmed_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    confirmed_at = models.DateTimeField(null=True)
    proved_at = models.DateTimeField(null=True, help_text=_("When the second person proved who they are."))
    # Of what nobody has confirmed only; what is confirmed ends by itself, or with the request.
    removed_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    removed_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True, help_text=_("When its review has to be closed."))
    review = models.TextField(blank=True)
    closed_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    closed_at = models.DateTimeField(null=True)

    # As with everything that two people do (`approvals.second_person`); nobody asks for the end of this.
    removal_by_id: int | None = None
    removal_by: User | None = None
    removal_at: datetime | None = None

    class Meta:
        ordering = ("-id",)
        indexes = [
            models.Index(fields=["rollback", "-id"], name="break_glass_of_rollback"),
            models.Index(
                fields=["due_at"], condition=Q(closed_at=None, removed_at=None), name="break_glass_open"
            ),
        ]
        # A comparison with NULL breaks no CHECK, so each says what must be there.
        constraints = [
            models.CheckConstraint(
                name="break_glass_skips_two_gates_at_most",
                condition=Q(skips__contained_by=["window", "rehearsal"], skips__len__gt=0),
            ),
            models.CheckConstraint(name="break_glass_has_a_reason", condition=~Q(reason="")),
            models.CheckConstraint(
                name="break_glass_is_over_within_a_day",
                condition=Q(
                    expires_at__gt=F("proposed_at"), expires_at__lte=F("proposed_at") + timedelta(hours=24)
                ),
            ),
            models.CheckConstraint(
                name="break_glass_confirmed_by_another",
                condition=Q(confirmed_by=None, confirmed_at=None, proved_at=None, due_at=None)
                | Q(
                    confirmed_by__isnull=False,
                    confirmed_at__isnull=False,
                    proved_at__isnull=False,
                    due_at__isnull=False,
                    removed_by=None,
                    confirmed_at__gte=F("proved_at"),
                    confirmed_at__lte=F("proved_at") + timedelta(minutes=5),
                    confirmed_at__lt=F("expires_at"),
                    due_at__gt=F("confirmed_at"),
                )
                & ~Q(confirmed_by=F("proposed_by")),
            ),
            models.CheckConstraint(
                name="break_glass_removed_by_somebody",
                condition=Q(removed_by=None, removed_at=None)
                | Q(removed_by__isnull=False, removed_at__isnull=False),
            ),
            models.CheckConstraint(
                name="break_glass_reviewed_by_a_third",
                condition=Q(closed_by=None, closed_at=None, review="")
                | Q(
                    closed_by__isnull=False,
                    closed_at__isnull=False,
                    confirmed_by__isnull=False,
                    closed_at__gte=F("confirmed_at"),
                )
                & ~Q(review="")
                & ~Q(closed_by=F("proposed_by"))
                & ~Q(closed_by=F("confirmed_by")),
            ),
        ]

    def __str__(self) -> str:
        return f"break-glass {self.pk} of {self.rollback}"

    @property
    def words(self) -> str:
        """What it skips: `windows and freezes, the rehearsal`."""
        return ", ".join(str(skip.label) for skip in self.Skip if skip.value in self.skips)

    @property
    def waits(self) -> bool:
        """Does it wait for a second person, who would still be in time?"""
        return self.confirmed_at is None and self.removed_at is None and timezone.now() < self.expires_at

    @property
    def is_open(self) -> bool:
        """Is its review still to be closed?"""
        return self.confirmed_at is not None and self.closed_at is None

    @property
    def overdue(self) -> bool:
        return self.is_open and self.due_at is not None and self.due_at < timezone.now()

    def counts_for(self, rollback: RollbackRequest) -> bool:
        """Was it asked for this change, as it is submitted now? Any edit ends it, even one that is undone."""
        submitted = rollback.submitted_at
        return (
            self.change_digest == rollback.change_digest
            and submitted is not None
            and submitted <= self.proposed_at
        )

    def in_force(self, rollback: RollbackRequest, at: datetime) -> bool:
        """Does it let this rollback skip gates at this moment?"""
        return self.confirmed_at is not None and at < self.expires_at and self.counts_for(rollback)
