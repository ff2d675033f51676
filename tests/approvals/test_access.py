"""Who sees what: teams their own services, people whose work spans services all, nobody else anything."""

from __future__ import annotations

import pytest

from approvals import access, incidents
from approvals.models import Execution, Incident, Migration, RollbackRequest, Service, Status, Target, Team
from tests.approvals import factories
from tests.approvals.factories import ROLES, World, rollback_in, start

pytestmark = pytest.mark.integration

OWN = {"alice", "bob"}
ALL = {"ada", "dora", "dan", "lea", "olga", "axel", "adam"}


@pytest.fixture
def two_services(world: World) -> World:
    """The foreign service has something of everything, too."""
    factories.target(world.foreign, "ledger", environment="production")
    Migration.objects.create(service=world.foreign, version="1", version_key=[1], script="V1__x.sql")
    incidents.open_incident(world.foreign, title="a", reason="b", impact="c", actor=world.eve)
    RollbackRequest.objects.create(service=world.foreign, requester=world.eve)
    start(world, rollback_in(world, Status.APPROVED))
    return world


@pytest.mark.parametrize("name", list(ROLES))
def test_everybody_sees_their_own_and_only_some_see_all(name: str, two_services: World) -> None:
    user = two_services.people[name]
    expected: set[str] = set()
    if name in OWN | ALL:
        expected.add("wallet-service")
    if name in ALL | {"eve"}:
        expected.add("ledger-service")
    seen = {
        Service: {s.name for s in access.services(user)},
        Target: {t.service.name for t in access.targets(user)},
        Migration: {m.service.name for m in access.migrations(user)},
        RollbackRequest: {r.service.name for r in access.rollbacks(user)},
        Incident: {i.service.name for i in access.incidents(user)},
    }
    assert seen == dict.fromkeys(seen, expected)
    executions = {e.target.service.name for e in access.executions(user)}
    assert executions == expected & {"wallet-service"}


def test_what_is_seen_is_seen_once_by_somebody_in_two_teams(two_services: World) -> None:
    for team in Team.objects.all():
        team.members.add(two_services.alice)
    assert access.services(two_services.alice).count() == 2
    assert access.rollbacks(two_services.alice).count() == RollbackRequest.objects.count()
    assert access.executions(two_services.alice).count() == Execution.objects.count()


@pytest.mark.parametrize("name", list(ROLES))
def test_a_service_is_owned_by_the_engineers_of_its_team(name: str, world: World) -> None:
    assert access.owns(world.people[name], world.service.pk) == (name in {"alice", "bob", "ada"})
    assert access.owns(world.people[name], world.foreign.pk) == (name == "eve")


def test_a_member_without_the_role_of_an_engineer_owns_nothing(world: World) -> None:
    world.service.team.members.add(world.nora, world.axel)
    assert not access.owns(world.nora, world.service.pk)
    assert not access.owns(world.axel, world.service.pk)
    assert not access.services(world.nora).exists()
