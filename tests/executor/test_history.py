"""Only the history row that was approved goes, and only if it is there, alone, and the newest."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from executor.spec import HistoryPin, Outcome
from tests.executor.target import DROP_STATUS, PIN_2, PIN_3, Recording, Target, items, spec


@pytest.mark.parametrize(
    ("pin", "words"),
    [
        (replace(PIN_3, installed_rank=4), "no row with rank 4"),
        (replace(PIN_3, checksum=7), "checksum is -333, approved was 7"),
        (replace(PIN_3, checksum=None), "checksum is -333, approved was None"),
        (replace(PIN_3, type="JDBC"), "type is SQL, approved was JDBC"),
        (replace(PIN_3, script="V3__other.sql"), "script is V3__status.sql"),
        (replace(PIN_3, success=False), "success is True"),
    ],
)
def test_another_row_than_the_approved_one_is_refused(target: Target, pin: HistoryPin, words: str) -> None:
    before = target.fingerprint()
    recorder = Recording()
    result = target.run(spec(DROP_STATUS, pin=pin), recorder)
    assert result.outcome is Outcome.ROLLED_BACK
    assert words in result.sentence
    assert not recorder.told("step_started")
    assert target.fingerprint() == before


def test_a_row_without_checksum_is_matched_as_such(target: Target) -> None:
    target.do("UPDATE flyway_schema_history SET checksum = NULL WHERE version = '3'")
    result = target.run(spec(DROP_STATUS, pin=replace(PIN_3, checksum=None)))
    assert result.outcome is Outcome.SUCCEEDED, result.sentence


def test_a_missing_row_is_refused(target: Target) -> None:
    target.do("DELETE FROM flyway_schema_history WHERE version = '3'")
    result = target.run(spec(DROP_STATUS))
    assert result.outcome is Outcome.ROLLED_BACK
    assert "any more" in result.sentence


def test_a_doubled_row_is_refused_even_where_the_table_has_no_key(target: Target) -> None:
    target.do(
        "ALTER TABLE flyway_schema_history DROP CONSTRAINT flyway_schema_history_pk",
        "INSERT INTO flyway_schema_history SELECT * FROM flyway_schema_history WHERE version = '3'",
    )
    before = target.fingerprint()
    result = target.run(spec(DROP_STATUS))
    assert result.outcome is Outcome.ROLLED_BACK
    assert "2 times" in result.sentence
    assert target.fingerprint() == before


def test_a_second_standing_row_of_the_version_is_refused(target: Target) -> None:
    target.do(
        "INSERT INTO flyway_schema_history VALUES (4, '3.0', '', 'SQL', 'V3.0__.sql', 1, 'x', now(), 1, true)"
    )
    result = target.run(spec(DROP_STATUS))
    assert result.outcome is Outcome.ROLLED_BACK
    assert "second time" in result.sentence


def test_a_migration_above_that_is_not_in_the_request_is_refused(target: Target) -> None:
    before = target.fingerprint()
    result = target.run(spec(("DROP INDEX wallets_by_user", "DROP INDEX"), pin=PIN_2))
    assert result.outcome is Outcome.ROLLED_BACK
    assert "not part of it: 3" in result.sentence
    assert target.fingerprint() == before


def test_two_migrations_go_together_newest_first(target: Target) -> None:
    both = items((PIN_3, (DROP_STATUS,), ()), (PIN_2, (("DROP INDEX wallets_by_user", "DROP INDEX"),), ()))
    assert target.run(replace(spec(DROP_STATUS), items=both)).outcome is Outcome.SUCCEEDED
    assert target.versions() == ["1"]


def test_a_history_elsewhere_under_another_name(target: Target) -> None:
    target.do(
        'CREATE SCHEMA "Flyway" AUTHORIZATION wallet_owner',
        'ALTER TABLE flyway_schema_history SET SCHEMA "Flyway"',
        'ALTER TABLE "Flyway".flyway_schema_history RENAME TO "schema version"',
        'GRANT USAGE ON SCHEMA "Flyway" TO waqiti_rollback_executor',
    )
    run = spec(DROP_STATUS, history_schema="Flyway", history_table="schema version")
    assert target.run(run).outcome is Outcome.SUCCEEDED
    assert target.value('SELECT count(*) FROM "Flyway"."schema version"') == 2


def test_a_target_without_history_has_no_effect(target: Target) -> None:
    target.do("DROP TABLE flyway_schema_history")
    result = target.run(spec(DROP_STATUS))
    assert result.outcome is Outcome.NO_EFFECT
    assert "flyway_schema_history" in result.sentence


def test_nobody_writes_to_the_history_while_the_script_runs(target: Target) -> None:
    refused: list[str | None] = []

    def insert(_position: int) -> None:
        try:
            target.do("SET lock_timeout = '100ms'", "DELETE FROM flyway_schema_history")
        except psycopg.Error as error:
            refused.append(error.sqlstate)

    assert target.run(spec(DROP_STATUS), Recording(on={"step_started": insert})).outcome is Outcome.SUCCEEDED
    assert refused == ["55P03"]
