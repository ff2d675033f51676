"""A failover loses what was committed, or keeps it: the new primary tells, and that there was one is said."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import psycopg
import pytest

from executor.connect import Endpoint
from executor.resolve import Attempt, Verdict, resolve
from executor.spec import Outcome
from tests.executor.standby import reachable, standby_of
from tests.executor.target import DROP_STATUS, Target, spec
from waqiti_rollback.embedded import Cluster


def promote(target: Target, port: int) -> Endpoint:
    """Make the standby the primary; the target as it is there."""
    endpoint = replace(target.executor, port=port)
    reachable(endpoint)
    there = psycopg.conninfo.make_conninfo(target.superuser_dsn, port=port)
    with psycopg.connect(there, autocommit=True) as connection:
        assert connection.execute("SELECT pg_promote()").fetchone() == (True,)
    return endpoint


def spend_transactions(endpoint: Endpoint, target: Target, until: int) -> None:
    """Somebody else commits on the new primary until the transaction id of ours was used again."""
    there = psycopg.conninfo.make_conninfo(target.superuser_dsn, port=endpoint.port)
    with contextlib.closing(psycopg.connect(there, autocommit=True)) as connection:
        while True:
            row = connection.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
            assert row is not None
            if row[0] >= until:
                return


def test_what_a_failover_lost_did_not_happen_even_where_its_transaction_id_was_used_again(
    target: Target, production_cluster: Cluster
) -> None:
    with standby_of(production_cluster, cut_off=True) as port:
        attempt = spec(DROP_STATUS)
        result = target.run(attempt)
        assert result.outcome is Outcome.SUCCEEDED
        assert result.backend is not None
        endpoint = promote(target, port)
        spend_transactions(endpoint, target, result.backend.xid)
        found = resolve(endpoint, Attempt.of(attempt, result.backend))
        assert (
            found.evidence == "committed"
        )  # so says the status of the transaction id, of somebody else's work
        assert found.verdict is Verdict.NOT_COMMITTED
        assert found.timeline_changed
        assert "timeline" in found.sentence
    assert target.marker_of(attempt) == "claim"


@pytest.mark.parametrize("committed", [True, False])
def test_what_a_failover_kept_is_told_by_the_new_primary(
    target: Target, production_cluster: Cluster, committed: bool
) -> None:
    attempt = spec(DROP_STATUS)
    backend = target.run(attempt).backend if committed else None
    with standby_of(production_cluster, cut_off=True) as port:
        found = resolve(promote(target, port), Attempt.of(attempt, backend))
        assert found.verdict is (Verdict.COMMITTED if committed else Verdict.NOT_COMMITTED)
        assert found.timeline_changed is committed


def test_a_frozen_transaction_id_says_nothing_and_the_marker_decides(target: Target) -> None:
    attempt = spec(DROP_STATUS)
    result = target.run(attempt)
    assert result.backend is not None
    old = replace(result.backend, xid=3)
    # Of transactions as old as this the server remembers nothing; the marker has its own to compare with.
    found = resolve(target.executor, Attempt.of(attempt, old))
    assert found.verdict is Verdict.UNKNOWN
    target.do("UPDATE waqiti_rollback.execution_marker SET xid = '3'")
    found = resolve(target.executor, Attempt.of(attempt, old))
    assert found.verdict is Verdict.COMMITTED, found.sentence
