"""A file and its script side by side: nothing is left out, what is missing is counted, what passes is not."""

from __future__ import annotations

from approvals import analysis
from approvals.pages.side_by_side import Sides, sides

FORWARD = """\
SET lock_timeout = '2s';
CREATE TABLE fees (id int);
CREATE INDEX fees_id ON fees (id);
ALTER TABLE wallets ADD COLUMN fee int;
"""


def beside(back: str) -> Sides:
    plan = analysis.plan_script(back)
    return sides(analysis.as_json(analysis.analyze(FORWARD)), analysis.as_json(plan))


def test_steps_stand_beside_what_they_take_back() -> None:
    found = beside("ALTER TABLE wallets DROP COLUMN fee;\nDROP TABLE fees;\n")
    _setting, table, index, column = found.rows
    assert [step.number for step in column.steps] == [1]
    assert [step.number for step in table.steps] == [2]
    assert (index.steps, index.also) == ((), (2,))
    assert found.missing == 0
    assert found.undone_by() == {1: [4], 2: [2, 3]}


def test_a_statement_without_a_step_is_missing_unless_nothing_of_it_stays() -> None:
    found = beside("DROP TABLE fees;\n")
    assert [row.is_missing for row in found.rows] == [False, False, False, True]
    assert found.rows[0].passing
    assert found.missing == 1


def test_a_step_that_belongs_to_nothing_comes_last() -> None:
    found = beside("DROP TABLE fees;\nDROP VIEW other;\n")
    assert found.rows[-1].forward is None
    assert [step.sql for step in found.rows[-1].steps] == ["DROP VIEW other"]


def test_without_a_script_everything_is_missing() -> None:
    assert sides(analysis.as_json(analysis.analyze(FORWARD)), {}).missing == 3
