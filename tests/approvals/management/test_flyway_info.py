"""`manage.py flyway_info` prints what Flyway would, from what is stored."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from approvals import history
from approvals.flyway.checksums import checksum
from approvals.flyway.rows import HistoryRow
from approvals.pages import target_overview
from tests.approvals import factories
from tests.approvals.factories import World

pytestmark = pytest.mark.integration


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


def test_a_repeatable_migration_is_read_with_the_target_s_placeholders_as_on_its_page(
    world: World, tmp_path: Path
) -> None:
    factories.import_files(world, tmp_path, factories.FILES | {"R__v.sql": "SELECT '${limit}';\n"})
    refused = "R__v.sql, line 1, column 9: no value for the placeholder ${limit}"
    with pytest.raises(CommandError, match=re.escape(f"Flyway would refuse these files: {refused}.")):
        printed(world.production.name)
    assert target_overview.overview(world.production).refused == refused
    target = world.production
    target.placeholders = {"LIMIT": "5"}
    target.save()
    rows = history.rows_of(target)
    filled, at = checksum(b"SELECT '5';\n"), rows[0].installed_on
    run = HistoryRow(9, None, "v", "SQL", "R__v.sql", filled, "flyway", at, 1, True)
    history.record_sync(
        target,
        [*rows, run],
        system_identifier="7311111111111111111",
        database_oid=1,
        server_version="180000",
    )
    assert "Success" in next(line for line in printed(target.name).splitlines() if " v " in line)
    (line,) = [line for line in target_overview.overview(target).lines if line.flyway.version is None]
    assert (line.flyway.state.value, line.flyway.drift) == ("Success", False)
