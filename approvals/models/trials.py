"""Trials: checks asked on a copy of the target, before and after the script of an item as it was typed."""

from __future__ import annotations

import uuid

from django.db import models

from .catalog import Migration
from .jobs import Job, Watched
from .rollbacks import RollbackRequest
from .scripts import Check


class Trial(Watched):
    """One try. What it is about never changes; the worker adds where it is and what it saw.

    `sql` and `checks` are what stood in the form, stored as a revision or not. It proves nothing to a gate.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    rollback = models.ForeignKey(RollbackRequest, on_delete=models.PROTECT, related_name="trials")
    # The request's revision and the item's place in it, for which it was asked.
    revision = models.PositiveIntegerField()
    position = models.PositiveSmallIntegerField()
    migration = models.ForeignKey(Migration, on_delete=models.PROTECT, related_name="+")
    sql = models.TextField()
    checks = models.JSONField(default=list)
    job = models.OneToOneField(Job, on_delete=models.PROTECT, related_name="trial")
    tried_on = models.TextField(blank=True)
    # [{name, stage, sql, expected, passed, before, after}]; an answer is {value, type, ms, error, sqlstate,
    # line, column}, before is null where the script is not preceded by anything to ask
    results = models.JSONField(default=list)
    # {line, column, sqlstate, message} of the statement at which the script ended
    script_error = models.JSONField(null=True)
    notes = models.JSONField(default=list)

    class Meta:
        ordering = ("-job_id",)
        indexes = [models.Index(fields=["rollback", "position", "-job"], name="trial_latest")]

    def __str__(self) -> str:
        return f"trial of {self.migration} for {self.rollback}"

    @property
    def check_list(self) -> list[Check]:
        return [Check(**check) for check in self.checks]

    @property
    def passed(self) -> int:
        """How many checks gave what they must."""
        return sum(bool(result["passed"]) for result in self.results)
