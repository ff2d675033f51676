"""The corrective migration that a generation drafted: its files, and how it compares with the rollback."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from approvals.models import Generation, Migration

Json = dict[str, Any]
# What the generator calls the aspects, as pages say it; one that is not here is shown as it is.
ABOUT: dict[str, Promise] = {
    "data that goes": _("Data that goes"),
    "locks": _("Locks"),
    "who waits": _("Who waits"),
    "history": _("Flyway’s history"),
    "files": _("Files"),
    "checks": _("Checks"),
    "other environments": _("Other environments"),
    "what the team must do": _("What the team must do"),
}


@dataclass(frozen=True)
class Aspect:
    """One respect in which both ways are compared."""

    about: str | Promise
    rollback: str
    fix: str


@dataclass(frozen=True)
class Fix:
    """The files of the draft, the comparison, and what neither way gives back."""

    generation: Generation
    files: list[Json]
    comparison: list[Aspect]
    gaps: list[str]


def drafts(migrations: QuerySet[Migration]) -> QuerySet[Generation]:
    """The answered generations of these migrations that drafted a corrective migration, newest first."""
    found = Generation.objects.filter(migration__in=migrations, at__isnull=False)
    return found.filter(answer__forward_fix__files__0__isnull=False).order_by("-job_id")


def newest(migration: Migration) -> Generation | None:
    """The newest generation that drafted one; None where there is none."""
    found = drafts(Migration.objects.filter(pk=migration.pk))
    return found.select_related("script", "job__asked_by", "migration").first()


def read(generation: Generation) -> Fix:
    """Make the draft of a generation ready."""
    said = generation.answer["forward_fix"]
    return Fix(
        generation,
        said["files"],
        [
            Aspect(ABOUT.get(each["about"], each["about"]), each["rollback"], each["fix"])
            for each in said["comparison"]
        ],
        said["gaps"],
    )
