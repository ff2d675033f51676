"""Jobs: work for the worker. The row is the queue, the Celery message is a hint."""

from __future__ import annotations

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
