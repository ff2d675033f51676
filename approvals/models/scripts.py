"""Rollback scripts: immutable revisions of the SQL that undoes one migration, with their checks."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import models
from django.utils.translation import gettext_lazy as _

from .catalog import Migration
from .people import User


class Stage(models.TextChoices):
    """When a check is asked."""

    BEFORE_COMMIT = "before commit", _("before commit")
    AFTER_COMMIT = "after commit", _("after commit")
    AFTER_RESTART = "after restart", _("after restart")


@dataclass(frozen=True)
class Check:
    """One verification query: a single SELECT of one scalar, compared as text with `expected`."""

    name: str
    sql: str
    expected: str
    stage: str = Stage.BEFORE_COMMIT.value


# Those that change a parameter of the server.
SETS_PARAMETERS = models.Q(plan__steps__contains=[{"statement": {"change": "ALTER SYSTEM"}}])


class RollbackScript(models.Model):
    """One revision. The database refuses to change or delete it; an edit makes the next revision."""

    class Origin(models.TextChoices):
        GENERATED = "generated", _("generated")
        IMPORTED = "imported", _("imported")
        WRITTEN = "written", _("written")

    migration = models.ForeignKey(Migration, on_delete=models.PROTECT, related_name="scripts")
    number = models.PositiveIntegerField()
    origin = models.CharField(max_length=10, choices=Origin.choices)
    sql = models.TextField()
    sha256 = models.CharField(max_length=64)
    checks = models.JSONField(default=list)
    plan = models.JSONField(default=dict)
    # Names of Flyway's placeholders in it, which each target fills (`approvals.filling`); the plan above is
    # made with the values that its service knows. A text to be taken as it stands has none.
    placeholders = models.JSONField(default=list)
    # Effects of the migration that stay on purpose: {key as completeness names it: the author's reason}.
    left = models.JSONField(default=dict)
    # The choices that were made when it was generated.
    options = models.JSONField(default=dict)
    # Why its author thinks that it may go without a proof, where nothing can be proven.
    unproven = models.TextField(blank=True)
    # Whoever touched this line of revisions: none of them may approve it.
    authors = models.ManyToManyField(User, related_name="scripts")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("migration", "-number")
        indexes = [
            # Few ever do, and the page of a target asks for them among all.
            models.Index(fields=["migration"], condition=SETS_PARAMETERS, name="script_sets_parameters"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["migration", "number"], name="one_script_per_number"),
        ]

    def __str__(self) -> str:
        return f"{self.migration} script r{self.number}"

    def check_list(self) -> list[Check]:
        """The checks as dataclasses, in their order."""
        return [Check(**check) for check in self.checks]

    @property
    def readable(self) -> bool:
        """True when the analysis refused nothing in this script."""
        return not self.plan.get("problems")
