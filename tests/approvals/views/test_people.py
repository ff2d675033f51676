"""Pages about people: who holds which role, what roles allow, and what one person has open and did."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from approvals import followups
from approvals.models import Role, Service, Status, User
from approvals.pages import people_page
from approvals.workflow import Party
from tests.approvals import factories
from tests.approvals.factories import World
from tests.approvals.views.visits import as_, see

pytestmark = pytest.mark.integration


def names(found: object) -> list[str]:
    return [user.username for user in found]  # type: ignore[attr-defined]


def test_people_are_listed_with_roles_teams_services_and_when_they_were_seen(world: World) -> None:
    User.objects.filter(username="alice").update(last_login=timezone.now() - timedelta(hours=3))
    page = see(as_(world.dora), "/people/")
    assert "Alice alice Engineer wallets wallet-service" in page
    assert "3 h ago" in page
    assert "never signed in" in page
    assert "Ida" not in page


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"role": "senior_dba"}, ["ada", "dan", "dora"]),
        ({"role": "senior_dba", "state": "all"}, ["ada", "dan", "dora", "ida"]),
        ({"state": "disabled"}, ["ida"]),
        ({"team": "ledger"}, ["eve"]),
        ({"text": "do"}, ["dora"]),
        ({"role": "nonsense", "text": "lea"}, ["lea"]),
        ({"team": "wallets", "role": "engineer", "sort": "username"}, ["ada", "alice", "bob"]),
    ],
)
def test_people_are_found_by_role_team_name_and_account(
    wanted: dict[str, str], found: list[str], world: World
) -> None:
    assert names(people_page.listed(**wanted)) == found


def test_people_are_sorted_by_when_they_were_seen_the_never_seen_last(world: World) -> None:
    User.objects.filter(username="olga").update(last_login=timezone.now())
    assert names(people_page.listed(sort="seen"))[0] == "olga"


def test_a_thousand_people_take_as_many_queries_as_ten(
    world: World, queries_of: Callable[[Client, str], int]
) -> None:
    client, engineers = as_(world.dora), Group.objects.get(name=Role.ENGINEER)
    client.get("/people/")
    few = queries_of(client, "/people/")
    made = User.objects.bulk_create(User(username=f"u{n}", first_name="Zoe") for n in range(300))
    engineers.user_set.add(*made)
    assert queries_of(client, "/people/") == few <= 13


# What roles allow


def test_roles_are_told_by_the_tables(world: World) -> None:
    cards = {card.role: card for card in people_page.roles()}
    assert "start executions" in cards[Role.OPS].does
    assert cards[Role.OPS].moves == ["Executing (from approved)"]
    assert "start executions" not in cards[Role.SENIOR_DBA].does
    assert cards[Role.ADMIN].moves == []
    assert not any("approve" in deed for deed in cards[Role.ADMIN].does)
    assert any("export" in deed for deed in cards[Role.AUDITOR].does)
    assert cards[Role.ENGINEER].sees == "the services of their teams"
    assert cards[Role.SENIOR_DBA].holders == 3  # ida is disabled


def test_every_deed_is_of_a_url_and_every_party_is_somebody() -> None:
    from approvals.permissions import TABLE

    assert set(people_page.DEEDS) | set(people_page.READS) <= set(TABLE)
    assert {*people_page.PARTY.values(), Party.PORTAL} == set(Party)


# One person


def test_a_person_s_page_shows_what_is_open_as_far_as_the_reader_sees_it(world: World) -> None:
    rollback = factories.rollback_in(world, Status.IN_REVIEW)
    incident = factories.incident(world)
    day = timezone.localdate() + timedelta(days=3)
    followups.add_action(incident, text="Watch it", owner=world.alice, due_on=day, actor=world.bob)
    page = see(as_(world.dora), "/people/alice/")
    assert rollback.label in page
    assert "Watch it" in page
    stranger = see(as_(world.eve), "/people/alice/")
    assert rollback.label not in stranger
    assert "Watch it" not in stranger
    assert "Nothing of theirs is open, as far as you see." in stranger


def test_what_somebody_did_lately_is_for_those_who_read_the_trail(world: World) -> None:
    factories.draft(world)
    assert "asked for a rollback" in see(as_(world.axel), "/people/alice/")
    page = see(as_(world.bob), "/people/alice/")
    assert "Lately" not in page
    assert "asked for a rollback" not in page


def test_of_a_team_with_many_services_the_first_are_named(world: World) -> None:
    team = world.alice.teams.get()
    owned = [Service(name=f"many-{number:02}", team=team) for number in range(people_page.NAMED)]
    Service.objects.bulk_create(owned)
    [line] = people_page.teams_of(world.alice)
    assert line.services == sorted(each.name for each in team.services.all())[: people_page.NAMED]
    assert line.more == team.services.count() - people_page.NAMED > 0
    assert f"and {line.more} more" in see(as_(world.dora), "/people/alice/")


def test_a_disabled_person_holds_nothing(world: World) -> None:
    page = see(as_(world.dora), "/people/ida/")
    assert "disabled" in page
    assert "Nothing: they hold no role, or are disabled." in page


def test_nobody_of_this_name(world: World) -> None:
    assert see(as_(world.dora), "/people/nobody-at-all/").status == 404
