"""What data goes when the scripts of a rollback run, a phrase for each: as a worker has counted it on the
target, or as far as the scripts' text alone tells it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from . import analysis, filling, rating
from .analysis.losses import losses
from .models import Evidence, RollbackItem, RollbackRequest

KEY = rating.GOES
ROWS, HEARD, UNKNOWN = "rows", "heard", "unknown"


def phrases(
    rollback: RollbackRequest, facts: Evidence | None, items: Iterable[RollbackItem] | None = None
) -> list[str]:
    """Short, with the counted number: `transactions: 50,000 rows`. Who approves may have to type them.
    `items` (with their scripts) spares reading those of the rollback."""
    if facts is not None and facts.holds and KEY in facts.data:
        found = _counted(facts.data[KEY])
    else:
        items = rollback.items.select_related("script") if items is None else items
        found = _by_text(items, rating.facts_of(facts))
    return list(dict.fromkeys(found))


def _counted(entries: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    entries = list(entries)
    whole = {tuple(each["relation"]) for each in entries if each["kind"] == ROWS and each["whole"]}
    for each in entries:
        if each["kind"] == UNKNOWN:
            yield _phrase(each["name"] or " ".join(each["places"][:1]) or "the target", None, "rows")
        elif each["kind"] == ROWS:
            yield _phrase(each["name"], each["count"], "rows", exact=each["exact"])
        elif each["kind"] != HEARD and each["count"] != 0 and tuple(each["relation"]) not in whole:
            yield _phrase(each["name"], each["count"], "values", exact=each["exact"])


def _by_text(items: Iterable[RollbackItem], known: analysis.Facts) -> Iterator[str]:
    for item in items:
        if item.script is None:
            continue
        destroyed, written, hidden = _said(filling.sql_of(item))
        for gone in destroyed:
            numbers, unit = (known.rows, "rows") if gone.column is None else (known.values, "values")
            number, exact = numbers.get(gone.name), gone.name in known.exact
            if number != 0 or not exact:
                yield _phrase(gone.name, number, unit, exact=exact)
        for name in written:
            if known.rows.get(name) != 0 or name not in known.exact:
                yield _phrase(name, None, "rows")
        for line in hidden:
            yield _phrase(f"{item.migration}, line {line}", None, "rows")


@lru_cache(maxsize=256)
def _said(sql: str) -> tuple[tuple[analysis.Destroyed, ...], tuple[str, ...], tuple[int, ...]]:
    """By the text alone: what goes wholly, of which tables rows go or change, and the lines of statements
    that don't tell. Worked out once per process."""
    plan = analysis.plan_script(sql)
    found = losses(plan)
    whole = {gone.relation for gone in plan.destroys if gone.column is None}
    return (
        plan.destroys,
        tuple(name for name in found.written if name not in whole),
        tuple(each.line for each in found.hidden),
    )


def _phrase(name: str, number: int | None, unit: str, *, exact: bool = True) -> str:
    if number is None:
        return f"{name}: an unknown number of {unit}"
    return f"{name}: {'' if exact else 'about '}{number:,} {unit}"
