"""A preflight as people read it: go or no-go, what stops it first, and how old the look is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from approvals import preflights
from approvals.known import Known
from approvals.models import Evidence, Execution, Job

# How pressing a point is; unknown ones come before those that are as they should be.
ORDER = {"stop": 0, "look": 1, "unknown": 2, "go": 3}
TONES = {"stop": "fail", "look": "warn", "unknown": "idle", "go": "ok"}


@dataclass(frozen=True)
class Panel:
    """What the section of the preflight shows; `at` is None where nobody has looked for these bytes yet."""

    job: Job | None
    may_ask: bool
    go: bool = False
    sentence: str = ""
    at: datetime | None = None
    fresh: bool = False
    points: list[dict[str, Any]] = field(default_factory=list)
    breaks: list[dict[str, Any]] = field(default_factory=list)

    @property
    def asked(self) -> bool:
        """Is a worker to look, or looking?"""
        return self.job is not None and self.job.finished_at is None

    @property
    def pressing(self) -> list[dict[str, Any]]:
        """The points that a person should read, on the target first, then those elsewhere."""
        return [point for point in (*self.points, *self.breaks) if point["verdict"] != "go"]

    @property
    def fine(self) -> list[dict[str, Any]]:
        """The points that are as they should be."""
        return [point for point in (*self.points, *self.breaks) if point["verdict"] == "go"]

    @property
    def failed(self) -> str:
        """Why the last look did not take place, if it did not."""
        return self.job.sentence if self.job is not None and self.job.state == Job.State.FAILED else ""


def panel(known: Known, *, may_ask: bool) -> Panel:
    """The newest preflight for the change as it is now; one query besides what is known already."""
    found, job = known.evidence(Evidence.Kind.PREFLIGHT), known.preflight_job
    askable = may_ask and known.rollback.status in preflights.ASKABLE
    if found is None:
        return Panel(job, askable)
    return replace(_shown(found), job=job, may_ask=askable, fresh=known.now - found.at <= preflights.FRESH)


def of_execution(execution: Execution) -> Panel | None:
    """The look that a worker took as this execution began; None before that, and for rehearsals."""
    if execution.purpose == Execution.Purpose.REHEARSAL:
        return None
    rollback = execution.rollback_target.rollback_id
    looks = Evidence.objects.filter(rollback=rollback, kind=Evidence.Kind.PREFLIGHT)
    found = looks.filter(data__execution=str(execution.pk)).order_by("-at").first()
    return _shown(found) if found else None


def _shown(found: Evidence) -> Panel:
    return Panel(
        job=None,
        may_ask=False,
        go=found.holds,
        sentence=found.sentence,
        at=found.at,
        fresh=True,
        points=_in_order(found.data.get("points", [])),
        breaks=_in_order(found.data.get("breaks", [])),
    )


def _in_order(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The most pressing first, each with its tone; a verdict that is not known stops."""
    ranked = sorted(points, key=lambda point: ORDER.get(point["verdict"], 0))
    return [point | {"tone": TONES.get(point["verdict"], "fail")} for point in ranked]
