"""Does what an execution left partly done still stand as it was recorded? Asked before anybody goes on.

Steps that are on record as done are not sent again, and those that are not are not taken back. So a standby
that was promoted without them, or somebody's own psql, must be noticed before, never after.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from approvals import halfway
from approvals.analysis.alone import Setting, ValueAdded, read_alone
from approvals.models import Execution, ExecutionStep
from executor import marker
from executor.alone import become
from executor.connect import Connection, identity
from executor.looking import Standing
from executor.looks import looker
from executor.obstacles import Point
from executor.spec import RunSpec

TITLE = "What was done stands as it was left"
ADVICE = (
    "It does not stand as it was left, and nobody here knows why, so neither way is sent. Look at the "
    "target, put it right by hand, and have it called settled."
)


def points(connection: Connection, execution: Execution, spec: RunSpec) -> Iterator[Point]:
    """How the target agrees with what is recorded of this partly done execution and those before it.

    `connection` is the executor's login, in no transaction; its role and settings are others afterwards.
    Raises psycopg.Error.
    """
    standing = halfway.stands(execution)
    differs = [*_transaction(connection, execution), *_steps(connection, spec, standing)]
    if differs:
        yield Point("left", TITLE, "stop", ADVICE, tuple(differs))
        return
    yield Point("left", TITLE, "go", f"The target was asked about {_counted(standing)}.")
    if moved := _moved(connection, execution):
        yield Point("timeline", "It is the server that it was", "look", moved)


def _counted(standing: Iterable[halfway.Stand]) -> str:
    count = len(list(_in_question(standing)))
    return f"{count} {'step' if count == 1 else 'steps'}"


def _in_question(standing: Iterable[halfway.Stand]) -> Iterator[halfway.Stand]:
    """Of several steps about one thing the last that is in place, or else the first: its record says how the
    thing stands."""
    last: dict[object, halfway.Stand] = {}
    for stand in standing:
        if stand.step.how != ExecutionStep.How.ALONE or stand.in_place is None or stand.before is None:
            continue
        if looker(stand.step.sql).repeatable:
            continue
        subject = _subject(stand)
        if subject not in last or stand.in_place:
            last[subject] = stand
    yield from last.values()


def _subject(stand: halfway.Stand) -> object:
    about = read_alone(stand.step.sql)
    if isinstance(about, Setting):
        return "setting", about.name
    if isinstance(about, ValueAdded):
        return "value", about.type, about.value
    return "relation", (stand.before or {}).get("index") or stand.step.sql


def _steps(connection: Connection, spec: RunSpec, standing: Iterable[halfway.Stand]) -> Iterator[str]:
    for stand in _in_question(standing):
        asks, before = looker(stand.step.sql), stand.before or {}
        become(connection, spec, asks)
        look = asks.look(connection, before)
        fits = {Standing.DONE} if stand.in_place else {Standing.BEFORE, Standing.BROKEN}
        if look.standing in fits or (look.standing is Standing.DONE and asks.was_so(before)):
            continue
        recorded = "in place" if stand.in_place else "not in place"
        yield f"Step {stand.step.position} is {recorded} by our record. {look.says}"


def _transaction(connection: Connection, execution: Execution) -> Iterator[str]:
    """Where it was committed its marker is the truth."""
    connection.execute("RESET ROLE")
    for each in halfway.chain(execution):
        if halfway.COMMITTED not in each.marks:
            continue
        row = marker.read(connection, each.pk)
        if row is None or row.kind != "claim":
            yield f"The transaction of {each} is committed by our record, and its marker is not here."


def _moved(connection: Connection, execution: Execution) -> str:
    now = identity(connection).timeline
    known = [each.timeline for each in halfway.chain(execution) if each.timeline is not None]
    if not known or known[-1] == now:
        return ""
    return f"There was a failover since: timeline {now}, then {known[-1]}. What was done was not lost."
