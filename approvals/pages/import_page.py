"""Imports as pages show them: the list of a service's, one with its differences, how far one is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from approvals import imports
from approvals.models import ImportRequest, ImportRun, Job, Migration, Service

# So many problems stand on the page of an import; a link leads to all.
SHOWN = 10
SEVERITIES = ("error", "warning")


def runs(service: Service, *, text: str = "", show: str = "", sort: str = "") -> QuerySet[ImportRun]:
    """The imports of a service without their long lists; what the filters ask for."""
    found = service.import_runs.select_related("by", "token").defer("problems", "differences", "settings")
    if text:
        found = found.filter(
            Q(source__icontains=text) | Q(commit__istartswith=text) | Q(author__icontains=text)
        )
    if show == "differences":
        any_new = Q(summary__has_any_keys=["new", "changed", "returned", "scripts"])
        found = found.filter(any_new | Q(summary__removed__gt=0))
    elif show == "problems":
        found = found.exclude(problems=[])
    return found.order_by(*(("at", "id") if sort == "oldest" else ("-at", "-id")))


@dataclass
class Difference:
    """A file that is not as it was at the import before; `migration` is its key where it is in the
    catalog."""

    kind: str
    path: str
    migration: int | None = None


def differences(run: ImportRun, *, text: str = "", show: str = "") -> list[Difference]:
    """What is new, changed, gone or back with this import, and which scripts came with it; V2 before V10."""
    wanted = text.casefold()
    return [
        Difference(kind, path)
        for kind, paths in run.differences.items()
        for path in sorted(paths, key=_by_number)
        if (not show or kind == show) and wanted in path.casefold()
    ]


def _by_number(path: str) -> list[tuple[bool, int, str]]:
    """Its text and numbers in turn, so that numbers compare as such."""
    parts = re.findall(r"[0-9]+|[^0-9]+", path)
    return [(part[0].isdigit(), int(part) if part[0].isdigit() else 0, part) for part in parts]


def add_migrations(run: ImportRun, found: Iterable[Difference]) -> None:
    """Find the migrations of one page of differences; one query."""
    lines = list(found)
    paths = {line.path for line in lines if line.kind != "scripts"}
    known = dict(
        Migration.objects.filter(service=run.service_id, script__in=paths).values_list("script", "pk")
    )
    for line in lines:
        line.migration = known.get(line.path)


def worst(run: ImportRun) -> list[dict[str, Any]]:
    """The problems to be shown at once: what was not taken in first."""
    return sorted(run.problems, key=lambda problem: SEVERITIES.index(problem["severity"]))[:SHOWN]


def problem_count(run: ImportRun) -> int:
    """How many problems an import found, from its summary alone."""
    return sum(run.summary.get("problems", {}).values())


@dataclass(frozen=True)
class Progress:
    """How far an import is that somebody asked for."""

    request: ImportRequest
    job: Job | None

    @property
    def is_over(self) -> bool:
        return self.request.run_id is not None or (self.job is not None and self.job.finished_at is not None)

    @property
    def failed(self) -> bool:
        return self.is_over and self.request.run_id is None


def progress(request: ImportRequest) -> Progress:
    """Read how far it is; one query."""
    return Progress(request, imports.job_of(request))


def under_way(service: Service) -> Progress | None:
    """The newest import that was asked for and is not over or has failed; None where there is none."""
    newest = service.import_requests.select_related("by", "token").defer("archive").first()
    if newest is None or newest.run_id is not None:
        return None
    return progress(newest)
