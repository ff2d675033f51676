"""What a migration does to rows is seen on rows: what comes back, what doesn't, and what goes along."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from executor.completeness import Completeness, Fate, Finding, completeness
from executor.schema.shadow import Shadow
from waqiti_rollback.embedded import Cluster

PRIOR = """
    CREATE TABLE kinds (code text PRIMARY KEY, label text);
    INSERT INTO kinds VALUES ('old', 'x'), ('new', 'y');
    CREATE TABLE wallets (id int PRIMARY KEY, state text NOT NULL, note text,
        kind text REFERENCES kinds ON DELETE CASCADE);
    CREATE TABLE moves (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, amount int NOT NULL,
        wallet int NOT NULL REFERENCES wallets ON DELETE CASCADE);
    CREATE TABLE logs (at timestamp, line text);
    CREATE TABLE never (id int PRIMARY KEY CHECK (id < 0 AND id > 0), a text);
"""


@pytest.fixture(scope="module")
def prior(scratch_cluster: Cluster) -> Iterator[Shadow]:
    """A database right before the migration."""
    made = Shadow(scratch_cluster.superuser_dsn())
    made.apply(PRIOR)
    yield made
    made.drop()


def look(prior: Shadow, forward: str, script: str) -> Completeness:
    with prior.copied() as copy:
        return completeness(forward, script, copy)


def row_effects(found: Completeness) -> dict[str, Finding]:
    return {each.key: each for each in found.findings if " on table " in each.key or " rows " in each.key}


def only(prior: Shadow, forward: str, script: str) -> tuple[Fate, bool, str]:
    (effect,) = row_effects(look(prior, forward, script)).values()
    return effect.fate, effect.measured, effect.reason


def test_an_update_is_undone_where_every_row_has_its_former_value(prior: Shadow) -> None:
    forward = """CREATE TABLE kept AS SELECT id, state FROM wallets;
                 UPDATE wallets SET state = 'closed' WHERE state = 'done'"""
    script = "UPDATE wallets w SET state = k.state FROM kept k WHERE k.id = w.id; DROP TABLE kept"
    found = look(prior, forward, script)
    effect = found.findings[-1]
    assert (effect.key, effect.fate, effect.steps) == ("UPDATE DATA on table wallets", Fate.UNDONE, (1,))
    assert effect.measured
    assert found.complete


def test_an_update_that_is_turned_around_catches_rows_that_were_so_before(prior: Shadow) -> None:
    forward = "UPDATE wallets SET state = 'closed' WHERE state = 'done'"
    script = "UPDATE wallets SET state = 'done' WHERE state = 'closed'"
    fate, measured, reason = only(prior, forward, script)
    assert (fate, measured) == (Fate.NOT_UNDONE, True)
    assert reason == "1 of 3 rows have other values than before in state. Restore from backup"


def test_an_update_that_loses_what_was_there_is_not_undone(prior: Shadow) -> None:
    fate, measured, _ = only(
        prior, "UPDATE wallets SET note = upper(state)", "UPDATE wallets SET note = NULL"
    )
    assert (fate, measured) == (Fate.NOT_UNDONE, True)


def test_deleted_rows_are_undone_by_exactly_these_rows(prior: Shadow) -> None:
    forward = "DELETE FROM kinds WHERE code = 'old'"
    whole = row_effects(look(prior, forward, "INSERT INTO kinds VALUES ('old', 'x')"))
    assert whole["DELETE DATA on table kinds"].fate is Fate.UNDONE
    assert only(prior, "TRUNCATE logs", "INSERT INTO logs VALUES (now(), 'x')") == (
        Fate.NOT_UNDONE,
        True,
        "3 of 3 rows are not back as they were. Restore from backup",
    )


def test_what_a_key_takes_along_is_an_effect_though_no_statement_names_it(prior: Shadow) -> None:
    found = row_effects(
        look(prior, "DELETE FROM kinds", "INSERT INTO kinds VALUES ('old', 'x'), ('new', 'y')")
    )
    assert {key: each.fate for key, each in found.items()} == {
        "DELETE DATA on table kinds": Fate.UNDONE,
        "DELETE DATA on table wallets": Fate.NOT_UNDONE,
        "DELETE DATA on table moves": Fate.NOT_UNDONE,
    }
    assert "by a key that takes them along" in found["DELETE DATA on table moves"].text


def test_added_rows_are_not_undone_by_taking_all_of_them(prior: Shadow) -> None:
    forward = "INSERT INTO kinds VALUES ('newest', 'z')"
    assert only(prior, forward, "DELETE FROM kinds WHERE code = 'newest'")[0] is Fate.UNDONE
    fate, measured, reason = only(prior, forward, "TRUNCATE kinds CASCADE")
    assert (fate, measured) == (Fate.NOT_UNDONE, True)
    assert "the script also takes away" in reason


@pytest.mark.parametrize(
    "forward",
    [
        "DO $$ BEGIN EXECUTE 'UPDATE wal' || 'lets SET note = ''seen'''; END $$",
        """CREATE FUNCTION mark() RETURNS trigger LANGUAGE plpgsql AS
               'BEGIN UPDATE wallets SET note = NEW.code; RETURN NEW; END';
           CREATE TRIGGER mark AFTER INSERT ON kinds FOR EACH ROW EXECUTE FUNCTION mark();
           INSERT INTO kinds VALUES ('newest', 'z')""",
    ],
    ids=["SQL that is put together", "trigger"],
)
def test_what_code_does_to_rows_is_seen_where_nobody_could_read_it(prior: Shadow, forward: str) -> None:
    effect = row_effects(look(prior, forward, "SELECT 1"))["UPDATE DATA on table wallets"]
    assert (effect.fate, effect.measured) == (Fate.NOT_UNDONE, True)


def test_columns_and_tables_that_come_back_empty_are_not_undone(prior: Shadow) -> None:
    forward = "DROP TABLE logs; ALTER TABLE wallets DROP COLUMN note"
    script = "ALTER TABLE wallets ADD COLUMN note text; CREATE TABLE logs (at timestamp, line text)"
    found = {each.key: each for each in look(prior, forward, script).findings}
    for key in ("DROP TABLE on table logs", "DROP COLUMN on table wallets"):
        assert (found[key].fate, found[key].measured) == (Fate.NOT_UNDONE, True)
        assert found[key].reason.startswith("3 of 3 rows")


def test_a_conversion_that_loses_values_is_seen_and_one_that_kept_these_is_not_believed(
    prior: Shadow,
) -> None:
    forward = (
        "ALTER TABLE wallets ALTER note TYPE varchar(1) USING left(note, 1); UPDATE wallets SET note = '1'"
    )
    cut = "ALTER TABLE logs ALTER line TYPE varchar(9)"
    found = {
        each.key: each for each in look(prior, forward, "ALTER TABLE wallets ALTER note TYPE text").findings
    }
    assert found["ALTER TYPE on table wallets"].measured
    found = {each.key: each for each in look(prior, cut, "ALTER TABLE logs ALTER line TYPE text").findings}
    effect = found["ALTER TYPE on table logs"]
    assert (effect.fate, effect.measured) == (Fate.NOT_UNDONE, False)
    assert "came back as they were, others may not" in effect.reason


def test_where_no_rows_can_be_made_that_is_said_and_the_text_counts(prior: Shadow) -> None:
    fate, measured, reason = only(prior, "UPDATE never SET a = 'b'", "UPDATE never SET a = 'c'")
    assert (fate, measured) == (Fate.UNDONE, False)
    assert "no rows could be made for it (23514" in reason
    fate, measured, reason = only(prior, "UPDATE wallets SET note = 'b' WHERE false", "SELECT 1")
    assert (fate, measured) == (Fate.NOT_UNDONE, False)
    assert "none of 3 rows there is one that it changes" in reason


def test_a_migration_that_refuses_the_rows_is_looked_at_without_them(prior: Shadow) -> None:
    forward = "ALTER TABLE wallets ADD CONSTRAINT none CHECK (state = 'x'); UPDATE wallets SET note = 'b'"
    found = look(prior, forward, "ALTER TABLE wallets DROP CONSTRAINT none")
    (effect,) = row_effects(found).values()
    assert (effect.fate, effect.measured) == (Fate.NOT_UNDONE, False)
    assert "the migration does not apply to rows that can be made here (23514" in effect.reason


def test_a_step_that_fails_only_where_there_are_rows_is_named(prior: Shadow) -> None:
    found = look(prior, "ALTER TABLE wallets DROP state", "ALTER TABLE wallets ADD state text NOT NULL")
    assert [note for note in found.notes if "Step 1 fails where the tables have rows" in note]
