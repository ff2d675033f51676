"""The page of contacts and the forms of an admin."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from approvals.models import Contact, Service, Team, User
from tests.approvals.factories import World
from tests.approvals.views.visits import as_, see, send

pytestmark = pytest.mark.integration

NEW = {
    "duty": "primary_dba",
    "team": "",
    "service": "",
    "name": "Dora Haddad",
    "email": "dora@waqiti.example",
    "phone": "+254 20 123 4567",
}


@pytest.mark.parametrize("name", ["alice", "dora", "axel"])
def test_everybody_reads_the_path_and_who_is_missing_and_who_can_change_that(name: str, world: World) -> None:
    page = see(as_(world.people[name]), "/contacts/")
    assert "Nobody is named as Primary DBA , Backup DBA , Platform lead . An admin names them: Adam" in page
    assert page.leads_to("/people/adam/")
    assert "First, for 30 minutes Attempt a forward fix" in page
    assert not page.leads_to("/contacts/new/")


def test_where_nobody_is_admin_the_page_says_how_one_is_made(world: World) -> None:
    User.objects.filter(username="adam").update(is_active=False)
    assert "manage.py add_person" in see(as_(world.dora), "/contacts/")


def test_an_admin_names_changes_and_takes_away_a_contact(world: World) -> None:
    client = as_(world.adam)
    page = send(client, "/contacts/new/", **NEW)
    assert "Dora Haddad is named as Primary DBA." in page
    assert "tel:+254201234567" in page.html
    contact = Contact.objects.get()
    page = send(
        client, f"/contacts/{contact.pk}/", **(NEW | {"name": "Dan Obi", "service": "wallet-service"})
    )
    assert "For wallet-service" in page
    page = see(client, f"/contacts/{contact.pk}/remove/")
    assert "Take Dan Obi away as Primary DBA?" in page
    assert "the contact of its team or the general one is called" in page
    page = send(client, f"/contacts/{contact.pk}/remove/")
    assert "Dan Obi is no contact any more." in page
    assert not Contact.objects.exists()


def test_the_form_of_a_missing_duty_begins_with_that_duty(world: World) -> None:
    html = see(as_(world.adam), "/contacts/new/", duty="backup_dba").html
    assert '<option value="backup_dba" selected>' in html


@pytest.mark.parametrize(
    ("field", "value"),
    [("phone", "call me"), ("phone", "123"), ("email", "dora"), ("name", ""), ("duty", "janitor")],
)
def test_what_can_t_be_called_is_said_beside_its_field_and_the_rest_is_kept(
    field: str, value: str, world: World
) -> None:
    page = send(as_(world.adam), "/contacts/new/", **(NEW | {field: value}))
    assert page.status == 400
    assert f'id="id_{field}_error"' in page.html
    assert field == "name" or page.fields["name"] == "Dora Haddad"
    assert not Contact.objects.exists()


@pytest.mark.parametrize("phone", ["+254 20 123 4567", "020-1234567", "+1 (555) 010-0199 ext. 12", "110 110"])
def test_numbers_are_taken_as_people_write_them(phone: str, world: World) -> None:
    send(as_(world.adam), "/contacts/new/", **(NEW | {"phone": phone}))
    assert Contact.objects.get().phone == phone


def test_two_places_at_once_are_refused_on_the_page(world: World) -> None:
    page = send(as_(world.adam), "/contacts/new/", **(NEW | {"team": "wallets", "service": "wallet-service"}))
    assert page.status == 409
    assert "not for both" in page


def test_a_hundred_contacts_take_as_many_queries_as_two(
    world: World, queries_of: Callable[[Client, str], int]
) -> None:
    client = as_(world.dora)
    client.get("/contacts/")
    counts = []
    for rows in (2, 100):
        for _row in range(rows):
            service = Service.objects.create(name=f"s{Service.objects.count()}", team=world.service.team)
            Contact.objects.create(
                duty="primary_dba", service=service, name="N", email="n@x.example", phone="1"
            )
        counts.append(queries_of(client, "/contacts/"))
    assert counts[0] == counts[1]


def test_many_places_stand_in_pages_can_be_searched_and_printed_whole(world: World) -> None:
    team = Team.objects.create(name="own-team")
    services = Service.objects.bulk_create(Service(name=f"own-{n:02}", team=team) for n in range(59))
    person = {"duty": "primary_dba", "name": "Dan", "email": "d@waqiti.example", "phone": "+254201234"}
    Contact.objects.bulk_create(Contact(service=service, **person) for service in services)
    Contact.objects.create(team=team, **person)
    client = as_(world.alice)
    first = see(client, "/contacts/")
    assert "Page 1 of 2, 60 in all" in first
    assert "For the services of team own-team" in first
    assert "For own-48" in first
    assert "For own-49" not in first
    assert "For own-49" in see(client, "/contacts/", page="2")
    assert "For own-58" in see(client, "/contacts/", all="1")
    found = see(client, "/contacts/", q="own-58")
    assert "For own-58" in found
    assert "For own-57" not in found
    assert "For everything" in found
    assert "No team or service of that name" in see(client, "/contacts/", q="nobody")
