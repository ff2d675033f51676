"""What the analysis makes of a script's text, stored or as it is being typed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from approvals import analysis, filling
from approvals.models import Migration

from .statements import Line, back_lines

# A text that is being typed is looked at up to this length; a stored one at any.
LONGEST = 50_000


@dataclass(frozen=True)
class PlanView:
    """The risk with its reasons, the steps, what is refused and where. `split` is the text as it could be
    where statements between BEGIN and COMMIT refuse a transaction. `why_not` stands in for all of it."""

    risk: str = ""
    reasons: list[dict[str, Any]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    problems: list[dict[str, Any]] = field(default_factory=list)
    taken_over: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    split: str = ""
    why_not: str = ""
    empty: bool = False


def read(migration: Migration, sql: str) -> PlanView:
    """Read a text as the script of this migration. Rated without facts: every table counts as populated."""
    if not sql.strip():
        return PlanView(empty=True)
    sql = sql.replace("\r\n", "\n")
    plan, shown = analysis.plan_script(filling.example_of(migration, sql)), filling.plan_text(migration, sql)
    revision = migration.revisions.order_by("-number").first()
    forward = [analysis.analyze(revision.sql, name=revision.path)] if revision else []
    rated = analysis.rate(forward, plan, analysis.Facts())
    reasons = sorted(rated.reasons, key=lambda each: -each.risk)
    return PlanView(
        risk="" if shown["problems"] else rated.risk.name,
        reasons=[] if shown["problems"] else analysis.as_json(reasons),
        lines=back_lines(shown),
        problems=shown["problems"],
        taken_over=shown["taken_over"],
        notes=shown["notes"],
        split=analysis.split_script(sql),
    )
