"""Fixtures of the pages' tests: signed-in clients, and for each kind of object one of each team."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from django.test import Client

    from approvals.models import User
    from tests.approvals.factories import World
    from tests.approvals.views.objects import Objects


@pytest.fixture
def sign_in() -> Callable[[User | None], Client]:
    """`sign_in(world.alice)`: a new client of this person; of nobody for None."""
    from django.test import Client

    def sign_in(user: User | None) -> Client:
        client = Client(raise_request_exception=True)
        if user is not None:
            client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return sign_in


@pytest.fixture
def objects(world: World, tmp_path: Path) -> dict[str, Objects]:
    """`objects["wallet"]` is what alice's team has, `objects["ledger"]` what eve's has: one of each kind."""
    from tests.approvals.views.objects import ledger, wallet

    return {"wallet": wallet(world), "ledger": ledger(world, tmp_path / "ledger")}


@pytest.fixture
def queries_of() -> Callable[[Client, str], int]:
    """How many queries a page takes, once its person's session and roles were read."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def count(client: Client, url: str, **kwargs: Any) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(url, **kwargs).status_code == 200
        return len(captured)

    return count
