"""Versions compare as Flyway compares them."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.flyway.versions import MalformedVersion, Version

EQUAL = [
    ("001", "1", "1.0", "1_0", "1.0.0", "01_00"),
    ("2025.11.22.001", "2025_11_22_1", "2025.11.22.1.0"),
    ("0", "00", "0.0"),
]
ASCENDING = ["0", "0.1", "1", "1.0.1", "1.1", "1.2", "1.10", "2", "10", "999", "2025.11.22", "2025.11.22.001"]
MALFORMED = [
    "",
    ".",
    "1.",
    ".1",
    "1..2",
    "1._2",
    "a",
    "1a",
    "003A",
    "1-2",
    "-1",
    "+1",
    " 1",
    "1 ",
    "1\n",
    "١",
    "current",
]

texts = st.lists(st.from_regex(r"[0-9]{1,5}", fullmatch=True), min_size=1, max_size=6).map(".".join)
versions = texts.map(Version.parse)


@pytest.mark.parametrize("same", EQUAL)
def test_ways_to_write_one_version_are_equal_and_hash_equal(same: tuple[str, ...]) -> None:
    assert len({Version.parse(text) for text in same}) == 1


@pytest.mark.parametrize(("lower", "higher"), list(itertools.combinations(ASCENDING, 2)))
def test_numbers_are_compared_as_numbers_part_by_part(lower: str, higher: str) -> None:
    assert Version.parse(lower) < Version.parse(higher)
    assert not Version.parse(higher) <= Version.parse(lower)


@pytest.mark.parametrize("text", MALFORMED)
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(MalformedVersion, match="is not a version"):
        Version.parse(text)


def test_the_text_keeps_leading_zeros_and_has_dots_for_underscores() -> None:
    version = Version.parse("2025_11_22_001")
    assert version.text == str(version) == "2025.11.22.001"
    assert version.parts == (2025, 11, 22, 1)


def test_a_version_longer_than_the_column_of_the_history_is_refused() -> None:
    assert Version.parse("9" * 50).parts == (int("9" * 50),)
    with pytest.raises(MalformedVersion, match="51 characters"):
        Version.parse("9" * 51)


@given(st.text())
def test_any_text_is_a_version_or_malformed(text: str) -> None:
    with contextlib.suppress(MalformedVersion):
        assert Version.parse(text).parts


@given(texts)
def test_the_text_survives_a_round_trip(text: str) -> None:
    version = Version.parse(text)
    assert version.text == text
    assert Version.parse(version.text.replace(".", "_")) == version


@given(versions, st.integers(0, 3), st.integers(0, 3))
def test_leading_and_trailing_zeros_change_nothing(version: Version, leading: int, trailing: int) -> None:
    other = Version.parse("0" * leading + version.text + ".0" * trailing)
    assert other == version
    assert hash(other) == hash(version)
    assert not other < version


@given(versions, versions, versions)
def test_the_order_is_total(a: Version, b: Version, c: Version) -> None:
    assert [a < b, a == b, a > b].count(True) == 1
    assert (a <= b) == (not b < a)
    if a <= b <= c:
        assert a <= c


@given(texts, texts)
def test_the_order_is_that_of_parts_padded_with_zeros(a: str, b: str) -> None:
    padded = zip(
        *itertools.zip_longest(map(int, a.split(".")), map(int, b.split(".")), fillvalue=0), strict=True
    )
    left, right = padded
    assert (Version.parse(a) < Version.parse(b)) == (left < right)
