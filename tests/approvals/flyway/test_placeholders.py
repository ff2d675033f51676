"""Placeholders are found and filled as Flyway does it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.flyway.placeholders import BUILT_IN, UnclosedPlaceholder, UnknownPlaceholder, names, substitute

VALUES = {"owner": "wallet", "Bc": "${owner}", "empty": "", "flyway:table": "history"}

# Outcomes of Flyway 13.0.0 for the same values.
SUBSTITUTED = [
    ("select 1;", "select 1;"),
    ("ALTER TABLE t OWNER TO ${owner};", "ALTER TABLE t OWNER TO wallet;"),
    ("${OWNER}${Owner}", "walletwallet"),
    ("${bc}", "${owner}"),
    ("a${empty}b", "ab"),
    ("${flyway:table} ${FLYWAY:TABLE}", "history history"),
    ("-- ${owner}\n'${owner}'", "-- wallet\n'wallet'"),
    ("$${owner}", "$${owner}"),
    ("$$${owner}$$", "$$wallet$$"),
    ("$1 $ $$ {owner} $", "$1 $ $$ {owner} $"),
    ("$a${owner}", "$awallet"),
]


@pytest.mark.parametrize(("sql", "expected"), SUBSTITUTED)
def test_values_stand_where_the_names_stood(sql: str, expected: str) -> None:
    assert substitute(sql, VALUES) == expected


def test_names_are_listed_as_written_with_their_place() -> None:
    sql = "${a}\r\n  ${B} -- $${no}\r${flyway:timestamp}"
    assert names(sql) == [("a", 1, 1), ("B", 2, 3), ("flyway:timestamp", 3, 1)]


def test_the_built_in_names_are_told() -> None:
    assert {"flyway:defaultSchema", "flyway:environment"} < BUILT_IN


def test_an_unknown_name_is_refused_with_its_place() -> None:
    with pytest.raises(UnknownPlaceholder, match=r"line 2, column 3: no value .* \$\{Nobody\}") as refused:
        substitute("${owner}\n  ${Nobody}", VALUES)
    assert (refused.value.name, refused.value.line, refused.value.column) == ("Nobody", 2, 3)


@pytest.mark.parametrize(
    ("sql", "line", "column"),
    [("${", 1, 1), ("a\n${owner", 2, 1), ("${owner} ${x\n", 1, 10), ("${a${b", 1, 1)],
)
def test_a_placeholder_that_is_never_closed_is_refused(sql: str, line: int, column: int) -> None:
    for use in (names, lambda text: substitute(text, VALUES)):
        with pytest.raises(UnclosedPlaceholder) as refused:
            use(sql)
        assert (refused.value.line, refused.value.column) == (line, column)


def test_two_values_for_what_flyway_takes_for_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="differ only in case"):
        substitute("${a}", {"a": "1", "A": "2"})


@given(st.text(st.sampled_from("${}ab\n")))
def test_with_a_value_for_every_name_nothing_is_left_to_fill(sql: str) -> None:
    try:
        found = names(sql)
    except UnclosedPlaceholder:
        return
    filled = substitute(sql, {name.lower(): "#" for name, _, _ in found})
    assert filled.count("#") == len(found)
    if not found:
        assert filled == sql
