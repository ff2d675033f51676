"""Checksums equal Flyway's, and bytes that are no text are located."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from approvals.flyway.checksums import (
    BOM,
    EncodingProblem,
    checksum,
    checksum_of_text,
    decode,
    line_starts,
    position,
    same_lines,
)

# Computed by Flyway 13.0.0 itself for files of these bytes.
BY_FLYWAY = [
    (b"", 0),
    (b"select 1;", -690524359),
    (b"select 1;\n", -690524359),
    (b"select 1;\r\nselect 2;\r\n", -593479011),
    (b"select 1;\rselect 2;\r", -593479011),
    (b"\xef\xbb\xbfselect 1;\n", -690524359),
    (b"\xef\xbb\xbf\xef\xbb\xbfselect 1;\n", 1918699538),
    (b"\n\xef\xbb\xbfselect 1;\n", 1918699538),
    ("select 'é€😀';\n".encode(), -2079614169),
    ("a\u2028b\u0085c\x0bd\x0ce\x1cf\n".encode(), -2023078593),
]

LOCATED = [
    # bytes, line, column, byte, guess
    (b"\xe9", 1, 1, 0xE9, "Latin-1"),
    (b"select 1;\n-- caf\xe9 au lait\n", 2, 7, 0xE9, "Latin-1"),
    (b"a\rb\r\nc\n\n--\xfc", 5, 3, 0xFC, "Latin-1"),
    (b"a\x0b\x0c\xe9", 1, 4, 0xE9, "Latin-1"),
    ("€€€".encode() + b"\xe9", 1, 4, 0xE9, "UTF-8 with damaged characters"),
    (b"\xef\xbb\xbfab\xe9", 1, 3, 0xE9, "UTF-8 with damaged characters"),
    (b"-- \x93quoted\x94", 1, 4, 0x93, "Windows-1252"),
    ("select 1;".encode("utf-16"), 1, 1, 0xFF, "UTF-16"),
    (b"ab\xed\xa0\x80", 1, 3, 0xED, "Windows-1252"),
]

pieces = st.sampled_from(
    ["\n", "\r", "\r\n", BOM, "\u2028", "\u0085", "\x0b", "\x0c", "\x1c", "a", "é", "😀", "\0"]
)
texts = st.lists(pieces | st.text()).map("".join)


def by_the_rule(data: bytes) -> int:
    """The rule told slowly: read line by line, drop the mark from the first, feed each as UTF-8."""
    lines, line, skip = [], "", False
    for character in data.decode("utf-8"):
        if skip and character == "\n":
            skip = False
            continue
        skip = character == "\r"
        if character in "\r\n":
            lines.append(line)
            line = ""
        else:
            line += character
    lines.append(line)
    if lines[0][:1] == "\ufeff":
        lines[0] = lines[0][1:]
    crc = 0
    for line in lines:
        crc = zlib.crc32(line.encode("utf-8"), crc)
    return int.from_bytes(crc.to_bytes(4, "big"), "big", signed=True)


@pytest.mark.parametrize(("data", "expected"), BY_FLYWAY)
def test_the_checksum_is_flyways(data: bytes, expected: int) -> None:
    assert checksum(data) == expected


@given(texts)
@example("\ufeff\ufeffa")
@example("\n\ufeffa\r\r\n")
def test_the_checksum_follows_the_rule(text: str) -> None:
    data = text.encode("utf-8")
    assert checksum(data) == by_the_rule(data)
    assert -(2**31) <= checksum(data) < 2**31


@given(texts)
def test_line_ends_and_one_mark_in_front_do_not_count(text: str) -> None:
    text = text.lstrip(BOM)
    as_unix = text.replace("\r\n", "\n").replace("\r", "\n")
    for variant in (as_unix, as_unix.replace("\n", "\r\n"), as_unix.replace("\n", "\r"), BOM + as_unix):
        assert checksum(variant.encode("utf-8")) == checksum(text.encode("utf-8"))


@given(texts, st.sampled_from("abcé \t\u2028"))
def test_any_other_character_counts(text: str, more: str) -> None:
    assert checksum((text + more).encode("utf-8")) != checksum(text.encode("utf-8"))


def test_another_encoding_gives_the_checksum_of_the_same_text() -> None:
    text = "select 'café';\n"
    assert checksum(text.encode("latin-1"), "latin-1") == checksum(text.encode("utf-8"))


@pytest.mark.parametrize(("data", "line", "column", "byte", "guess"), LOCATED)
def test_the_first_byte_that_is_no_text_is_located(
    data: bytes, line: int, column: int, byte: int, guess: str
) -> None:
    with pytest.raises(EncodingProblem) as refused:
        checksum(data)
    problem = refused.value
    assert (problem.line, problem.column, problem.byte) == (line, column, byte)
    assert guess in problem.guess
    assert f"byte 0x{byte:02X} at line {line}, column {column} is not UTF-8" in str(problem)


def by_ends(data: bytes) -> int:
    return data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")


@given(st.binary())
def test_any_bytes_are_text_or_located(data: bytes) -> None:
    good = data.decode("utf-8", "ignore").encode("utf-8")
    if good == data:
        assert decode(data) == data.decode("utf-8")
        return
    with pytest.raises(EncodingProblem) as refused:
        decode(data)
    first = next(place for place, byte in enumerate(data) if place >= len(good) or good[place] != byte)
    assert refused.value.line <= by_ends(data[:first]) + 1


@given(texts, st.integers(0))
def test_positions_count_lines_by_flyways_ends_only(text: str, offset: int) -> None:
    offset %= len(text) + 1
    line, column = position(line_starts(text), offset)
    before = text[: line_starts(text)[line - 1]]
    assert before.count("\n") + before.count("\r") - before.count("\r\n") == line - 1
    assert len(before) + column - 1 == offset


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("\ufeff-- a\r\nDROP TABLE b;\r\n", True),
        ("-- a\n\n\nDROP TABLE b;", True),
        ("-- aDROP TABLE b;\n", False),
        ("-- a\nDROP TABLE \nb;\n", False),
    ],
)
def test_texts_of_one_checksum_are_told_apart_by_their_lines(other: str, same: bool) -> None:
    text = "-- a\nDROP TABLE b;\n"
    assert checksum_of_text(other) == checksum_of_text(text)
    assert same_lines(text, other) is same
