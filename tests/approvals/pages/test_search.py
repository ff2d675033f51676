"""What is found from every page: by number, version, name, and only what the reader may see."""

from __future__ import annotations

from typing import Any

import pytest

from approvals.models import Incident, Status, User
from approvals.pages import search
from tests.approvals import factories
from tests.approvals.factories import World

pytestmark = pytest.mark.integration


def found(user: User, text: str) -> dict[str, list[Any]]:
    return {group.kind: group.hits for group in search.find(user, text)}


def test_a_number_finds_the_rollback_however_it_is_written(world: World) -> None:
    rollback = factories.rollback_in(world, Status.DRAFT)
    for text in (f"{rollback.pk}", f"#{rollback.pk}", f"RB-{rollback.pk}", f"  rb-{rollback.pk} "):
        assert found(world.dora, text)["rollbacks"][0] == rollback


def test_the_number_of_an_incident_finds_the_incident_and_no_rollback_of_that_number(world: World) -> None:
    incident = Incident.objects.latest("pk")
    hits = found(world.dora, incident.label.lower())
    assert hits["incidents"][0] == incident
    assert all(each.pk != incident.pk for each in hits.get("rollbacks", []))


@pytest.mark.parametrize("text", ["3", "V3", "v3", "V3__index_wallets.sql", "003", "3.0"])
def test_a_version_finds_the_migration_as_flyway_compares_versions(world: World, text: str) -> None:
    assert found(world.dora, text)["migrations"][0] == world.migration("3")


def test_what_was_meant_exactly_comes_first(world: World) -> None:
    factories.import_files(world, _directory(world), {"V2025.11.22.001__Fix_keys.sql": "SELECT 1;\n"})
    groups = search.find(world.dora, "V2025.11.22.001")
    assert groups[0].kind == "migrations"
    assert groups[0].hits[0].version == "2025.11.22.001"
    assert search.find(world.dora, world.production.name)[0].kind == "targets"


def test_part_of_a_description_finds_migrations_and_the_rollbacks_of_them(world: World) -> None:
    hits = found(world.dora, "INDEX wall")
    assert hits["migrations"] == [world.migration("3")]
    assert {each.pk for each in hits["rollbacks"]} == {
        pk for (on, _status), pk in world.prepared.items() if on == "production"
    }


def test_targets_services_and_people_are_found_by_part_of_their_name(world: World) -> None:
    assert world.staging in found(world.dora, "stag")["targets"]
    assert world.service in found(world.dora, "wallet-s")["services"]
    assert found(world.dora, "OLG")["people"] == [world.olga]


def test_nobody_finds_what_belongs_to_another_team(world: World) -> None:
    rollback = factories.rollback_in(world, Status.DRAFT)
    assert rollback.incident is not None
    for text in (str(rollback.pk), rollback.incident.label, "V3", "index", "wallet", "production"):
        hits = found(world.eve, text)
        assert not {"rollbacks", "migrations", "targets", "services", "incidents"} & set(hits), text


def test_somebody_without_a_role_and_a_disabled_person_find_nothing(world: World) -> None:
    assert found(world.nora, "a") == {}
    assert found(world.ida, "a") == {}


def test_a_disabled_person_is_not_found(world: World) -> None:
    assert "people" not in found(world.dora, "ida")


@pytest.mark.parametrize(
    "text", ["", "   ", "\0", "%", "_", "' OR 1=1 --", "9" * 60, "RB-" + "9" * 18, "é" * 200]
)
def test_any_text_is_a_search(world: World, text: str) -> None:
    search.find(world.dora, text)
    for kind in search.GROUPS:
        hits = search.all_of(world.dora, text, kind)
        assert hits is None or list(hits) is not None


def test_a_sign_of_sql_is_a_letter_like_any_other(world: World) -> None:
    assert found(world.dora, "%") == {}


def test_more_than_fits_is_said(world: World) -> None:
    group = next(g for g in search.find(world.dora, "wallet", limit=2) if g.kind == "rollbacks")
    assert len(group.hits) == 2
    assert group.more


def _directory(world: World) -> Any:
    import tempfile
    from pathlib import Path

    directory = Path(tempfile.mkdtemp())
    factories.write_files(directory, dict(factories.FILES))
    return directory
