"""Values that the former type does not hold: the refusal names what may be chosen, and what is chosen leads
back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from executor.schema.dump import dump
from executor.schema.inverse import Options, undo
from executor.schema.inverse.options import REBUILD
from executor.schema.loss import measure
from executor.schema.prove import judge
from executor.schema.shadow import Shadow
from executor.schema.snapshot import snapshot

PRIOR = """
    CREATE TYPE kind AS ENUM ('old', 'other');
    CREATE TABLE t (a int, name varchar(5) NOT NULL, kind kind, n int);
    INSERT INTO t VALUES (1, 'short', 'old', 1), (2, 'x', NULL, 2);
"""
FORWARD = """
    ALTER TABLE t ALTER name TYPE varchar(40), ALTER kind TYPE text, ALTER n TYPE bigint;
    DROP TYPE kind;
"""
SINCE = "UPDATE t SET name = 'much longer', kind = 'new', n = 3000000000 WHERE a = 1"
NAME, KIND, NUMBER = ("public", "t", "name"), ("public", "t", "kind"), ("public", "t", "n")
CHOSEN = {
    NAME: "left(name, 5)",
    KIND: "CASE kind WHEN 'new' THEN 'other' ELSE kind END",
    NUMBER: "least(t.n, 2147483647)",
}


def test_the_refusal_says_what_may_be_chosen(shadow: Shadow) -> None:
    shadow.apply(PRIOR)
    before = snapshot(shadow.connection)
    shadow.apply(FORWARD + SINCE)
    gaps = undo(shadow.connection, before).gaps
    assert gaps[0] == (
        "column public.t.name has values that its former type, character varying(5), does not hold; choose"
        " what becomes of them, as in: public.t.name = left(name, 5)"
    )
    proposals = {gap.partition("as in: ")[2] for gap in gaps if "as in: " in gap}
    assert proposals == {
        "public.t.name = left(name, 5)",
        "public.t.kind = CASE kind WHEN '…' THEN 'old' ELSE kind END",
        "public.t.n = CASE WHEN … THEN … ELSE n END",
    }
    given = {NAME: "'a value for all'", KIND: "kind +", NUMBER: "n"}
    refused = undo(shadow.connection, before, None, Options(fill=given)).gaps
    assert refused[0].startswith("the value that was chosen for public.t.kind: ")
    assert any(
        "as in: public.t.name" in gap for gap in refused
    )  # nobody's value is overwritten by a constant


@pytest.mark.parametrize("rebuilt", [False, True])
def test_what_is_chosen_leads_back_and_what_it_changes_is_counted(shadow: Shadow, rebuilt: bool) -> None:
    shadow.apply(PRIOR)
    before, schema = snapshot(shadow.connection), dump(shadow.dsn)
    forward = f"{FORWARD} ALTER TABLE t DROP COLUMN a;" if rebuilt else FORWARD
    shadow.apply(SINCE.join((FORWARD, ";")) + forward.removeprefix(FORWARD))
    options = replace(Options(fill=CHOSEN), **({"column_order": REBUILD} if rebuilt else {}))
    inverse = undo(shadow.connection, before, None, options, forward=forward)
    assert (inverse.verdict, inverse.gaps) == ("exact", ())
    assert {(each.subject, each.taken) for each in inverse.choices} >= {
        (f"public.t.{name}", value) for (_, _, name), value in CHOSEN.items()
    }
    losses = {each.lost.column: each.count for each in measure(shadow.connection, inverse.goes)}
    assert losses == {"name": 1, "kind": 1, "n": 1}
    proof = judge(schema, inverse.script, forward, shadow)
    assert (proof.verdict, proof.forward_again) == ("exact", True)
    rows = shadow.connection.execute("SELECT name, kind::text, n FROM t ORDER BY n").fetchall()
    assert rows == [("x", None, 2), ("much ", "other", 2147483647)]
