"""Who must approve what: policy versions and their rules, with the floors held by the database."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from .backups import Scope
from .catalog import Environment
from .people import User


class PolicyVersion(models.Model):
    """One immutable set of rules. A rollback keeps the version that was in force when it was submitted."""

    number = models.PositiveIntegerField(unique=True)
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ("-number",)

    def __str__(self) -> str:
        return f"policy {self.number}"


class PolicyRule(models.Model):
    """What one risk on one environment demands. Hours are whole hours."""

    policy = models.ForeignKey(PolicyVersion, on_delete=models.CASCADE, related_name="rules")
    environment = models.CharField(max_length=20, choices=Environment.choices)
    risk = models.PositiveSmallIntegerField()
    senior_dbas = models.PositiveSmallIntegerField()
    platform_leads = models.PositiveSmallIntegerField(default=0)
    rehearsal_required = models.BooleanField(default=False)
    rehearsal_max_age_hours = models.PositiveIntegerField(null=True)
    backup_required = models.BooleanField(default=False)
    backup_scope = models.CharField(max_length=10, choices=Scope.choices, default=Scope.DATABASE)
    # Taken while the script's transaction keeps writers out: nothing falls between backup and script.
    backup_gapless = models.BooleanField(default=False)
    # How old a physical backup may be, with its tested restore, where the database is too large for a dump.
    base_backup_max_age_hours = models.PositiveIntegerField(default=168)
    # What a rehearsal clone holds: rows, masked by the rules of the service, or the structure alone.
    rehearsal_with_rows = models.BooleanField(default=True)
    review_hours = models.PositiveIntegerField(default=72)
    execution_hours = models.PositiveIntegerField(default=24)

    class Meta:
        ordering = ("environment", "risk")
        constraints = [
            models.CheckConstraint(name="rule_for_a_known_risk", condition=Q(risk__range=(1, 5))),
            models.UniqueConstraint(fields=["policy", "environment", "risk"], name="one_rule_per_risk"),
            models.CheckConstraint(
                name="floor_production_one_approver",
                condition=~Q(environment="production") | Q(senior_dbas__gte=1 - F("platform_leads")),
            ),
            models.CheckConstraint(
                name="floor_high_two_approvers",
                condition=~Q(environment="production", risk__gte=4)
                | Q(senior_dbas__gte=2 - F("platform_leads")),
            ),
            models.CheckConstraint(
                name="floor_production_rehearsed_and_backed_up",
                condition=~Q(environment="production") | Q(rehearsal_required=True, backup_required=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.policy}: {self.environment}, risk {self.risk}"
