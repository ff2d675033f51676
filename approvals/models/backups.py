"""How much a backup is worth, by name, and the physical backups that points in time rest on."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from .catalog import Target


class Grade(models.IntegerChoices):
    """What a backup is, from nothing to everything; a higher one serves wherever a lower one is asked for."""

    NONE = 0, _("no backup")
    DUMPED = 1, _("dump only, not restored")
    TABLES = 2, _("touched tables, verified")
    POINT = 3, _("point in time")
    FULL = 4, _("full dump, verified")


class Scope(models.TextChoices):
    """What a policy wants a backup of."""

    DATABASE = "database", _("the whole database")
    TABLES = "tables", _("the tables that the script touches")


class BaseBackup(models.Model):
    """A physical backup of a target's whole server, which lies where workers reach it, and how its restore
    went: a server was started from a copy of it, followed the archived log to a restore point, and was
    compared with the target."""

    class State(models.TextChoices):
        TESTED = "tested", _("restored and compared")
        FAILED = "failed", _("not restorable as it should be")

    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="base_backups")
    state = models.CharField(max_length=10, choices=State.choices)
    system_identifier = models.CharField(max_length=40)
    timeline = models.IntegerField(null=True)
    start_lsn = models.CharField(max_length=24, blank=True)
    directory = models.CharField(max_length=500)
    # What the server runs for each file of the log: `cp /archive/%f %p`, or a tool of the company's own.
    restore_command = models.CharField(max_length=1000)
    # SHA-256 over the names and sizes of all its files, by which it is known again.
    inventory = models.CharField(max_length=64, blank=True)
    bytes = models.BigIntegerField(null=True)
    taken_at = models.DateTimeField(null=True)
    tested_at = models.DateTimeField()
    seconds = models.FloatField(null=True)
    # Up to which restore point of the test it was followed: {name, lsn}.
    point = models.JSONField(default=dict)
    tables = models.JSONField(default=dict)
    sentence = models.TextField()
    # The account on the worker's machine that ran the command.
    by = models.CharField(max_length=120)

    class Meta:
        ordering = ("-tested_at", "-id")
        indexes = [models.Index(fields=["system_identifier", "-tested_at"], name="base_backup_latest")]

    def __str__(self) -> str:
        return f"base backup {self.pk} of {self.target}"
