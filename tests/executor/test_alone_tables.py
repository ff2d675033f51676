"""VACUUM FULL and DETACH PARTITION CONCURRENTLY alone: done, taken back, killed half-way, and found again."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from executor.looks import looker
from executor.resolve import resolve_alone
from executor.spec import LoneFound, Outcome, RunSpec
from tests.executor.target import OWNER, Recording, Target, lone
from tests.executor.test_alone import back, only_alone, states
from tests.executor.test_resolve import wait_until, worker

FULL = "VACUUM FULL wallets"
DETACH = "ALTER TABLE events DETACH PARTITION events_1 CONCURRENTLY"
FINALIZE = "ALTER TABLE public.events DETACH PARTITION public.events_1 FINALIZE"
FILE = "SELECT pg_relation_filenode('wallets')"
ROWS = "SELECT sum(hashtextextended(w::text, 0))::text FROM wallets w"
PENDING = "SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = 'events_1'::regclass"


@pytest.fixture
def partitioned(target: Target) -> Target:
    target.do(
        "CREATE TABLE events (at int NOT NULL, what text) PARTITION BY RANGE (at)",
        "CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (100)",
        "INSERT INTO events SELECT n, 'x' FROM generate_series(0, 9) n",
        f"ALTER TABLE events OWNER TO {OWNER}",
        f"ALTER TABLE events_1 OWNER TO {OWNER}",
    )
    return target


@contextmanager
def reading(target: Target, table: str) -> Iterator[psycopg.Connection[Any]]:
    """Somebody has read the table, and their transaction is open."""
    with target.superuser() as connection:
        connection.execute("BEGIN")
        connection.execute(f"SELECT count(*) FROM {table}")  # type: ignore[call-overload]
        yield connection
        connection.execute("ROLLBACK")


def remembered(target: Target, ran: RunSpec) -> dict[int, Mapping[str, Any]]:
    """What would be on record before each step."""
    with target.superuser() as connection:
        return {each.position: looker(each.sql).before(connection) for each in ran.alone}


def killed(target: Target, ran: RunSpec, directory: Path, waiting: str) -> list[LoneFound]:
    """What is found of the steps after kill -9 of the worker, as soon as its session `waiting`."""
    before = remembered(target, ran)
    with worker(target, ran, directory):
        session = f"application_name LIKE '%{ran.execution_id}'"
        wait_until(target, f"EXISTS (SELECT FROM pg_stat_activity WHERE {session} AND {waiting})")
    return resolve_alone(target.executor, ran, None, before)


def test_a_full_vacuum_gives_the_table_another_file_and_keeps_its_rows(target: Target) -> None:
    file, rows, recorder = target.value(FILE), target.value(ROWS), Recording()
    result = target.run(only_alone(*lone(FULL)), recorder)
    assert result.outcome is Outcome.SUCCEEDED, result.sentence
    assert states(recorder) == [(1, "done")]
    assert recorder.told("claimed")[0][2] == ()
    assert target.value(FILE) != file
    assert target.value(ROWS) == rows


def test_a_full_vacuum_waits_for_its_lock_in_short_tries_and_then_changes_nothing(target: Target) -> None:
    file = target.value(FILE)
    with reading(target, "wallets"):
        ran = only_alone(*lone(FULL), limits={"lock_phase_s": 0.5, "lock_timeout_ms": 100})
        result = target.run(ran)
        assert target.value(ROWS)  # nobody queues up behind it
    assert result.outcome is Outcome.NO_EFFECT
    assert "lock timeout" in result.sentence
    assert target.value(FILE) == file


def test_kill_9_within_a_full_vacuum_leaves_the_file_that_was(target: Target, tmp_path: Path) -> None:
    made = "CREATE OR REPLACE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS"
    target.do(f"{made} 'BEGIN RETURN $1; END'", "CREATE TABLE few AS SELECT generate_series(1, 100) AS id")
    target.do(f"ALTER TABLE few OWNER TO {OWNER}", "CREATE INDEX ON few (slow(id))")
    target.do(f"{made} 'BEGIN PERFORM pg_sleep(0.2); RETURN $1; END'")
    file = target.value("SELECT pg_relation_filenode('few')")
    ran = only_alone(*lone("VACUUM FULL few"))
    (found,) = killed(target, ran, tmp_path, "wait_event = 'PgSleep' AND query LIKE 'VACUUM FULL%'")
    assert (found.state.value, found.leftover) == ("failed", ())
    assert "has the file that it had" in found.says
    assert target.value("SELECT pg_relation_filenode('few')") == file


SLOW = "CREATE OR REPLACE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS"


@pytest.fixture
def of_three(target: Target) -> Target:
    """A table of three partitions; whoever rewrites the second one sleeps in its index."""
    target.do(f"{SLOW} 'BEGIN RETURN $1; END'", "CREATE TABLE many (id int NOT NULL) PARTITION BY RANGE (id)")
    for number in (1, 2, 3):
        begins = (number - 1) * 100
        bounds = f"FOR VALUES FROM ({begins}) TO ({begins + 100})"
        target.do(
            f"CREATE TABLE many_{number} PARTITION OF many {bounds}",
            f"ALTER TABLE many_{number} OWNER TO {OWNER}",
        )
    target.do(
        f"ALTER TABLE many OWNER TO {OWNER}",
        "INSERT INTO many SELECT generate_series(0, 299)",
        "CREATE INDEX ON many_2 (slow(id))",
    )
    return target


def files(target: Target) -> list[int]:
    """The files of the three partitions."""
    return [target.value(f"SELECT pg_relation_filenode('many_{number}')") for number in (1, 2, 3)]


def test_kill_9_between_partitions_says_which_are_rewritten_and_goes_on_with_the_others(
    of_three: Target, tmp_path: Path
) -> None:
    of_three.do(f"{SLOW} 'BEGIN PERFORM pg_sleep(0.2); RETURN $1; END'")
    was, ran = files(of_three), only_alone(*lone("VACUUM (FULL, ANALYZE) many"))
    before = remembered(of_three, ran)
    (found,) = killed(of_three, ran, tmp_path, "wait_event = 'PgSleep' AND query LIKE 'VACUUM (FULL%'")
    half = files(of_three)
    assert [now != then for now, then in zip(half, was, strict=True)] == [True, False, False]
    assert found.says.startswith("1 of 3 partitions of many were rewritten, each whole: public.many_1. ")
    assert "Not rewritten: public.many_2, public.many_3. All rows are the same." in found.says
    assert found.state.value == "failed"
    assert found.leftover == tuple(f"VACUUM (FULL, ANALYZE) public.many_{number}" for number in (2, 3))

    of_three.do(f"{SLOW} 'BEGIN RETURN $1; END'")
    (step,) = ran.before
    rest = replace(step, claim=uuid.uuid4(), before=before[1], statements=found.leftover)
    late = replace(ran, execution_id=uuid.uuid4(), items=(), before=(rest,), after=(), transaction=False)
    result = of_three.run(late, recorder := Recording())
    assert result.outcome is Outcome.SUCCEEDED, result.sentence
    assert states(recorder) == [(1, "done")]
    assert [now == then for now, then in zip(files(of_three), half, strict=True)] == [True, False, False]
    assert of_three.value("SELECT count(*) FROM many") == 300


def test_tries_for_a_lock_rewrite_no_partition_twice(of_three: Target) -> None:
    ran = only_alone(*lone("VACUUM FULL many"), limits={"lock_phase_s": 60.0, "lock_timeout_ms": 50})
    was, session = files(of_three), f"application_name LIKE '%{ran.execution_id}'"
    with ThreadPoolExecutor(1) as pool:
        with reading(of_three, "many_2"):
            running = pool.submit(of_three.run, ran)
            again = f"{session} AND query LIKE '%many_2%'"
            wait_until(of_three, f"EXISTS (SELECT FROM pg_stat_activity WHERE {again})")
            first, *others = files(of_three)
            assert (first != was[0], others) == (True, was[1:])
        result = running.result()
    assert result.outcome is Outcome.SUCCEEDED, result.sentence
    now = files(of_three)
    assert (now[0], now[1] != was[1], now[2] != was[2]) == (first, True, True)


def test_a_partition_is_detached_alone_and_attached_again(partitioned: Target) -> None:
    ran, recorder = only_alone(*lone(DETACH)), Recording()
    result = partitioned.run(ran, recorder)
    assert result.outcome is Outcome.SUCCEEDED, result.sentence
    assert partitioned.value("SELECT relispartition FROM pg_class WHERE relname = 'events_1'") is False
    assert partitioned.value("SELECT count(*) FROM events") == 0

    undone = partitioned.run(back(ran, recorder), after := Recording())
    assert undone.outcome is Outcome.SUCCEEDED, undone.sentence
    assert states(after) == [(1, "undone")]
    assert partitioned.value("SELECT count(*) FROM events") == 10
    assert partitioned.value(PENDING) is False
    assert "stays: it says what the bounds say" in after.told("settled")[0][0].says


@pytest.mark.parametrize("goes_on", [True, False])
def test_kill_9_within_a_detach_leaves_it_half_detached_and_either_way_leads_out(
    partitioned: Target, tmp_path: Path, goes_on: bool
) -> None:
    ran = only_alone(*lone(DETACH), limits={"lock_phase_s": 60.0})
    before = remembered(partitioned, ran)
    with reading(partitioned, "events"):
        (found,) = killed(partitioned, ran, tmp_path, "wait_event_type = 'Lock' AND query LIKE '%DETACH%'")
        assert partitioned.value(PENDING) is True
        assert (found.state.value, found.leftover) == ("failed", (FINALIZE,))
        assert "half detached: queries of public.events leave its rows out" in found.says
    (step,) = ran.before
    attach = looker(DETACH).undo(before[1])
    again = replace(
        step,
        claim=uuid.uuid4(),
        back=not goes_on,
        before=before[1],
        statements=found.leftover if goes_on else found.leftover + attach,
    )
    late = replace(ran, execution_id=uuid.uuid4(), items=(), before=(again,), after=(), transaction=False)
    result = partitioned.run(late, recorder := Recording())
    assert result.outcome is Outcome.SUCCEEDED, result.sentence
    assert states(recorder) == [(1, "done" if goes_on else "undone")]
    assert partitioned.value("SELECT count(*) FROM events") == (0 if goes_on else 10)
