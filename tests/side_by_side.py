"""The tests in several processes side by side (`pytest -n 2`, which is what `make test` does).

Every process has servers, directories and ports of its own (tests/environment.py), so none sees another. The
tests of a file stay together: they share what is dear to make. Whatever takes long comes first, so that the
processes end at about the same time.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

from tests.environment import ESTATE

# Directories below tests/, the dearest test first; all others follow.
DEAR_FIRST = (
    "differential",
    "waqiti_rollback",
    "browser",
    "outcomes",
    "executor",
    "approvals/views",
    "approvals",
)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """The process that only hands out tests needs no servers."""
    if not hasattr(config, "workerinput") and config.getoption("numprocesses", None):
        ESTATE.release()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the dear ones first; files stay in one piece and in their order."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _dearness(item.nodeid))


def _dearness(nodeid: str) -> int:
    path = PurePosixPath(nodeid.partition("::")[0]).parent
    places = [path.is_relative_to(PurePosixPath("tests", directory)) for directory in DEAR_FIRST]
    return [*places, True].index(True)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Hand out file by file, in the order of collection, whatever `--dist` says."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


class ByFile(LoadScopeScheduling):
    """Hands out all tests of a file together."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0]
