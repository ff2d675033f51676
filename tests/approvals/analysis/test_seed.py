"""The seed's three rollbacks come out as the seed rates them, by rules that know no names."""

from __future__ import annotations

import random
import string

import pytest

from approvals.analysis import (
    Facts,
    LockMode,
    Rating,
    analyze,
    automatic_checks,
    plan_script,
    rate,
    split_script,
)
from tests.approvals.analysis.cases.seed import CONNECTIONS, FOREIGN_KEYS, PARTITIONS, SEED, Migration

every_migration = pytest.mark.parametrize("migration", SEED, ids=[each.version for each in SEED])

NAMES = sorted(
    {
        *("users", "wallets", "verification_tokens", "fund_reservations", "saga_step_states", "saga_states"),
        *("chart_of_accounts", "payments", "payment_methods", "audit_events", "user_id", "wallet_id"),
        *("saga_id", "parent_account_id", "requestor_id", "payment_method_id", "transactions", "created_on"),
        *("connection_usage_by_database", "connection_usage_by_application", "check_connection_threshold"),
        *("create_monthly_partitions", "transactions_backup_rollback", "transactions_wallet"),
    },
    key=len,
    reverse=True,
)


def rated(forward: str, script: str, facts: Facts | None = None) -> Rating:
    plan = plan_script(split_script(script) or script)
    assert plan.problems == ()
    return rate([analyze(forward)], plan, facts or Facts())


def renamed(text: str, seed: int) -> str:
    """The text with every name replaced by a made-up one, the same for the same seed."""
    chance = random.Random(seed)
    for name in NAMES:
        text = text.replace(name, "x" + "".join(chance.choices(string.ascii_lowercase, k=12)))
    return text


def reordered(script: str, seed: int) -> str:
    """The script with the statements between BEGIN and the history row in another order; what refuses a
    transaction stands before it."""
    plan = plan_script(script)
    outside = [step.statement.sql for step in plan.steps if step.kind != "transactional"]
    inside = [step.statement.sql for step in plan.steps if step.kind == "transactional"]
    random.Random(seed).shuffle(inside)
    ending = [each.sql for each in plan.taken_over if each.kind == "history"]
    return ";\n".join([*outside, "BEGIN", *inside, *ending, "COMMIT"])


@every_migration
def test_a_documented_rollback_is_rated_as_the_seed_rates_it(migration: Migration) -> None:
    assert rated(migration.forward, migration.script).risk.name == migration.risk


@every_migration
def test_it_takes_its_own_version_out_of_the_history(migration: Migration) -> None:
    assert plan_script(migration.script).versions == (migration.version,)


@every_migration
@pytest.mark.parametrize("seed", range(3))
def test_other_names_are_rated_the_same(migration: Migration, seed: int) -> None:
    forward, script = renamed(migration.forward, seed), renamed(migration.script, seed)

    assert forward != migration.forward
    assert rated(forward, script).risk.name == migration.risk


@every_migration
@pytest.mark.parametrize("seed", range(3))
def test_another_order_is_rated_the_same(migration: Migration, seed: int) -> None:
    assert rated(migration.forward, reordered(migration.script, seed)).risk.name == migration.risk


def test_the_settings_stand_between_begin_and_commit_and_the_split_that_is_proposed_runs() -> None:
    documented = plan_script(CONNECTIONS.script)
    assert [problem.line for problem in documented.problems] == [4, 5, 6, 7, 8]
    assert {problem.code for problem in documented.problems} == {"refuses-transaction"}

    plan = plan_script(split_script(CONNECTIONS.script))

    assert [str(step.kind) for step in plan.steps] == ["autocommit"] * 6 + ["transactional"] * 3
    assert plan.restart
    assert [step.statement.restart for step in plan.steps[:5]] == [True, True, False, False, False]
    assert plan.executable_here, plan.not_here


def test_one_dropped_table_makes_the_harmless_one_critical() -> None:
    script = CONNECTIONS.script.replace("COMMIT;", "DROP TABLE users;\nCOMMIT;")

    assert rated(CONNECTIONS.forward, script).risk.name == "CRITICAL"


def test_the_foreign_keys_lock_both_tables() -> None:
    plan = plan_script(FOREIGN_KEYS.script)

    assert plan.executable_here
    assert plan.destroys == ()
    assert plan.relations["users"] == LockMode.ACCESS_EXCLUSIVE
    assert plan.relations["saga_states"] == LockMode.ACCESS_EXCLUSIVE


def test_without_the_scans_only_the_matrix_is_left() -> None:
    script = FOREIGN_KEYS.script.replace(");", ") NOT VALID;")
    script = script.replace("ALTER COLUMN user_id SET NOT NULL", "ALTER COLUMN user_id SET STATISTICS 100")

    assert rated(FOREIGN_KEYS.forward, script).risk.name == "MEDIUM"


def test_the_partitioned_table_is_what_goes() -> None:
    plan = plan_script(PARTITIONS.script)

    assert [gone.name for gone in plan.destroys] == ["transactions"]
    assert rated(PARTITIONS.forward, PARTITIONS.script).reasons[0].subject == "transactions"


def test_a_table_counted_empty_is_high_and_is_counted_again() -> None:
    facts = Facts(rows={"transactions": 0}, exact=frozenset({"transactions"}))

    assert rated(PARTITIONS.forward, PARTITIONS.script, facts).risk.name == "HIGH"
    (check,) = automatic_checks(plan_script(PARTITIONS.script), facts)
    assert check.sql == "SELECT count(*) FROM (SELECT FROM transactions LIMIT 1) AS found"
    assert (check.expected, check.stage) == ("0", "before script")
