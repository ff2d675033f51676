"""Jobs: work for the worker. The row is the queue, the Celery message is a hint."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .people import User


class Job(models.Model):
    """One row of work. Claimed by compare-and-set, so a message delivered twice does nothing the second
    time."""

    class Kind(models.TextChoices):
        SYNC = "sync", _("read the history of a target")
        FACTS = "facts", _("read the facts for a rollback")
        REHEARSE = "rehearse", _("rehearse a rollback")
        EXECUTE = "execute", _("execute a rollback")
        IMPORT = "import", _("import migrations")
        TRY = "try", _("try checks on a copy")
        GENERATE = "generate", _("generate a way back")
        PROVE = "prove", _("prove a script")
        PREFLIGHT = "preflight", _("look whether a rollback could run now")

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        CLAIMED = "claimed", _("claimed")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")

    kind = models.CharField(max_length=12, choices=Kind.choices)
    subject = models.CharField(max_length=40, help_text=_("Primary key of what the work is about."))
    digest = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    asked_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(default=timezone.now)
    claimed_at = models.DateTimeField(null=True)
    claimed_by = models.CharField(max_length=120, blank=True)
    # When its worker was heard last, of work that says so every second (`approvals.jobs.BEATING`).
    heartbeat_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    sentence = models.TextField(blank=True)

    class Meta:
        ordering = ("-id",)
        indexes = [
            models.Index(fields=["sent_at"], condition=models.Q(state="waiting"), name="job_waiting"),
            models.Index(fields=["kind", "subject", "-id"], name="job_by_subject"),
        ]

    def __str__(self) -> str:
        return f"job {self.pk}: {self.kind} {self.subject}"


class Watched(models.Model):
    """Work for which people wait: its `job`, and what the worker says it is doing."""

    doing = models.CharField(max_length=300, blank=True)
    doing_since = models.DateTimeField(default=timezone.now)

    job: models.OneToOneField[Job, Job]
    # A worker that never said that it lives, and for so long not where it is, has ended without a word.
    silent_after = timedelta(minutes=10)

    class Meta:
        abstract = True

    @property
    def is_open(self) -> bool:
        """Is an answer still to come?"""
        return self.job.finished_at is None and not self.is_silent

    @property
    def is_silent(self) -> bool:
        """Was it taken by a worker that has not been heard of since?"""
        if self.job.state != Job.State.CLAIMED:
            return False
        if self.job.heartbeat_at is not None:
            limit = timedelta(seconds=settings.WORKER_SILENCE_SECONDS)
            return timezone.now() - self.job.heartbeat_at > limit
        heard = max(self.doing_since, self.job.claimed_at or self.job.asked_at)
        return timezone.now() - heard > self.silent_after

    @property
    def asked_at(self) -> datetime:
        return self.job.asked_at

    @property
    def sentence(self) -> str:
        """How it ended, or why it failed; empty before that."""
        return self.job.sentence
