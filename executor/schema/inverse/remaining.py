"""What a way back leaves undone, in sentences: the causes first, and what hangs on them once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from executor.schema.difference import Change, Difference
from executor.schema.inverse import options as choices
from executor.schema.inverse.chosen import proposal, retyped
from executor.schema.inverse.family import Context
from executor.schema.inverse.live import OF_DATA, Failure, Run
from executor.schema.inverse.options import Choice, Options
from executor.schema.names import dotted
from executor.schema.objects import Ref

NO_VALUE = "23502"
DATA_EXCEPTION = "22"


def gaps(found: Difference, run: Run, context: Context, asked: Iterable[Choice]) -> list[str]:
    """What stays, and why: first what nobody answered though rows needed it. `asked` are the choices. No gap
    is what was left on purpose."""
    left = list(_left(found, context))
    failures = run.refusals if left else []
    of_values = [failure for failure in failures if failure.sqlstate[:2] in OF_DATA]
    stuck = _not_written_anew(of_values, context)
    told = [text for ref, text in left if not _hangs_on(ref, stuck, context)]
    told += [f"not written anew: table {dotted(table.path)}, and what hangs on it stays" for table in stuck]
    others = [
        str(failure)
        for failure in failures
        if failure not in of_values and not _hangs_on(failure.action.ref, stuck, context)
    ]
    questions = [*_unanswered(of_values, asked), *_do_not_fit(of_values, context)]
    return [*context.refused, *questions, *map(str, of_values), *told, *others]


def _unanswered(of_values: list[Failure], asked: Iterable[Choice]) -> list[str]:
    """Columns for which no value was chosen, in tables where rows lacked one."""
    tables = {dotted(failure.action.ref.path[:2]) for failure in of_values if failure.sqlstate == NO_VALUE}
    waiting = (choice for choice in asked if choice.taken == choices.ASK)
    return [
        f"column {choice.subject} {choice.about}; no value was chosen"
        for choice in waiting
        if choice.subject.rpartition(".")[0] in tables
    ]


def _do_not_fit(of_values: list[Failure], context: Context) -> Iterator[str]:
    """Columns with values that their type of before does not hold, and for which nothing was chosen."""
    refs = {failure.action.ref for failure in of_values if failure.sqlstate.startswith(DATA_EXCEPTION)}
    for column, _ in retyped(context):
        if column.ref not in context.conversions and {column.ref, Ref("table", column.ref.relation)} & refs:
            name = dotted(column.ref.path)
            yield (
                f"column {name} has values that its former type, {column['type']}, does"
                f" not hold; choose what becomes of them, as in: {name} = {proposal(column, context)}"
            )


def on_purpose(change: Change, options: Options) -> bool:
    """Whether it is an enum whose new values were chosen to stay."""
    labels = change.ref.kind == "type" and change.attributes.keys() == {"labels"}
    return labels and options.enum_value == choices.LEAVE


def _left(found: Difference, context: Context) -> Iterator[tuple[Ref, str]]:
    for ref in found.created:
        yield ref, f"left over: {ref}"
    for ref in found.dropped:
        yield ref, f"not given back: {ref}"
    for change in found.changed:
        if not on_purpose(change, context.options):
            yield change.ref, f"not changed back: {change}"


def _not_written_anew(of_values: list[Failure], context: Context) -> list[Ref]:
    """Tables whose rows did not fit, so that what was set aside is still there."""
    failed = {failure.action.ref for failure in of_values if failure.action.verb == "create"}
    return sorted(ref for ref in failed if ref.kind == "table" and ref in context.replaced)


def _hangs_on(ref: Ref, tables: list[Ref], context: Context) -> bool:
    """Whether an object is one of the tables, in either place, or part of one."""
    paths = {path for table in tables for path in (table.path, context.replaced[table].path)}
    if ref.kind in ("index", "statistics", "sequence"):
        owners = {
            need.path[:2] for there in (context.now, context.before) for need in there.needs.get(ref, ())
        }
        return bool(owners & paths)
    return ref.path[:2] in paths
