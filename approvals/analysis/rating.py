"""The risk of a rollback: what is undone, what undoing it does, and what is known about the live data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from approvals.analysis import matrix
from approvals.analysis.hazards import hazard
from approvals.analysis.model import (
    Analysis,
    AutomaticCheck,
    Destroyed,
    Facts,
    Plan,
    Rating,
    Reason,
    Risk,
    Statement,
)

# Hazards about the data in `Statement.destroys`, which live facts can lower.
_LOSES = frozenset({"drop-table", "drop-column", "delete-all-rows"})
# Hazards that need existing rows: on a relation that the script itself has made they stop nobody.
_NEEDS_ROWS = frozenset(
    {"validate-foreign-key", "validate-check", "validate-not-null", "validate-later", "build-unique"}
    | {"validate-partition", "change-type", "convert-values", "rewrite-table", "create-index"}
    | {"update-rows", "delete-rows", "merge-rows", "update-named-rows", "delete-named-rows"}
)


def rate(forward: Sequence[Analysis], plan: Plan, facts: Facts) -> Rating:
    """The highest of: the matrix row of each change that is undone, the hazard of each step of the script.

    Live facts decide about data that goes: populated or unknown is CRITICAL, exactly nothing is HIGH (and
    asserted again by an automatic check). What the script itself made is no data.
    """
    found = [*_undone(forward), *_done(plan, facts)]
    unique = sorted(dict.fromkeys(found), key=lambda reason: -reason.risk)
    return Rating(max((reason.risk for reason in unique), default=Risk.MINIMAL), tuple(unique))


def automatic_checks(plan: Plan, facts: Facts) -> tuple[AutomaticCheck, ...]:
    """Assertions that what counts as empty still is: under the locks, right before the script."""
    return tuple(_still_empty(gone) for gone in plan.destroys if is_empty(gone, facts))


def is_empty(gone: Destroyed, facts: Facts) -> bool:
    """Whether it was counted, not estimated, and nothing was there."""
    if facts.rows.get(gone.relation) == 0 and gone.relation in facts.exact:
        return True
    return gone.column is not None and facts.values.get(gone.name) == 0 and gone.name in facts.exact


def _still_empty(gone: Destroyed) -> AutomaticCheck:
    condition = f" WHERE {gone.column} IS NOT NULL" if gone.column else ""
    sql = f"SELECT count(*) FROM (SELECT FROM {gone.relation}{condition} LIMIT 1) AS found"  # noqa: S608
    return AutomaticCheck(f"{gone.name} is still empty", sql, "0")


def _undone(forward: Sequence[Analysis]) -> Iterator[Reason]:
    """One reason per kind of change that is undone, and one per file that could not be read."""
    counts: dict[str, int] = {}
    for analysis in forward:
        if analysis.errors:
            first = analysis.errors[0]
            text = f"Line {first.line} cannot be read: {first.message} So nobody can say what is undone."
            yield Reason(Risk.CRITICAL, analysis.name or "the migration", text)
        for statement in analysis.statements:
            counts[statement.change] = counts.get(statement.change, 0) + 1
    for change, count in counts.items():
        row = matrix.row(change)
        text = f"Undoes {count} × {change}. The matrix says: {row.action}; data loss: {row.data_loss}."
        yield Reason(row.risk, change, text)


def _done(plan: Plan, facts: Facts) -> Iterator[Reason]:
    """One reason per hazard of each step."""
    if plan.problems:
        yield Reason(Risk.CRITICAL, "the script", f"It is refused: {plan.problems[0].message}")
    if plan.replica_role:
        danger = hazard("replica-role")
        yield Reason(danger.risk, "session_replication_role", danger.reason)
    for statement, made in plan.with_made():
        for each in statement.hazards:
            if each in _LOSES:
                yield from (_lost(gone, made, facts) for gone in statement.destroys)
            else:
                yield _hurt(statement, each, made)


def _hurt(statement: Statement, id: str, made: frozenset[str]) -> Reason:
    danger = hazard(id)
    subject = statement.relation or statement.kind
    if id in _NEEDS_ROWS and statement.relation in made:
        return Reason(min(danger.risk, Risk.LOW), subject, "The script itself has made this relation.")
    return Reason(danger.risk, subject, f"Line {statement.line}, {statement.kind}: {danger.reason}")


def _lost(gone: Destroyed, made: frozenset[str], facts: Facts) -> Reason:
    if gone.relation in made:
        return Reason(Risk.LOW, gone.name, "The script itself has made it, so no data of anybody goes.")
    what = "rows" if gone.column is None else "values"
    if is_empty(gone, facts):
        text = f"It goes; it was counted and holds 0 {what}, which is asserted again before the script runs."
        return Reason(Risk.HIGH, gone.name, text)
    count = (facts.rows if gone.column is None else facts.values).get(gone.name)
    if count is None:
        text = f"It goes with its {what}; nobody has counted them, so it counts as populated."
    else:
        about = "" if gone.name in facts.exact else "about "
        text = f"It goes with {about}{count:,} {what}."
    return Reason(Risk.CRITICAL, gone.name, text)
