"""`manage.py flyway_info` prints what Flyway would, from what is stored."""

from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.core.management import CommandError, call_command

if TYPE_CHECKING:
    from tests.approvals.factories import World


def printed(*arguments: str) -> str:
    out = StringIO()
    call_command("flyway_info", *arguments, stdout=out)
    return out.getvalue()


def test_the_table_shows_applied_and_pending(world: World) -> None:
    lines = printed(world.production.name).splitlines()
    assert lines[0] == "Schema version: 3"
    states = [line.split("|")[6].strip() for line in lines[5:-1]]
    assert states[:3] == ["Success"] * 3
    assert set(states[3:]) <= {"Pending"}


def test_json_holds_the_same(world: World) -> None:
    document = json.loads(printed(world.production.name, "--json"))
    assert (document["target"], document["schemaVersion"]) == (world.production.name, "3")
    first = document["migrations"][0]
    assert (first["version"], first["state"], first["installedRank"], first["drift"]) == (
        "1",
        "Success",
        1,
        False,
    )


def test_an_unknown_target_and_one_never_read_are_told(world: World) -> None:
    with pytest.raises(CommandError, match="There is no target nowhere; known are"):
        printed("nowhere")
    type(world.production).objects.filter(pk=world.production.pk).update(synced_at=None)
    with pytest.raises(CommandError, match="was never read: run sync_target"):
        printed(world.production.name)
