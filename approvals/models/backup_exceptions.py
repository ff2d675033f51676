"""The exception instead of a backup: one asks, two senior DBAs and a platform lead sign, for one change."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from .people import Role, User
from .rollbacks import Evidence, RollbackRequest


class BackupException(models.Model):
    """Leave to run without the backup that the policy asks for, where a worker said that it can't be had.

    What was asked for never changes. It counts for one change, as it was submitted then, from its last
    signature on until it is over.
    """

    # Whose signatures it takes; the database's triggers count the same.
    SIGNATURES = (Role.SENIOR_DBA, Role.SENIOR_DBA, Role.PLATFORM_LEAD)
    PEOPLE = ("proposed_by", "removed_by", "evidence")

    rollback = models.ForeignKey(RollbackRequest, on_delete=models.PROTECT, related_name="backup_exceptions")
    change_digest = models.CharField(max_length=64)
    # What the worker found: above the limit, and why what that asks for can't be had.
    evidence = models.ForeignKey(Evidence, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField()
    proposed_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(help_text=_("When it is over, whenever it is signed."))
    # Written by the database's own trigger, with the last signature.
    granted_at = models.DateTimeField(null=True, editable=False)
    # Of what lacks a signature only; what is granted ends by itself, or with the request.
    removed_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    removed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        indexes = [models.Index(fields=["rollback", "-id"], name="exception_of_rollback")]
        constraints = [
            models.CheckConstraint(name="exception_has_a_reason", condition=~Q(reason="")),
            models.CheckConstraint(
                name="exception_is_over_within_three_days",
                condition=Q(
                    expires_at__gt=F("proposed_at"), expires_at__lte=F("proposed_at") + timedelta(hours=72)
                ),
            ),
            models.CheckConstraint(
                name="exception_granted_or_removed",
                condition=Q(removed_by=None, removed_at=None)
                | Q(removed_by__isnull=False, removed_at__isnull=False, granted_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"backup exception {self.pk} of {self.rollback}"

    @property
    def signers(self) -> str:
        """Who signed, in the order in which they did: `Dora, Dan, Lea`."""
        return ", ".join(str(each.person) for each in self.signatures.all())

    @property
    def words(self) -> str:
        """What stands where a backup would, in one sentence."""
        return gettext(
            "No backup that is sure to bring all data back: exception signed by %(signers)s, because "
            "“%(reason)s”"
        ) % {"signers": self.signers, "reason": self.reason}

    @property
    def missing(self) -> list[Role]:
        """The roles whose signatures it lacks, one entry per signature."""
        lacking = Counter(self.SIGNATURES)
        lacking.subtract(Role(each.role) for each in self.signatures.all())
        return list(lacking.elements())

    @property
    def missing_words(self) -> str:
        """Whose signatures it lacks: `2 × Senior DBA, Platform lead`."""
        return Role.counted(self.missing)

    @property
    def waits(self) -> bool:
        """Does it wait for signatures, which would still be in time?"""
        return self.granted_at is None and self.removed_at is None and timezone.now() < self.expires_at

    def counts_for(self, rollback: RollbackRequest) -> bool:
        """Was it asked for this change, as it is submitted now? Any edit ends it, even one that is undone."""
        submitted = rollback.submitted_at
        return (
            self.change_digest == rollback.change_digest
            and submitted is not None
            and submitted <= self.proposed_at
        )

    def in_force(self, rollback: RollbackRequest, at: datetime) -> bool:
        """Does it let this rollback run without that backup at this moment?"""
        return self.granted_at is not None and at < self.expires_at and self.counts_for(rollback)


class ExceptionSignature(models.Model):
    """One of the three signatures of an exception, each by another person with a proof of who they are."""

    exception = models.ForeignKey(BackupException, on_delete=models.PROTECT, related_name="signatures")
    person = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=20, choices=Role.choices)
    signed_at = models.DateTimeField(default=timezone.now)
    proved_at = models.DateTimeField(help_text=_("When they proved who they are."))

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(fields=["exception", "person"], name="exception_signed_once_by_each"),
            models.CheckConstraint(
                name="exception_signed_with_fresh_proof",
                condition=Q(
                    signed_at__gte=F("proved_at"), signed_at__lte=F("proved_at") + timedelta(minutes=5)
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.person} on {self.exception}"
