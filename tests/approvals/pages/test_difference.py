"""What differs between two revisions of a text."""

from __future__ import annotations

import pytest
from django.template.loader import render_to_string

from approvals.pages import difference as module
from approvals.pages.difference import Difference, difference


def signs(found: Difference) -> list[str]:
    """`-2 old`, `+2 new`, ` 1 1 same`: every line shown with its numbers."""
    return [
        {"was": f"-{line.before} ", "is": f"+{line.after} ", "same": f" {line.before} {line.after} "}[
            line.kind
        ]
        + line.text
        for hunk in found.hunks
        for line in hunk.lines
    ]


def test_equal_texts_do_not_differ() -> None:
    found = difference("a\nb\n", "a\nb\n")
    assert not found
    assert (found.removed, found.added, found.rest) == (0, 0, 2)


def test_a_changed_line_shows_as_it_was_and_as_it_is() -> None:
    found = difference("a\nold\nc\n", "a\nnew\nc\n")
    assert signs(found) == [" 1 1 a", "-2 old", "+2 new", " 3 3 c"]
    assert (found.removed, found.added) == (1, 1)


def test_lines_far_from_any_change_are_counted_and_left_out() -> None:
    lines = [f"line {n}" for n in range(1, 41)]
    changed = [*lines]
    changed[9], changed[29] = "ten", "thirty"
    found = difference("\n".join(lines), "\n".join(changed), around=2)
    assert [(hunk.skipped, len(hunk.lines)) for hunk in found.hunks] == [(7, 6), (15, 6)]
    assert found.rest == 8


@pytest.mark.parametrize(("before", "after"), [("", "a\n"), ("a\n", ""), ("a", "a\n"), ("a\r\n", "a\n")])
def test_even_one_byte_is_a_difference(before: str, after: str) -> None:
    assert difference(before, after)
    assert difference(after, before)


def test_both_texts_can_be_read_back_from_all_lines() -> None:
    before, after = "a\nb\nc\nd\nb\n", "b\nx\nc\nb\ny\n"
    lines = [line for hunk in difference(before, after, around=99).hunks for line in hunk.lines]
    assert "".join(f"{line.text}\n" for line in lines if line.before) == before
    assert "".join(f"{line.text}\n" for line in lines if line.after) == after
    assert [line.before for line in lines if line.before] == [1, 2, 3, 4, 5]
    assert [line.after for line in lines if line.after] == [1, 2, 3, 4, 5]


def test_a_text_too_long_to_compare_is_shown_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMPARED", 3)
    found = difference("same\n" + "a\nb\n" * 2 + "end\n", "same\n" + "b\na\n" * 2 + "end\n")
    assert ", ".join(signs(found)) == " 1 1 same, -2 a, -3 b, -4 a, -5 b, +2 b, +3 a, +4 b, +5 a,  6 6 end"


def test_the_page_shows_signs_as_text_and_deceiving_characters_as_what_they_are() -> None:
    found = difference("SELECT 1;\n", "SELECT 2; <b> \u202e\n")
    html = render_to_string("includes/difference.html", {"difference": found, "label": "r1 and r2"})
    assert 'aria-label="r1 and r2"' in html
    assert "1 line went" in html
    assert "<del>SELECT 1;</del>" in html
    assert '<ins>SELECT 2; &lt;b&gt; <span class="odd">U+202E</span></ins>' in html


def test_the_page_says_where_nothing_differs() -> None:
    assert "Not one line differs" in render_to_string(
        "includes/difference.html", {"difference": difference("a", "a")}
    )
