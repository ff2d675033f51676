"""Ways back that a worker generates, and what it found of a script: is it complete, and does it lead back?"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from .catalog import Migration, MigrationRevision, Target
from .jobs import Job, Watched
from .scripts import RollbackScript


class Answered(Watched):
    """Work that is answered once, and never changed from then on: `at` is when."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    revision = models.ForeignKey(MigrationRevision, on_delete=models.PROTECT, related_name="+")
    # Whose placeholders are filled in, and whose live schema is read where the files do not replay.
    target = models.ForeignKey(Target, null=True, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(null=True)

    silent_after = timedelta(minutes=20)

    class Meta:
        abstract = True


class Generation(Answered):
    """One way back to be generated, with the choices of the engineer who asked and so is its author.

    `options` are the choices (`approvals.generations.OPTIONS`). `answer` is what the generator says:
    {script, origin, because, verdict, gaps, from_backup, choices, notes, restore, goes, losses, counted_on,
    forward_fix, milliseconds}. `script` is the revision that was stored, None where nothing was.
    """

    migration = models.ForeignKey(Migration, on_delete=models.PROTECT, related_name="generations")
    options = models.JSONField(default=dict)
    job = models.OneToOneField(Job, on_delete=models.PROTECT, related_name="generation")
    script = models.ForeignKey(
        RollbackScript, null=True, on_delete=models.PROTECT, related_name="generations"
    )
    answer = models.JSONField(default=dict)

    class Meta:
        ordering = ("-job_id",)
        indexes = [models.Index(fields=["migration", "-job"], name="generation_latest")]

    def __str__(self) -> str:
        return f"generation of the way back of {self.migration}"


class Proof(Answered):
    """What was found of one script against one text of its migration: evidence, bound to the bytes of both,
    to the files that were replayed before them, and to the server's version."""

    class Verdict(models.TextChoices):
        """The words of `executor.proof`."""

        EXACT = "exact", _("exact")
        MODULO_ORDER = "exact modulo column order", _("exact modulo column order")
        AS_DECLARED = "exact as declared", _("exact as declared")
        DIFFERS = "differs", _("differs")
        ERROR = "error", _("error")
        NOT_PROVABLE = "not provable", _("not provable")

    class Way(models.TextChoices):
        """How it was proven; the second is the weaker one."""

        UP_DOWN_UP = "up-down-up", _("forward, back and forward again")
        DOWN_UP = "down-up", _("back and forward again, on a copy of the live schema")

    script = models.ForeignKey(RollbackScript, on_delete=models.PROTECT, related_name="proofs")
    job = models.OneToOneField(Job, on_delete=models.PROTECT, related_name="proof")
    # executor.completeness.Completeness.json() and executor.proof.Proof.json()
    completeness = models.JSONField(default=dict)
    proof = models.JSONField(default=dict)
    verdict = models.CharField(max_length=30, choices=Verdict.choices, blank=True)
    way = models.CharField(max_length=12, choices=Way.choices, blank=True)
    holds = models.BooleanField(default=False)
    server_version = models.CharField(max_length=80, blank=True)
    # What was replayed (`approvals.chains.bound`), and the placeholders whose values are part of that.
    chain_sha256 = models.CharField(max_length=64, blank=True)
    placeholders = models.JSONField(default=list)

    class Meta:
        ordering = ("-job_id",)
        indexes = [
            models.Index(fields=["script", "-job"], name="proof_latest"),
            models.Index(fields=["script", "revision", "chain_sha256", "-at"], name="proof_by_what_it_binds"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(holds=False)
                | models.Q(
                    verdict__in=["exact", "exact modulo column order", "exact as declared"],
                    at__isnull=False,
                ),
                name="proof_holds_by_its_verdict",
            ),
        ]

    def __str__(self) -> str:
        return f"proof of {self.script}"

    @property
    def effects(self) -> list[dict[str, Any]]:
        """Every effect of the migration with its fate: {key, text, fate, steps, reason, line, measured}."""
        found: list[dict[str, Any]] = self.completeness.get("effects", [])
        return found
