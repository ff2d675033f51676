"""Whatever the text: no exception, positions inside it, and nothing of it left unread."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.analysis import (
    Facts,
    Problem,
    analyze,
    as_json,
    automatic_checks,
    plan_check,
    plan_script,
    rate,
)
from approvals.analysis.parser import Source, parse
from tests.approvals.analysis.cases.locks import LOCKS
from tests.approvals.analysis.cases.scripts import REFUSED

statements = st.sampled_from([sql for _, sql in LOCKS] + [script for script, *_ in REFUSED])
noise = st.sampled_from([";", " ", "\n", "-- ü\n", "/* 😀 */", "'", '"', "$$", "(", ")", "\\", ":", "\ufeff"])
words = st.sampled_from(" ".join(sql for _, sql in LOCKS).split())
texts = st.one_of(
    st.text(max_size=60),
    st.lists(st.one_of(statements, noise), max_size=6).map(";\n".join),
    st.lists(st.one_of(words, noise), max_size=25).map(" ".join),
    st.lists(words, max_size=15).map(lambda body: f"DO $q$ BEGIN {' '.join(body)}; END $q$"),
)


def lines_of(text: str) -> list[str]:
    return text.removeprefix("\ufeff").split("\n")


def is_inside(text: str, problem: Problem) -> bool:
    lines = lines_of(text)
    return 1 <= problem.line <= len(lines) and 1 <= problem.column <= len(lines[problem.line - 1]) + 1


@settings(max_examples=300, deadline=None)
@given(texts)
def test_any_text_is_answered_and_never_raises(text: str) -> None:
    analysis, plan = analyze(text), plan_script(text)
    problems = (*analysis.errors, *plan.problems, *plan_check(text))

    assert all(is_inside(text, problem) for problem in problems)
    assert all(problem.message and problem.code for problem in problems)
    assert rate([analysis], plan, Facts()).risk >= 1
    assert automatic_checks(plan, Facts()) == ()
    as_json(plan)
    as_json(analysis)


@settings(max_examples=300, deadline=None)
@given(texts)
def test_a_statement_stands_where_it_is_said_to_stand(text: str) -> None:
    lines = lines_of(text)
    for statement in analyze(text).statements:
        rest = "\n".join([lines[statement.line - 1][statement.column - 1 :], *lines[statement.line :]])
        assert rest.startswith(statement.sql)
        assert statement.end_line == statement.line + statement.sql.count("\n")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(statements, noise), max_size=6).map(";\n".join))
def test_nothing_of_a_readable_text_is_left_unread(text: str) -> None:
    analysis = analyze(text)
    if analysis.errors:
        return
    rest = text.removeprefix("\ufeff")
    for statement in analysis.statements:
        before, found, rest = rest.partition(statement.sql)
        assert found == statement.sql
        assert parse(Source(before.replace("\ufeff", ""))) == []
    assert parse(Source(rest)) == []
