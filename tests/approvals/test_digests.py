"""The digests cover all that would run, where, and under which rules: any change of it changes them."""

from __future__ import annotations

import copy
import hashlib
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from approvals import digests
from approvals.models import Status
from tests.approvals.factories import World, again, rollback_in

SHA = st.text("0123456789abcdef", min_size=64, max_size=64)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
NAME = st.text("abcdefgh", min_size=1, max_size=4)
JSON = st.dictionaries(NAME, st.integers(-5, 5) | TEXT | st.none() | st.booleans(), max_size=2)

STEP = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["transactional", "autocommit", "manual"]),
        "statement": st.fixed_dictionaries(
            {"sql": TEXT, "tags": st.lists(NAME, max_size=2), "says": TEXT, "line": st.integers(1, 9)}
        ),
    }
)
CHECK = st.fixed_dictionaries({"name": NAME, "sql": TEXT, "expected": TEXT, "stage": NAME})
ITEM = st.fixed_dictionaries(
    {
        "version": NAME,
        "forward_checksum": st.integers(-(2**31), 2**31 - 1),
        "forward_sha256": SHA,
        "sql": TEXT,
        "steps": st.lists(STEP, max_size=2),
        "replica_role": st.booleans(),
        "checks": st.lists(CHECK, max_size=2),
        "left": st.dictionaries(NAME, TEXT, max_size=2),
        "unproven": TEXT,
    }
)
PIN = st.fixed_dictionaries({"installed_rank": st.integers(1, 99), "version": NAME, "success": st.booleans()})
TARGET = st.fixed_dictionaries(
    {
        "name": NAME,
        "system_identifier": st.text("0123456789", max_size=5),
        "database_oid": st.none() | st.integers(1, 2**32 - 1),
        "history_schema": NAME,
        "history_table": NAME,
        "search_path": NAME,
        "owner_role": NAME,
        "has_marker": st.booleans(),
        "placeholders": JSON,
        "pins": st.lists(PIN, max_size=2),
    }
)
CHANGE = st.fixed_dictionaries(
    {
        "items": st.lists(ITEM, max_size=3),
        "placeholders": JSON,
        "history_treatment": NAME,
        "session_options": JSON,
    }
)
REQUEST = st.fixed_dictionaries(
    {
        "change": CHANGE,
        "pk": st.integers(1, 99),
        "revision": st.integers(1, 9),
        "automatic_checks": st.lists(CHECK, max_size=2),
        "targets": st.lists(TARGET, min_size=1, max_size=2, unique_by=lambda target: target["name"]),
        "policy": st.none() | st.integers(1, 9),
        "risk": st.none() | st.integers(1, 5),
    }
)


# One of everything, so that no field is left to chance.
FULL: dict[str, Any] = {
    "change": {
        "items": [
            {
                "version": "3",
                "forward_checksum": 7,
                "forward_sha256": "a" * 64,
                "sql": "DROP INDEX a",
                "steps": [
                    {
                        "kind": "transactional",
                        "statement": {"sql": "DROP INDEX a", "tags": ["DROP INDEX"], "says": "x", "line": 1},
                    }
                ],
                "replica_role": False,
                "checks": [{"name": "a", "sql": "SELECT 1", "expected": "1", "stage": "before commit"}],
                "left": {"created view v": "It harms nobody."},
                "unproven": "why",
            }
        ],
        "placeholders": {"a": "b"},
        "history_treatment": "delete",
        "session_options": {"lock_timeout_ms": 1},
    },
    "pk": 1,
    "revision": 1,
    "automatic_checks": [{"name": "a", "sql": "SELECT 1", "expected": "1", "stage": "before script"}],
    "targets": [
        {
            "name": "t",
            "system_identifier": "7",
            "database_oid": 1,
            "history_schema": "public",
            "history_table": "h",
            "search_path": "public",
            "owner_role": "o",
            "has_marker": True,
            "placeholders": {"a": "b"},
            "pins": [{"installed_rank": 3, "version": "3", "success": True}],
        }
    ],
    "policy": 1,
    "risk": 1,
}


class Rows(list[Any]):
    """What a manager answers, without a database: the digests read rows and nothing else."""

    def select_related(self, *_names: str) -> Rows:
        return self

    def order_by(self, name: str) -> Rows:
        return Rows(sorted(self, key=lambda row: value(row, name)))

    def values(self, *names: str) -> Rows:
        return Rows({name: value(row, name) for name in names} for row in self)


def value(row: Any, name: str) -> Any:
    for part in name.split("__"):
        row = getattr(row, part)
    return row


def build(facts: dict[str, Any]) -> Any:
    """A request with these facts, as the digests read it."""
    change = facts["change"]
    return SimpleNamespace(
        pk=facts["pk"],
        service=SimpleNamespace(placeholders=change["placeholders"]),
        revision=facts["revision"],
        automatic_checks=facts["automatic_checks"],
        history_treatment=change["history_treatment"],
        session_options=change["session_options"],
        risk=facts["risk"],
        policy_version=None if facts["policy"] is None else SimpleNamespace(number=facts["policy"]),
        items=Rows(item(position, each) for position, each in enumerate(change["items"], start=1)),
        # Which one is the canary is said by position, however they are stored.
        rollback_targets=Rows(
            SimpleNamespace(target=SimpleNamespace(**each), pins=each["pins"], position=position)
            for position, each in enumerate(sorted(facts["targets"], key=lambda one: one["name"]), start=1)
        ),
    )


def item(position: int, facts: dict[str, Any]) -> Any:
    plan = {"steps": facts["steps"], "replica_role": facts["replica_role"]}
    said = {name: facts[name] for name in ("checks", "left", "unproven")}
    return SimpleNamespace(
        position=position,
        migration=SimpleNamespace(version=facts["version"]),
        revision=SimpleNamespace(checksum=facts["forward_checksum"], sha256=facts["forward_sha256"]),
        script=SimpleNamespace(sql=facts["sql"], plan=plan, placeholders=[], **said),
    )


def paths(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested dicts and lists."""
    if isinstance(value, dict):
        return [
            place for key, inner in value.items() for place in [(*above, key), *paths(inner, (*above, key))]
        ]
    if isinstance(value, list):
        return [place for n, inner in enumerate(value) for place in [(*above, n), *paths(inner, (*above, n))]]
    return []


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def other(value: Any) -> Any:
    """Another value of the same kind; a dict stays as it is, its values have places of their own."""
    if value is None or isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, list):
        return [*value, copy.deepcopy(value[-1])] if value else value
    return value


# What a step or a check is called for people is not what runs.
SHOWN_ONLY = {"says", "line"}


@settings(max_examples=30, deadline=None)
@given(facts=REQUEST)
@example(facts=FULL)
def test_any_change_of_what_is_covered_changes_the_digests(facts: dict[str, Any]) -> None:
    before = build(facts)
    for place in paths(facts):
        changed = copy.deepcopy(facts)
        at(changed, place[:-1])[place[-1]] = other(at(facts, place))
        if place[-1] in SHOWN_ONLY or changed == facts:
            continue
        after = build(changed)
        assert digests.request_digest(before) != digests.request_digest(after), place
        covered = place[0] == "change"
        assert (digests.change_digest(before) != digests.change_digest(after)) == covered, place


@given(facts=REQUEST)
def test_the_same_facts_give_the_same_digests_in_whatever_order_their_keys_are(facts: dict[str, Any]) -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(list(value))}
        return [turned(each) for each in value] if isinstance(value, list) else value

    assert digests.change_digest(build(facts)) == digests.change_digest(build(turned(facts)))
    assert digests.request_digest(build(facts)) == digests.request_digest(build(turned(facts)))


@given(facts=REQUEST, data=st.data())
def test_the_order_of_the_items_matters(facts: dict[str, Any], data: st.DataObject) -> None:
    items = facts["change"]["items"]
    turned = copy.deepcopy(facts)
    turned["change"]["items"] = data.draw(st.permutations(items))
    same = strip(turned["change"]["items"]) == strip(items)
    assert (digests.change_digest(build(facts)) == digests.change_digest(build(turned))) == same


def strip(items: list[dict[str, Any]]) -> list[Any]:
    """The items without what is only shown."""
    found = copy.deepcopy(items)
    for each in found:
        for step in each["steps"]:
            for name in SHOWN_ONLY:
                step["statement"].pop(name)
    return found


@given(facts=REQUEST)
def test_the_order_in_which_targets_are_stored_does_not_matter(facts: dict[str, Any]) -> None:
    turned = facts | {"targets": facts["targets"][::-1]}
    assert digests.request_digest(build(facts)) == digests.request_digest(build(turned))


@pytest.mark.parametrize(
    ("value", "canonical"),
    [
        ({}, "{}"),
        ({"b": 1, "a": [None, True]}, '{"a":[null,true],"b":1}'),
        ({"\u20ac": "\u00f6\n", "1": '"'}, '{"1":"\\"","\u20ac":"\u00f6\\n"}'),
    ],
)
def test_the_digest_is_that_of_canonical_json(value: Any, canonical: str) -> None:
    assert digests.canonical_sha256(value) == hashlib.sha256(canonical.encode()).hexdigest()


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_a_scripts_digest_is_that_of_its_utf_8_bytes(text: str) -> None:
    assert digests.text_sha256(text) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.integration
def test_what_is_stored_is_what_was_worked_out(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED, "high")
    assert digests.change_digest(rollback) == rollback.change_digest
    assert digests.request_digest(rollback) == rollback.request_digest


@pytest.mark.integration
def test_two_rollbacks_of_the_same_change_have_one_change_digest_and_two_request_digests(
    world: World,
) -> None:
    one, two = rollback_in(world, Status.IN_REVIEW), rollback_in(world, Status.APPROVED)
    assert one.change_digest == two.change_digest
    assert one.request_digest != two.request_digest


@pytest.mark.integration
def test_reading_the_digests_writes_nothing(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    before = rollback.updated_at
    digests.request_digest(rollback)
    assert again(rollback).updated_at == before
