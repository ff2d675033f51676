"""What the analysis makes of a script's text, stored or as it is being typed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from approvals import analysis
from approvals.models import Migration

from .statements import Line, back_lines

# A text that is being typed is looked at up to this length; a stored one at any.
LONGEST = 50_000


@dataclass(frozen=True)
class PlanView:
    """The risk with its reasons, the steps, what is refused and where. `why_not` stands in for all of it."""

    risk: str = ""
    reasons: list[dict[str, Any]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    problems: list[dict[str, Any]] = field(default_factory=list)
    taken_over: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    why_not: str = ""
    empty: bool = False


def read(migration: Migration, sql: str) -> PlanView:
    """Read a text as the script of this migration. Rated without facts: every table counts as populated."""
    if not sql.strip():
        return PlanView(empty=True)
    plan = analysis.plan_script(sql.replace("\r\n", "\n"))
    shown = analysis.as_json(plan)
    revision = migration.revisions.order_by("-number").first()
    forward = [analysis.analyze(revision.sql, name=revision.path)] if revision else []
    rated = analysis.rate(forward, plan, analysis.Facts())
    return PlanView(
        risk="" if plan.problems else rated.risk.name,
        reasons=[] if plan.problems else analysis.as_json(sorted(rated.reasons, key=lambda each: -each.risk)),
        lines=back_lines(shown),
        problems=shown["problems"],
        taken_over=shown["taken_over"],
        notes=shown["notes"],
    )
