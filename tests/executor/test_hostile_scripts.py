"""What a script does to the executor's own ground: it is taken back, noticed, or impossible."""

from __future__ import annotations

import uuid

import pytest

from executor.spec import Outcome
from tests.executor.target import DROP_STATUS, Recording, Target, check, spec


def test_a_script_that_frees_all_session_locks_does_not_free_ours(target: Target) -> None:
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    seen: list[int] = []
    recorder = Recording(on={"committing": lambda: seen.append(target.value(held))})
    result = target.run(spec(("SELECT pg_advisory_unlock_all()", "SELECT")), recorder)
    assert result.outcome is Outcome.SUCCEEDED
    assert seen == [2]


def test_settings_and_role_that_a_script_changes_are_ours_again_for_the_checks(target: Target) -> None:
    change = """DO $$ BEGIN
        PERFORM set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', false),
                set_config('synchronous_commit', 'off', true), set_config('search_path', 'pg_catalog', false);
        RESET ROLE;
    END $$"""
    checks = [
        check("SELECT current_user", "wallet_owner"),
        check("SELECT current_setting('synchronous_commit')", "on"),
        check("SELECT current_setting('lock_timeout')", "300ms"),
        check("SELECT current_setting('search_path')", "public, pg_temp"),
        check("SELECT current_setting('row_security')", "off"),
    ]
    result = target.run(spec(DROP_STATUS, (change, "DO"), checks=checks))
    assert result.outcome is Outcome.SUCCEEDED, result.sentence


@pytest.mark.parametrize(
    "tampering",
    [
        "DELETE FROM flyway_schema_history WHERE version = '1'",
        "UPDATE flyway_schema_history SET checksum = 7 WHERE version = '2'",
        "UPDATE flyway_schema_history SET installed_on = 'epoch' WHERE version = '1'",
        "INSERT INTO flyway_schema_history VALUES (9, '9', 'x', 'SQL', 'V9__x.sql', 1, 'me', now(), 1, true)",
        "ALTER TABLE flyway_schema_history ADD COLUMN note text DEFAULT 'x'",
    ],
)
def test_tampering_with_other_rows_of_the_history_is_noticed(target: Target, tampering: str) -> None:
    before = target.fingerprint()
    result = target.run(spec(DROP_STATUS, (f"DO $$ BEGIN {tampering}; END $$", "DO")))
    assert result.outcome is Outcome.ROLLED_BACK, tampering
    assert "history" in result.sentence
    assert target.fingerprint() == before


@pytest.mark.parametrize(
    "tampering",
    [
        "DELETE FROM flyway_schema_history WHERE version = '3'",
        "UPDATE flyway_schema_history SET checksum = 7 WHERE version = '3'",
    ],
)
def test_a_script_that_touches_its_own_history_row_is_refused(target: Target, tampering: str) -> None:
    """The executor takes that row; if it is gone or another, what was approved is not what is there."""
    before = target.fingerprint()
    result = target.run(spec(DROP_STATUS, (tampering, tampering.split()[0])))
    assert result.outcome is Outcome.ROLLED_BACK
    assert target.fingerprint() == before


def test_a_trigger_planted_on_the_history_is_noticed(target: Target) -> None:
    before = target.fingerprint()
    function = """CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        UPDATE flyway_schema_history SET checksum = 0 WHERE version = '1'; RETURN OLD; END $$"""
    trigger = """CREATE TRIGGER meddle BEFORE DELETE ON flyway_schema_history
        FOR EACH ROW EXECUTE FUNCTION meddle()"""
    target.do("GRANT UPDATE ON flyway_schema_history TO waqiti_rollback_executor")
    result = target.run(spec((function, "CREATE FUNCTION"), (trigger, "CREATE TRIGGER")))
    assert result.outcome is Outcome.ROLLED_BACK
    assert "history" in result.sentence
    assert target.fingerprint() == before


def test_a_marker_planted_by_a_script_is_noticed(target: Target) -> None:
    before = target.fingerprint()
    planted = uuid.uuid4()
    for verb in ("claim", "tombstone"):
        plant = f"DO $$ BEGIN RESET ROLE; PERFORM waqiti_rollback.{verb}('{planted}', 'x'); END $$"
        result = target.run(spec(DROP_STATUS, (plant, "DO")))
        assert result.outcome is Outcome.ROLLED_BACK
        assert "2 markers" in result.sentence
    assert target.value("SELECT count(*) FROM waqiti_rollback.execution_marker") == 0
    assert target.fingerprint() == before


@pytest.mark.parametrize(
    "write",
    [
        "DELETE FROM waqiti_rollback.execution_marker",
        "UPDATE waqiti_rollback.execution_marker SET kind = 'tombstone'",
        "INSERT INTO waqiti_rollback.execution_marker VALUES (gen_random_uuid(), 'claim', 'x')",
        "TRUNCATE waqiti_rollback.execution_marker",
        "SET LOCAL ROLE waqiti_rollback_owner",
    ],
)
def test_no_script_can_write_the_marker_table_by_itself(target: Target, write: str) -> None:
    quoted = write.replace("'", "''")
    block = f"DO $$ BEGIN RESET ROLE; EXECUTE '{quoted}'; END $$"
    result = target.run(spec(DROP_STATUS, (block, "DO")))
    assert result.outcome is Outcome.ROLLED_BACK
    assert result.sqlstate == "42501"


@pytest.mark.parametrize(
    "reach",
    [
        "COPY users TO PROGRAM 'cat > /tmp/never'",
        "COPY users TO '/tmp/never'",
        "SET LOCAL session_replication_role = replica",
        "SET SESSION AUTHORIZATION postgres",
        "SET LOCAL ROLE postgres",
        "CREATE ROLE intruder SUPERUSER",
        "ALTER SYSTEM SET work_mem = '5MB'",
    ],
)
def test_the_role_is_the_boundary(target: Target, reach: str) -> None:
    before = target.fingerprint()
    quoted = reach.replace("'", "''")
    block = f"DO $$ BEGIN RESET ROLE; EXECUTE '{quoted}'; END $$"
    result = target.run(spec(DROP_STATUS, (block, "DO")))
    assert result.outcome is Outcome.ROLLED_BACK, reach
    assert result.sqlstate in ("42501", "25001", "2F003")
    assert target.fingerprint() == before


def test_a_script_that_ends_the_watch_is_only_less_well_watched(target: Target) -> None:
    block = """DO $$ BEGIN RESET ROLE; PERFORM pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE application_name = 'waqiti_rollback control' AND datname = current_database(); END $$"""
    result = target.run(spec(DROP_STATUS, (block, "DO")))
    assert result.outcome is Outcome.SUCCEEDED, result.sentence
