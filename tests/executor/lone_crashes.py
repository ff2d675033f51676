"""Plans with steps that run alone, for whoever kills them: what is true of each step, read from the catalog.

Nothing in here asks `executor.looks`: it says what the answers must be, not how they are found.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from executor.resolve import Attempt, Verdict, resolve, resolve_alone
from executor.run import run
from executor.spec import LoneFound, RunSpec, StepState
from tests.executor.crashes import Fate
from tests.executor.target import (
    COLUMN_AND_ROW_AGAIN,
    DROP_STATUS,
    STATUS_IS_GONE,
    Recording,
    Target,
    check,
    lone,
    spec,
)

DROP, BUILD, RENEW, BUILD_LATE = (
    "DROP INDEX CONCURRENTLY wallets_by_user",
    "CREATE INDEX CONCURRENTLY wallets_by_balance ON wallets (balance)",
    "REINDEX INDEX CONCURRENTLY wallets_pkey",
    "CREATE INDEX CONCURRENTLY users_by_email ON users (email)",
)
BEFORE = (DROP, BUILD, RENEW)
INDEX_OF = {1: "wallets_by_user", 2: "wallets_by_balance", 5: "users_by_email"}
TRANSACTION, LATE = 4, 5
STAND_AGAIN = (
    "DROP INDEX IF EXISTS wallets_by_balance, users_by_email, wallets_pkey_ccnew, wallets_pkey_ccold",
    "CREATE INDEX IF NOT EXISTS wallets_by_user ON wallets (user_id)",
    "REINDEX INDEX wallets_by_user",  # it may be there and invalid
)
_INVALID = """SELECT string_agg(indexrelid::regclass::text, ',' ORDER BY indexrelid) FROM pg_index
               WHERE NOT indisvalid AND indexrelid::regclass::text LIKE %s"""


def lone_attempt() -> RunSpec:
    """An index goes, one is built and one is renewed; then the transaction; then one is built."""
    made = spec(
        DROP_STATUS,
        checks=[check(*STATUS_IS_GONE)],
        before=lone(*BEFORE),
        after=lone(BUILD_LATE, first=LATE),
    )
    item = made.items[0]
    numbered = replace(item, steps=(replace(item.steps[0], position=TRANSACTION),))
    return replace(made, items=(numbered,))


def valid(target: Target, position: int) -> bool | None:
    """Is the step's index valid; None where it is not there."""
    query = "SELECT indisvalid AND indisready FROM pg_index WHERE indexrelid = to_regclass(%s)"
    with target.superuser() as connection:
        row = connection.execute(query, (INDEX_OF[position],)).fetchone()
    return None if row is None else bool(row[0])


def begun(target: Target, tried: RunSpec) -> set[int]:
    """The steps whose claim is on the target."""
    rows = target.rows("SELECT execution_id, kind FROM waqiti_rollback.execution_marker")
    claims = {row["execution_id"] for row in rows if row["kind"] == "claim"}
    return {step.position for step in tried.alone if step.claim in claims}


def wrong_of(target: Target, tried: RunSpec, found: LoneFound, answered: frozenset[int]) -> str:
    """What the target says against the answer about one step; empty where they agree."""
    position, state = found.position, found.state
    if (state is StepState.PENDING) is (position in begun(target, tried)):
        return f"step {position} is {state} and has {'a' if position in begun(target, tried) else 'no'} claim"
    if position not in INDEX_OF:  # renewed: only its answer tells that it was, a rest that it was not
        rest = target.value(_INVALID, "wallets_pkey_cc%")
        told = (state is StepState.DONE) is (position in answered)
        return "" if told and bool(found.leftover) is bool(rest) else f"step {position} is {state}, {rest}"
    before, after = (True, None) if position == 1 else (None, True)
    now = valid(target, position)
    right = {
        StepState.PENDING: now is before,
        StepState.DONE: now is after,
        StepState.FAILED: now is False if found.leftover else now is before,
    }
    return "" if right.get(state, False) else f"step {position} is {state}, its index {now}, {found.says}"


def answers(target: Target, tried: RunSpec, fate: Fate) -> tuple[list[LoneFound], list[str]]:
    """Ask as the portal does, whether the transaction committed and how the steps stand, and what of that is
    wrong."""
    verdict = resolve(target.executor, Attempt.of(tried, None)).verdict
    found = resolve_alone(target.executor, tried, None, fate.before, answered=fate.answered)
    truth = target.value(*STATUS_IS_GONE[:1]) == 0
    wrong = [said for each in found if (said := wrong_of(target, tried, each, fate.answered))]
    if verdict is not (Verdict.COMMITTED if truth else Verdict.NOT_COMMITTED):
        wrong.append(f"{verdict}, truly {truth}")
    if truth != (target.versions() == ["1", "2"]) or truth != (target.marker_of(tried) == "claim"):
        wrong.append("schema, history row and marker do not say the same")
    states = [each.state for each in found]
    if not _in_order(states, committed=truth):
        wrong.append(f"not in order: {states}, committed {truth}")
    return found, wrong


def _in_order(states: list[StepState], *, committed: bool) -> bool:
    """Done as far as it came, at most one that failed, then only such as had not begun."""
    done = next((n for n, state in enumerate(states) if state is not StepState.DONE), len(states))
    rest = states[done:]
    if rest[:1] == [StepState.FAILED]:
        rest = rest[1:]
    return (done >= len(BEFORE) if committed else done <= len(BEFORE)) and set(rest) <= {StepState.PENDING}


def shape(target: Target) -> tuple[object, ...]:
    """What a late worker must not change."""
    return (*(valid(target, each) for each in INDEX_OF), target.versions(), target.value(_INVALID, "%"))


def settled_alone(target: Target, tried: RunSpec, fate: Fate) -> tuple[list[str], list[LoneFound]]:
    """Ask, and let a late worker come; what was wrong, and how the steps stood."""
    found, wrong = answers(target, tried, fate)
    before = shape(target)
    run(tried, target.executor, Recording())
    if shape(target) != before:
        wrong.append(f"a late worker changed {before} to {shape(target)}")
    return wrong, found


def stand_again(target: Target) -> None:
    """All as it was before the first attempt."""
    target.do(*STAND_AGAIN)
    if target.versions() == ["1", "2"]:
        target.do(*COLUMN_AND_ROW_AGAIN)


@contextlib.contextmanager
def writing(target: Target) -> Iterator[None]:
    """Somebody has written to wallets and not committed: what runs CONCURRENTLY waits for them."""
    with target.superuser() as connection:
        connection.execute("BEGIN")
        connection.execute("UPDATE wallets SET balance = balance WHERE id = 1")
        yield
        connection.execute("ROLLBACK")
