"""SQL on a page: every line with its number, every byte of it, nothing that deceives."""

from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.pages.sqltext import DECEIVING, HIGHLIGHTED, to_html


def lines(html: str) -> list[tuple[int, str]]:
    """(number, text) of each line."""
    found = re.findall(
        r'<span class="l(?: at)?" data-n="(\d+)"[^>]*>(.*?)</span>(?=<span class="l|$)', html, re.S
    )
    return [(int(number), unescape(re.sub(r"<[^>]+>", "", text))) for number, text in found]


def test_lines_are_numbered_from_where_the_statement_stands() -> None:
    assert lines(to_html("SELECT 1,\n  2;", first=7)) == [(7, "SELECT 1,"), (8, "  2;")]


def test_blank_lines_count() -> None:
    assert lines(to_html("\n\nSELECT 1;\n")) == [(1, ""), (2, ""), (3, "SELECT 1;")]


def test_windows_line_ends_are_one_line_end() -> None:
    assert lines(to_html("a\r\nb\rc")) == [(1, "a"), (2, "b"), (3, "c")]


def test_keywords_comments_and_texts_are_told_apart() -> None:
    html = to_html("SELECT 'x' -- why")
    assert '<span class="k">SELECT </span>' in html
    assert '<span class="s">&#x27;x&#x27; </span>' in html
    assert '<span class="c">-- why</span>' in html


def test_markup_in_sql_stays_text() -> None:
    assert "<script>" not in to_html("SELECT '<script>'; -- </span><img src=x>")
    assert "<img" not in to_html("SELECT '<script>'; -- </span><img src=x>")


@pytest.mark.parametrize("char", ["\u202e", "\u2066", "\u200b", "\ufeff", "\x07", "\u2400"])
def test_characters_that_deceive_are_shown(char: str) -> None:
    assert f'<span class="odd">U+{ord(char):04X}</span>' in to_html(f"SELECT 'a{char}b'")


def test_a_marked_line_stands_out_with_its_text() -> None:
    html = to_html("a\nb", marks={2: 'says "no"'}, prefix="f")
    assert '<span class="l at" data-n="2" id="f2" title="says &quot;no&quot;">' in html


def test_a_very_long_text_is_shown_plainly_and_whole() -> None:
    sql = "SELECT 1;\n" * (HIGHLIGHTED // 10 + 1)
    html = to_html(sql)
    assert '<span class="k">' not in html
    assert len(lines(html)) == sql.count("\n")


@given(st.text(st.characters(exclude_characters="".join(DECEIVING) + "\r", codec="utf-8"), max_size=200))
def test_nothing_of_a_text_is_lost_or_added(sql: str) -> None:
    shown = "\n".join(text for _number, text in lines(to_html(sql)))
    assert shown == sql.removesuffix("\n")


def test_each_number_can_lead_somewhere() -> None:
    html = to_html("SELECT 1;\nSELECT 2;", first=7, link="/say/?script=1&line=")
    assert '<a class="n" href="/say/?script=1&amp;line=7" aria-label="Comment on line 7"></a>' in html
    assert 'href="/say/?script=1&amp;line=8"' in html
    assert "<a" not in to_html("SELECT 1;")


def test_what_is_remembered_of_a_text_is_the_text_alone() -> None:
    text = "SELECT 'remembered';"
    assert to_html(text, first=1, prefix="a") != to_html(text, first=2, prefix="b")
    assert to_html(text, marks={1: "Here."}) != to_html(text)
    assert to_html(text) == to_html(text)
