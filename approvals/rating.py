"""The risk of a rollback: what the analysis says of its files, with the facts read from the target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.utils.translation import gettext as _

from . import analysis, digests, filling
from .models import Evidence, RollbackItem, RollbackRequest

GOES = "goes"
"""Under which the facts of a target hold what goes, as a worker counted it (see `goes`)."""


@dataclass(frozen=True)
class Rated:
    """The rating of a rollback and the checks that the system adds because the rating rests on them."""

    risk: analysis.Risk
    reasons: list[dict[str, Any]]
    automatic_checks: list[dict[str, Any]]


def rate(
    rollback: RollbackRequest, facts: Evidence | None, items: Iterable[RollbackItem] | None = None
) -> Rated:
    """Rate every item and take the highest; without facts every table counts as populated. `items` (of
    `digests.items_of`) spares reading them.

    CRITICAL without items, and for an item without a script.
    """
    known = facts_of(facts)
    ratings: list[analysis.Rating] = []
    checks: list[dict[str, Any]] = []
    for item in digests.items_of(rollback) if items is None else items:
        if item.script is None:
            ratings.append(_unknown(str(item.migration)))
            continue
        forward = _forward(item.revision.sql, item.revision.path)
        plan = analysis.plan_script(filling.sql_of(item))
        ratings.append(analysis.rate([forward], plan, known))
        checks += [
            {"item": item.position} | analysis.as_json(c) for c in analysis.automatic_checks(plan, known)
        ]
    ratings += _along(facts)
    risk = max((rating.risk for rating in ratings), default=analysis.Risk.CRITICAL)
    reasons = sorted((r for rating in ratings for r in rating.reasons), key=lambda reason: -reason.risk)
    return Rated(risk, analysis.as_json(reasons), checks)


def _along(facts: Evidence | None) -> Iterator[analysis.Rating]:
    """Rows that a statement does not name go with those that it deletes or changes: its text does not say."""
    found = facts.data.get(GOES, ()) if facts is not None and facts.holds else ()
    for each in found:
        if each.get("along") and each["kind"] in ("rows", "values") and each["count"] != 0:
            number = _("an unknown number") if each["count"] is None else f"{each['count']:,}"
            text = _("%(n)s rows go or change along with those that a statement names, by a foreign key.")
            high = analysis.Risk.HIGH
            yield analysis.Rating(high, (analysis.Reason(high, each["name"], text % {"n": number}),))


@lru_cache(maxsize=32)
def _forward(sql: str, path: str) -> analysis.Analysis:
    """Follows from the text alone, and is asked for each target of a fleet."""
    return analysis.analyze(sql, name=path)


def _unknown(subject: str) -> analysis.Rating:
    """What can't be read is as dangerous as anything can be."""
    critical = analysis.Risk.CRITICAL
    reason = analysis.Reason(
        critical, subject, _("There is no script yet, so nobody knows what it would do.")
    )
    return analysis.Rating(critical, (reason,))


def facts_of(evidence: Evidence | None) -> analysis.Facts:
    """What was counted, as the analysis wants it; nothing where the facts don't hold."""
    if evidence is None or not evidence.holds:
        return analysis.Facts()
    tables, values = evidence.data.get("tables", []), evidence.data.get("values", [])
    rows = {t["relation"]: t["rows"] for t in tables if t["rows"] is not None}
    exact = {t["relation"] for t in tables if t["exact"]}
    counted = {v["column"]: v["values"] for v in values if v["values"] is not None}
    exact |= {v["column"] for v in values if v["exact"]}
    return analysis.Facts(rows=rows, values=counted, exact=frozenset(exact))
