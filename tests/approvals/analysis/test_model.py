"""Locks compare by strength, and everything becomes plain JSON."""

from __future__ import annotations

import json

import pytest

from approvals.analysis import Facts, Lock, LockMode, Risk, analyze, as_json, plan_script


def test_locks_compare_by_strength_and_not_by_name() -> None:
    assert LockMode.ACCESS_SHARE < LockMode.SHARE < LockMode.EXCLUSIVE < LockMode.ACCESS_EXCLUSIVE
    assert max(LockMode) == LockMode.ACCESS_EXCLUSIVE
    assert sorted(LockMode) == list(LockMode)
    assert LockMode.SHARE >= "ROW EXCLUSIVE"
    assert LockMode.SHARE <= "SHARE"
    assert [mode.strength for mode in LockMode] == list(range(1, 9))


def test_a_lock_says_whom_it_keeps_waiting() -> None:
    assert LockMode.ACCESS_EXCLUSIVE.blocks == "Blocks all reads and writes."
    assert str(LockMode.SHARE_ROW_EXCLUSIVE) == "SHARE ROW EXCLUSIVE"
    assert all(mode.blocks.endswith(".") for mode in LockMode)


def test_a_plan_becomes_the_same_json_every_time() -> None:
    script = (
        "BEGIN; ALTER TABLE t DROP COLUMN a; DELETE FROM flyway_schema_history WHERE version = '1'; COMMIT;"
    )
    plan = as_json(plan_script(script))

    assert json.dumps(plan) == json.dumps(as_json(plan_script(script)))
    assert list(plan) == ["steps", "taken_over", "replica_role", "problems", "notes", "versions"]
    statement = plan["steps"][0]["statement"]
    assert (statement["risk"], statement["locks"][0]["mode"]) == ("CRITICAL", "ACCESS EXCLUSIVE")
    assert plan["steps"][0]["kind"] == "transactional"


def test_facts_and_analyses_become_json_too() -> None:
    facts = Facts(rows={"b": 1, "a": 0}, exact=frozenset({"b", "a"}))

    assert as_json(facts) == {"rows": {"a": 0, "b": 1}, "values": {}, "exact": ["a", "b"]}
    assert as_json(analyze("SELECT FROM WHERE"))["errors"][0]["code"] == "syntax"
    assert as_json(Risk.HIGH) == "HIGH"
    assert as_json([Lock("t", LockMode.SHARE), None, True, 1]) == [
        {"relation": "t", "mode": "SHARE", "note": ""},
        None,
        True,
        1,
    ]


@pytest.mark.parametrize("thing", [1.5, object(), b"x", Lock])
def test_anything_else_is_refused(thing: object) -> None:
    with pytest.raises(TypeError):
        as_json(thing)
