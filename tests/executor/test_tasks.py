"""What beat lets workers do: for each of several, whatever becomes of the others."""

from __future__ import annotations

import logging

import pytest

from executor.tasks import each


def test_what_is_wrong_with_one_says_nothing_about_the_others(caplog: pytest.LogCaptureFixture) -> None:
    done: list[float] = []
    with caplog.at_level(logging.ERROR):
        each([1, 0, 2], lambda one: done.append(1 / one))
    assert done == [1.0, 0.5]
    assert "0 is left until the next time" in caplog.text
