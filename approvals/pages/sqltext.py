"""SQL as HTML: line numbers, greys instead of colours, every character that could deceive made visible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from django.utils.html import conditional_escape, escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from pygments.lexers.sql import PostgresLexer
from pygments.token import Comment, Keyword, String, _TokenType

# Characters that change how a line reads without being seen: bidirectional controls, zero width, control
# characters, and the symbol that stands for NUL.
DECEIVING = frozenset("\u061c\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u2060\ufeff\u2400") | {
    chr(code)
    for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0x09), *range(0x0B, 0x20), 0x7F)
}
# Longer texts are shown without highlighting: a lexer is slower than a reader at that size.
HIGHLIGHTED = 200_000
# Texts up to this many characters are kept as HTML.
REMEMBERED = 20_000
_CLASSES: tuple[tuple[_TokenType, str], ...] = ((Keyword, "k"), (Comment, "c"), (String, "s"))


def to_html(
    sql: str,
    *,
    first: int = 1,
    prefix: str = "",
    marks: Mapping[int, str] | None = None,
    link: str = "",
) -> SafeString:
    """One element per line with its number in `data-n`, counting from `first`.

    `prefix` makes each line a link target (`<prefix>12`). Lines in `marks` stand out, with a text as title.
    `link` is an address to which each line's number leads, with the number appended: a link that has to be
    reached by keyboard, too.
    """
    lines = _remembered(sql) if len(sql) <= REMEMBERED else tuple(_lines(sql))
    target, href, marks = escape(prefix), escape(link), marks or {}
    says = escape(_("Comment on line %d")) if link else ""
    html = []
    for number, line in enumerate(lines, start=first):
        css = "l at" if number in marks else "l"
        about = f' id="{target}{number}"' if prefix else ""
        if marks.get(number):
            about += f' title="{escape(marks[number])}"'
        to = f'<a class="n" href="{href}{number}" aria-label="{says % number}"></a>' if link else ""
        html.append(f'<span class="{css}" data-n="{number}"{about}>{to}{line}</span>')
    return mark_safe("".join(html))  # noqa: S308 (every part was escaped)


@lru_cache(maxsize=512)
def _remembered(sql: str) -> tuple[str, ...]:
    """The lines of a text as HTML. They follow from the text alone, and pages show the same texts again and
    again: together at most some 30 MB per process."""
    return tuple(_lines(sql))


def _lines(sql: str) -> Iterator[str]:
    sql = sql.replace("\r\n", "\n").replace("\r", "\n")
    line: list[str] = []
    for css, text in _tokens(sql):
        for place, piece in enumerate(text.split("\n")):
            if place:
                yield "".join(line)
                line = []
            if piece:
                shown = visible(piece)
                line.append(f'<span class="{css}">{shown}</span>' if css else shown)
    if line or not sql:
        yield "".join(line)


def _tokens(sql: str) -> Iterator[tuple[str, str]]:
    """(class, text) with neighbours of one class joined; the texts together are the SQL."""
    if len(sql) > HIGHLIGHTED:
        yield "", sql
        return
    last, joined = "", ""
    for token, text in PostgresLexer(stripnl=False, ensurenl=False).get_tokens(sql):
        css = next((name for kind, name in _CLASSES if token in kind), "")
        if css == last or text.isspace():
            joined += text
            continue
        if joined:
            yield last, joined
        last, joined = css, text
    if joined:
        yield last, joined


def visible(text: str) -> SafeString:
    """The text escaped, every character that could deceive as its code point in a box."""
    if DECEIVING.isdisjoint(text):
        return conditional_escape(text)
    shown = [
        format_html('<span class="odd">U+{}</span>', f"{ord(char):04X}")
        if char in DECEIVING
        else conditional_escape(char)
        for char in text
    ]
    return mark_safe("".join(shown))  # noqa: S308
