"""Imports of migrations: what was asked for and by whom, what each found, and the tokens of pipelines."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from .catalog import Committed, Service
from .people import User


class ImportToken(models.Model):
    """What a pipeline proves with that it may import into one service. Only its digest is stored.

    With a `source` it has that repository read, at a revision that the pipeline names; without one it hands
    in archives.
    """

    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="import_tokens")
    name = models.CharField(max_length=80)
    source = models.CharField(max_length=500, blank=True)
    folder = models.CharField(max_length=500, blank=True)
    digest = models.CharField(max_length=64, unique=True, help_text=_("SHA-256 of the token."))
    made_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField(auto_now_add=True)
    used_at = models.DateTimeField(null=True)
    revoked_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return self.name


class ImportRun(Committed):
    """One reading of a service's directory: how many files of which kind, what is new since the one before,
    and everything Flyway would trip over. Its commit is the one that was read."""

    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="import_runs")
    at = models.DateTimeField(auto_now_add=True)
    by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    token = models.ForeignKey(ImportToken, null=True, on_delete=models.PROTECT, related_name="+")
    source = models.CharField(
        max_length=500, blank=True, help_text=_("Where the files came from: an archive's name or a URL.")
    )
    settings = models.JSONField(
        default=dict, help_text=_("What flyway.toml or flyway.conf beside the files say.")
    )
    summary = models.JSONField(default=dict)
    # paths: {"new": […], "changed": […], "removed": […], "returned": […], "scripts": […]}
    differences = models.JSONField(default=dict)
    problems = models.JSONField(default=list)

    class Meta:
        ordering = ("-at",)

    def __str__(self) -> str:
        return f"import {self.pk} of {self.service}"


class ImportRequest(models.Model):
    """Files that somebody gave to be imported, for the worker: an archive, or where to clone from."""

    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="import_requests")
    by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    token = models.ForeignKey(ImportToken, null=True, on_delete=models.PROTECT, related_name="requests")
    at = models.DateTimeField(auto_now_add=True)
    archive = models.BinaryField(null=True, help_text=_("A .zip; taken away once it was read."))
    source = models.CharField(max_length=500, help_text=_("The archive's name, or the URL."))
    revision = models.CharField(max_length=200, blank=True)
    folder = models.CharField(max_length=500, blank=True)
    run = models.OneToOneField(ImportRun, null=True, on_delete=models.PROTECT, related_name="request")

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.source} for {self.service}"
