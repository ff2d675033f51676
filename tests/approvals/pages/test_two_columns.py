"""A unified difference read as two columns."""

from __future__ import annotations

from difflib import unified_diff

from hypothesis import given
from hypothesis import strategies as st

from approvals.pages.two_columns import SHOWN, Columns, columns


def diff(before: str, after: str, n: int = 2) -> str:
    lines = unified_diff(before.splitlines(), after.splitlines(), "before", "after", lineterm="", n=n)
    return "\n".join(lines)


def cells(found: Columns) -> list[tuple[str, str]]:
    return [
        (
            f"{row.was.number} {row.was.html}" if row.was else "",
            f"{row.now.number} {row.now.html}" if row.now else "",
        )
        for hunk in found.hunks
        for row in hunk
    ]


def test_a_line_that_changed_stands_beside_what_it_became_with_the_change_marked() -> None:
    found = columns(diff("one\n    amount numeric(18,2)\nend\n", "one\n    amount numeric(20,2)\nend\n"))
    assert cells(found) == [
        ("1 one", "1 one"),
        ("2     amount numeric(<mark>18</mark>,2)", "2     amount numeric(<mark>20</mark>,2)"),
        ("3 end", "3 end"),
    ]
    assert (found.removed, found.added, found.left_out) == (1, 1, 0)


def test_a_line_that_is_missing_leaves_its_place_empty() -> None:
    assert cells(columns(diff("a\nb\nc\n", "a\nc\n"))) == [("1 a", "1 a"), ("2 b", ""), ("3 c", "2 c")]


def test_a_line_that_looks_like_a_header_is_a_line() -> None:
    found = columns(diff("-- a comment\nx\n", "++ y\nx\n"))
    assert cells(found)[0] == ("1 -- a comment", "1 ++ y")


def test_what_could_deceive_is_shown_and_what_is_html_is_text() -> None:
    html = cells(columns(diff("a\n", "<b>\u202e\n")))[0][1]
    assert "&lt;b&gt;" in html
    assert "U+202E" in html


def test_a_long_difference_is_cut_and_says_by_how_much() -> None:
    found = columns(diff("", "".join(f"line {n}\n" for n in range(SHOWN + 7))))
    assert found.added == SHOWN + 7
    assert found.left_out == 7
    assert sum(len(hunk) for hunk in found.hunks) == SHOWN


def test_no_difference_is_none() -> None:
    assert not columns("")


LINES = st.lists(st.sampled_from(["a", "b", "-- c", "++ d", "@@ -1 +1 @@", ""]), max_size=12)


@given(LINES, LINES)
def test_both_sides_read_down_are_the_two_texts(before: list[str], after: list[str]) -> None:
    found = columns("\n".join(unified_diff(before, after, "b", "a", lineterm="", n=99)))
    rows = [row for hunk in found.hunks for row in hunk]
    if before == after:
        assert not rows
        return
    strip = lambda html: str(html).replace("<mark>", "").replace("</mark>", "")  # noqa: E731
    assert [strip(row.was.html) for row in rows if row.was] == before
    assert [strip(row.now.html) for row in rows if row.now] == after
    assert [row.was.number for row in rows if row.was] == list(range(1, len(before) + 1))
    assert [row.now.number for row in rows if row.now] == list(range(1, len(after) + 1))
