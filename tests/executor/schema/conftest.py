"""A shadow database for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from executor.schema.shadow import Shadow
from waqiti_rollback.embedded import Cluster


@pytest.fixture
def shadow(scratch_cluster: Cluster) -> Iterator[Shadow]:
    """An empty database on the scratch server."""
    made = Shadow(scratch_cluster.superuser_dsn())
    yield made
    made.drop()
