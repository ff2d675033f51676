"""What people say about a rollback, in threads, and where each reader left off."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from .people import User
from .rollbacks import RollbackRequest
from .scripts import RollbackScript


def line_of(sql: str, line: int) -> str | None:
    """The words of a line, counted from 1 as pages number them; None if the text has no such line."""
    lines = sql.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines[line - 1] if 1 <= line <= len(lines) else None


class Thread(models.Model):
    """A conversation on the whole rollback, or on one line of a script's revision; open until resolved."""

    rollback = models.ForeignKey(RollbackRequest, on_delete=models.PROTECT, related_name="threads")
    script = models.ForeignKey(RollbackScript, null=True, on_delete=models.PROTECT, related_name="+")
    line = models.PositiveIntegerField(null=True)
    opened_at = models.DateTimeField(default=timezone.now)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ("id",)
        constraints = [
            models.CheckConstraint(
                name="thread_on_a_line_of_a_script",
                condition=Q(script=None, line=None)
                | Q(script__isnull=False, line__isnull=False, line__gte=1),
            ),
            models.CheckConstraint(
                name="thread_resolved_by_somebody",
                condition=Q(resolved_at=None, resolved_by=None)
                | Q(resolved_at__isnull=False, resolved_by__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"thread {self.pk} on {self.rollback}"

    @property
    def is_open(self) -> bool:
        return self.resolved_at is None

    # By `comments.threads`: the newest comments, newest first, and how many there are.
    newest: list[Comment]
    count: int

    @property
    def shown(self) -> list[Comment]:
        """The newest comments in the order in which they were said."""
        return self.newest[::-1]

    @property
    def hidden(self) -> int:
        """How many older comments there are."""
        return self.count - len(self.newest)

    @property
    def quoted(self) -> str:
        """The line that it is about, as it stands in its revision; empty where it is about the whole."""
        return (line_of(self.script.sql, self.line) or "").strip() if self.script and self.line else ""


class Comment(models.Model):
    """One thing somebody said. The database refuses to change or delete it."""

    thread = models.ForeignKey(Thread, on_delete=models.PROTECT, related_name="comments")
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"comment {self.pk} in {self.thread}"


class Look(models.Model):
    """A reader's private bookmark: how a rollback stood at their newest look, and at the look before.

    A state is what `approvals.looks.state` makes: digests, scripts, gates, risk and the newest event.
    """

    rollback = models.ForeignKey(RollbackRequest, on_delete=models.CASCADE, related_name="+")
    reader = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField()
    state = models.JSONField()
    before_at = models.DateTimeField(null=True)
    before = models.JSONField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["rollback", "reader"], name="one_look_per_reader"),
        ]

    def __str__(self) -> str:
        return f"look of {self.reader} at {self.rollback}"
