"""Beside every rollback stands a migration that reaches the same schema by going forward."""

from __future__ import annotations

import json

import pytest

from approvals.flyway.names import Kind, parse_name
from executor.schema.dump import dump
from executor.schema.forward_fix import forward_fix, next_version
from executor.schema.inverse import Options
from executor.schema.prove import derive
from executor.schema.shadow import Shadow

PRIOR = "CREATE TABLE users (id int PRIMARY KEY, name text); CREATE INDEX by_name ON users (name)"


def test_it_reaches_the_schema_of_before(shadow: Shadow) -> None:
    shadow.apply(PRIOR)
    before = dump(shadow.dsn)
    inverse = derive("ALTER TABLE users ADD COLUMN score integer", shadow)
    fix = forward_fix(inverse, undoes="100", description="add user score", latest="100")
    (file,) = fix.files
    assert file.name == "V101__fix_add_user_score.sql"
    assert parse_name(file.name).kind is Kind.VERSIONED
    shadow.apply(file.sql)
    assert dump(shadow.dsn) == before


def test_the_comparison_names_loss_locks_and_duties(shadow: Shadow) -> None:
    shadow.apply(PRIOR)
    inverse = derive("ALTER TABLE users ADD COLUMN score integer", shadow)
    fix = forward_fix(inverse, undoes="100", description="add user score", latest="100")
    told = {each.about: each for each in fix.comparison}
    assert told["data that goes"].rollback == "the values of column public.users.score"
    assert "ACCESS EXCLUSIVE on public.users" in told["locks"].fix
    assert told["who waits"].fix == "Blocks all reads and writes."
    assert told["history"].rollback == "the row of 100 goes"
    assert "applies it again" in told["files"].rollback
    assert json.loads(json.dumps(fix.json()))["files"][0]["conf"] == ""


def test_what_refuses_a_transaction_is_a_file_of_its_own(shadow: Shadow) -> None:
    shadow.apply(PRIOR)
    forward = "DROP INDEX by_name; ALTER TABLE users ADD COLUMN score integer"
    inverse = derive(forward, shadow, Options(index="concurrently"))
    fix = forward_fix(inverse, undoes="7", description="score", latest="2025.11.22.001")
    assert [(file.name, file.conf) for file in fix.files] == [
        ("V2025.11.22.002__fix_score.sql", ""),
        ("V2025.11.22.003__fix_score_outside.sql", "executeInTransaction=false\n"),
    ]
    for file in fix.files:
        shadow.apply(file.sql)


def test_text_that_looks_like_a_placeholder_is_kept_from_flyway(shadow: Shadow) -> None:
    shadow.apply("CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT '${name}' $$")
    fix = forward_fix(derive("DROP FUNCTION f", shadow), undoes="2", description="x", latest="2")
    assert fix.files[0].conf == "placeholderReplacement=false\n"


def test_what_neither_way_undoes_is_told(shadow: Shadow) -> None:
    shadow.apply(PRIOR)
    fix = forward_fix(derive("UPDATE users SET name = 'x'", shadow), undoes="2", description="x", latest="2")
    assert "Restore from backup" in fix.gaps[0]


@pytest.mark.parametrize(
    ("latest", "following"),
    [("1", "2"), ("009", "010"), ("2025.11.22.001", "2025.11.22.002"), ("1_9", "1_10")],
)
def test_versions_go_on(latest: str, following: str) -> None:
    assert next_version(latest) == following


def test_no_version_is_refused() -> None:
    with pytest.raises(ValueError, match="no version"):
        next_version("next")
