"""Random schemas with rows, random migrations: back to the same schema without a silent loss, or an honest
refusal. RANDOM_SCHEMAS sets how many are tried."""

from __future__ import annotations

import contextlib
import os
from collections import Counter

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from benchmarks.inverse import rows
from executor.schema.dump import EXACT, MODULO_ORDER, dump, verdict
from executor.schema.inverse import Inverse, Options, undo
from executor.schema.inverse.options import NEUTRAL
from executor.schema.loss import measure
from executor.schema.lost import HEARD, ROWS, Lost
from executor.schema.names import dotted
from executor.schema.objects import Snapshot
from executor.schema.shadow import Shadow
from executor.schema.snapshot import snapshot
from tests.executor.schema.changes import FIRST, LOG, ROLES, changes, since
from waqiti_rollback.embedded import Cluster

# The same few in every run of the suite, so that it says the same of the same code; with a number given,
# as many new ones: what they find becomes a case of its own.
SEARCHING = "RANDOM_SCHEMAS" in os.environ
EXAMPLES = int(os.environ.get("RANDOM_SCHEMAS", "12"))
LED_BACK = (EXACT, MODULO_ORDER)
"""The second where a column comes back behind others: its table can't be written anew, or need not be."""
OF_DATA = ("22", "23", "42804", "42846")
"""What a server says where values don't fit the former schema, or no conversion leads back."""
HONEST = (
    "partition_key", "parents", "form changed", "partition", "without its data", "needs type", "needs column",
)  # fmt: skip


@pytest.fixture(scope="module")
def server(scratch_cluster: Cluster) -> str:
    """A scratch server with the roles that the changes name."""
    dsn = scratch_cluster.superuser_dsn()
    with psycopg.connect(dsn, autocommit=True) as admin:
        for role in ROLES:
            if admin.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone() is None:
                admin.execute(f"CREATE ROLE {role}")
    return dsn


@settings(
    max_examples=EXAMPLES,
    derandomize=not SEARCHING,
    deadline=None,
    phases=[Phase.generate] if SEARCHING else list(Phase),
    database=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.function_scoped_fixture,
        HealthCheck.data_too_large,
    ],
)
@given(
    prior=changes(8),
    forward=changes(7),
    later=since(4),
    options=st.sampled_from([Options.exact(fill_default=NEUTRAL), Options(fill_default=NEUTRAL)]),
)
def test_back_to_the_same_schema_and_nothing_lost_in_silence(
    server: str, prior: list[str], forward: list[str], later: list[str], options: Options
) -> None:
    shadow = Shadow(server)
    try:
        shadow.apply(FIRST)
        for change in prior:
            _try(shadow, change)
        rows.populate(shadow.connection, snapshot(shadow.connection))
        migration = _that_applies(shadow, forward)
        if migration:
            _there_and_back(shadow, migration, later, options)
    finally:
        shadow.drop()


def _try(shadow: Shadow, change: str) -> None:
    try:
        shadow.apply(change)
    except psycopg.Error:
        shadow.settle()


def _that_applies(shadow: Shadow, changes: list[str]) -> str:
    """The changes that the schema takes, one after the other, as one file."""
    accepted = []
    shadow.connection.execute("BEGIN")
    for change in changes:
        shadow.connection.execute("SAVEPOINT one")
        try:
            shadow.connection.execute(change.encode())
            accepted.append(change)
        except psycopg.Error:
            shadow.connection.execute("ROLLBACK TO SAVEPOINT one")
    shadow.connection.execute("ROLLBACK")
    return ";\n".join(accepted)


def _there_and_back(shadow: Shadow, migration: str, later: list[str], options: Options) -> None:
    before, dumped = snapshot(shadow.connection), dump(shadow.dsn)
    first = rows.fingerprints(shadow.connection, before)
    shadow.apply(migration)
    rows.populate(shadow.connection, snapshot(shadow.connection))
    for change in later:
        _try(shadow, change)
    after = snapshot(shadow.connection)
    inverse = undo(shadow.connection, before, after, options, forward=migration)
    if inverse.gaps:
        event("refused")
        assert _honest(inverse), inverse.gaps
        return
    event("led back")
    losses = measure(shadow.connection, inverse.goes)
    announced = [loss.lost for loss in losses if loss.lost.ways or not loss.nothing]  # back in another column
    second, told = _without(shadow, after, announced), _told(shadow)
    shadow.apply(inverse.script)
    judged = verdict(dumped, dump(shadow.dsn))
    assert (judged.word, judged.word in LED_BACK) == (inverse.verdict, True), judged.difference
    back = snapshot(shadow.connection)
    prints = (first, second, rows.fingerprints(shadow.connection, back))
    known = [lost for lost in announced if not _counted(lost)]
    if len(known) < len(announced) and any(lost.kind == HEARD for lost in announced):
        known.append(Lost(ROWS, LOG))
        assert not told - _told(shadow)  # they may tell, and take nothing away
    unheard = {dotted(lost.relation) for lost in known if not lost.column}
    assert list(rows.lost(before, after, prints, unheard)) == []
    assert list(rows.unannounced(before, after, back, prints, known)) == []
    _again(shadow, migration)


def _counted(lost: Lost) -> bool:
    """Whether the announcement says which rows go, so that all others must be as they were. (In a circle of
    keys it says more.)"""
    return lost.kind == ROWS and bool(lost.condition) and not lost.condition.startswith("EXISTS ")


def _without(shadow: Shadow, after: Snapshot, announced: list[Lost]) -> rows.Prints:
    """Fingerprints of what must stay: all but the rows that were announced one by one."""
    run = shadow.connection.execute
    run("BEGIN")
    run("SET LOCAL session_replication_role = replica")
    going = [
        (
            dotted(lost.relation),
            run(f"SELECT ctid::text, tableoid FROM {dotted(lost.relation)} WHERE {lost.condition}"),
        )
        for lost in announced
        if _counted(lost)
    ]
    for table, found in [(table, found.fetchall()) for table, found in going]:
        for place, part in found:
            run(f"DELETE FROM {table} WHERE ctid = %s::tid AND tableoid = %s", [place, part])
    prints = rows.fingerprints(shadow.connection, after)
    run("ROLLBACK")
    return prints


def _told(shadow: Shadow) -> Counter[tuple[str]]:
    return Counter(shadow.connection.execute(f"SELECT what FROM {dotted(LOG)}").fetchall())


def _honest(inverse: Inverse) -> bool:
    """Whether a refusal has to do with rows that stand in the way, or with a change that is known to have no
    way back."""
    text = " ".join(inverse.gaps)
    return any(f"{code}" in text for code in OF_DATA) or any(reason in text for reason in HONEST)


def _again(shadow: Shadow, migration: str) -> None:
    with contextlib.suppress(psycopg.errors.IntegrityError, psycopg.errors.DataError):  # rows in the way
        shadow.apply(migration)
