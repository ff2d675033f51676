"""Only the history row that was approved is treated, and only if it is there, alone, and the newest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg
import pytest

from approvals.flyway.treatment import Treatment
from executor.spec import HistoryPin, Outcome, RunSpec
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


# The row kept, and a DELETE row behind it

MARKED = "SELECT * FROM flyway_schema_history WHERE type = 'DELETE' ORDER BY installed_rank"


def mark(**fields: Any) -> RunSpec:
    return replace(spec(DROP_STATUS), **{"history_treatment": Treatment.MARK} | fields)


def test_the_row_is_kept_and_marked_as_deleted(target: Target) -> None:
    (before,) = target.rows("SELECT * FROM flyway_schema_history WHERE version = '3'")
    result = target.run(mark())
    assert result.outcome is Outcome.SUCCEEDED, result.sentence
    assert "1 history row marked as deleted" in result.sentence
    assert target.rows("SELECT * FROM flyway_schema_history WHERE installed_rank = 3") == [before]
    (added,) = target.rows(MARKED)
    same = ("version", "description", "script", "checksum", "success")
    assert [added[name] for name in same] == [before[name] for name in same]
    assert (added["installed_rank"], added["installed_by"]) == (4, "waqiti_rollback_executor")
    assert (added["execution_time"], added["installed_on"] > before["installed_on"]) == (0, True)


def test_two_rows_are_marked_newest_first(target: Target) -> None:
    both = items((PIN_3, (DROP_STATUS,), ()), (PIN_2, (("DROP INDEX wallets_by_user", "DROP INDEX"),), ()))
    assert target.run(mark(items=both)).outcome is Outcome.SUCCEEDED
    assert [(row["installed_rank"], row["version"]) for row in target.rows(MARKED)] == [(4, "3"), (5, "2")]


def test_a_migration_that_was_taken_back_and_applied_again_is_marked_again(target: Target) -> None:
    assert target.run(mark()).outcome is Outcome.SUCCEEDED
    target.do(
        "ALTER TABLE users ADD COLUMN status text",
        "INSERT INTO flyway_schema_history VALUES "
        "(5, '3', 'status', 'SQL', 'V3__status.sql', -333, 'flyway', DEFAULT, 5, true)",
    )
    again = items((replace(PIN_3, installed_rank=5), (DROP_STATUS,), ()))
    assert target.run(mark(items=again)).outcome is Outcome.SUCCEEDED
    assert [row["installed_rank"] for row in target.rows(MARKED)] == [4, 6]


def test_a_row_that_is_marked_already_is_refused(target: Target) -> None:
    target.run(mark())
    before = target.fingerprint()
    result = target.run(mark())
    assert result.outcome is Outcome.ROLLED_BACK
    assert "No DELETE row can mark version 3" in result.sentence
    assert target.fingerprint() == before


@pytest.mark.parametrize("treatment", Treatment)
def test_an_undo_of_the_paid_editions_in_the_history(target: Target, treatment: Treatment) -> None:
    """The row can still be deleted; but where paid Flyway writes the history, DELETE rows are not its way."""
    target.do(
        "INSERT INTO flyway_schema_history VALUES "
        "(4, '2.5', '', 'SQL', 'V2.5__.sql', 1, 'flyway', DEFAULT, 5, true), "
        "(5, '2.5', '', 'UNDO_SQL', 'U2.5__.sql', 1, 'flyway', DEFAULT, 5, true)"
    )
    recorder = Recording()
    result = target.run(mark(history_treatment=treatment), recorder)
    if treatment is Treatment.DELETE:
        assert result.outcome is Outcome.SUCCEEDED, result.sentence
    else:
        assert "UNDO_SQL" in result.sentence
        assert not recorder.told("step_started")


TRIGGERS = {
    "puts the row back": (
        Treatment.DELETE,
        "AFTER DELETE",
        "INSERT INTO flyway_schema_history SELECT (OLD).*; RETURN NULL;",
    ),
    "changes the DELETE row": (Treatment.MARK, "BEFORE INSERT", "NEW.version = '4'; RETURN NEW;"),
    "drops the DELETE row": (Treatment.MARK, "BEFORE INSERT", "RETURN NULL;"),
}


@pytest.mark.parametrize(("treatment", "event", "does"), TRIGGERS.values(), ids=TRIGGERS)
def test_a_trigger_that_has_its_own_mind_is_refused(
    target: Target, treatment: Treatment, event: str, does: str
) -> None:
    target.do(
        f"CREATE FUNCTION own_mind() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS "
        f"$$ BEGIN {does} END $$",
        f"CREATE TRIGGER own_mind {event} ON flyway_schema_history FOR EACH ROW EXECUTE FUNCTION own_mind()",
    )
    before = target.fingerprint()
    result = target.run(mark(history_treatment=treatment))
    assert result.outcome is Outcome.ROLLED_BACK
    assert "a trigger on the table" in result.sentence
    assert target.fingerprint() == before


def test_a_script_that_deletes_the_pinned_row_by_itself_is_refused(target: Target) -> None:
    target.do("GRANT DELETE ON flyway_schema_history TO wallet_owner")
    hidden = "DO $$ BEGIN DELETE FROM flyway_schema_history WHERE version = '3'; END $$"
    result = target.run(replace(spec((hidden, "DO")), history_treatment=Treatment.MARK))
    assert result.outcome is Outcome.ROLLED_BACK
    assert "any more" in result.sentence
