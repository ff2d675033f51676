"""Whom to call: the closest contact counts, an admin keeps them, and what is missing is said."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from approvals import audit, contacts
from approvals.errors import Denied, Refused
from approvals.models import Contact
from tests.approvals.factories import World, body, trail

pytestmark = pytest.mark.integration

Duty = Contact.Duty


def name(world: World, who: str, duty: Duty = Duty.PRIMARY_DBA, **where: Any) -> Contact:
    """Adam names somebody."""
    place = {"team": None, "service": None} | where
    reached = {"email": f"{who.lower()}@waqiti.example", "phone": "+254 20 123 4567"}
    return contacts.save(None, duty=duty, name=who, actor=world.adam, **place, **reached)


def called(lines: list[contacts.Line]) -> list[str]:
    return [line.contact.name if line.contact else "nobody" for line in lines]


def test_where_nobody_was_named_that_is_said(world: World) -> None:
    assert called(contacts.general()) == ["nobody"] * 3
    assert [line.word for line in contacts.general()] == ["Primary DBA", "Backup DBA", "Platform lead"]


def test_the_closest_contact_counts(world: World) -> None:
    name(world, "Dora")
    name(world, "Dan", Duty.BACKUP_DBA)
    assert called(contacts.for_service(world.service)) == ["Dora", "Dan", "nobody"]
    name(world, "Ada", team=world.service.team)
    assert called(contacts.for_service(world.service))[0] == "Ada"
    name(world, "Lea", service=world.service)
    assert called(contacts.for_service(world.service))[0] == "Lea"
    assert called(contacts.for_service(world.foreign))[0] == "Dora"
    assert called(contacts.general())[0] == "Dora"


def test_whom_to_call_takes_one_query(world: World, django_assert_num_queries: Any) -> None:
    for place in ({}, {"team": world.service.team}, {"service": world.service}):
        name(world, "Dora", **place)
    with django_assert_num_queries(1):
        contacts.for_service(world.service)
    with django_assert_num_queries(1):
        contacts.general()


@pytest.mark.parametrize("who", ["alice", "dora", "lea", "olga", "axel", "nora"])
def test_only_an_admin_keeps_them(who: str, world: World) -> None:
    contact = name(world, "Dora")
    fields = {"duty": Duty.PRIMARY_DBA, "team": None, "service": None, "name": "Me", "email": "", "phone": ""}
    with pytest.raises(Denied):
        contacts.save(contact, **fields, actor=world.people[who])
    with pytest.raises(Denied):
        contacts.remove(contact, actor=world.people[who])
    assert Contact.objects.get().name == "Dora"
    assert trail()[-2:] == ["contact.changed.denied", "contact.removed.denied"]


def test_a_duty_is_held_once_in_each_place_in_the_database_too(world: World) -> None:
    name(world, "Dora")
    with pytest.raises(Refused, match="Dora is Primary DBA there already"):
        name(world, "Dan")
    with pytest.raises(IntegrityError), transaction.atomic():
        Contact.objects.create(duty=Duty.PRIMARY_DBA, name="Dan", email="d@x.example", phone="1")
    with pytest.raises(Refused, match="not for both"):
        name(world, "Dan", team=world.service.team, service=world.service)


def test_names_and_numbers_are_chained_by_their_digests(world: World) -> None:
    contact = name(world, "Dora", service=world.service)
    facts = body("contact.added")["facts"]
    assert facts == {
        "duty": "primary_dba",
        "service": "wallet-service",
        "name_sha256": audit.digest_of("Dora"),
        "email_sha256": audit.digest_of("dora@waqiti.example"),
        "phone_sha256": audit.digest_of("+254 20 123 4567"),
    }
    contacts.remove(contact, actor=world.adam)
    assert body("contact.removed")["facts"] == facts
    assert not Contact.objects.exists()


def test_a_number_is_dialled_without_what_people_write_between() -> None:
    assert Contact(phone="+254 (20) 123-4567").dialled == "+254201234567"


def test_the_escalation_path_has_the_four_steps_in_their_order() -> None:
    assert [str(step.what) for step in contacts.ESCALATION] == [
        "Attempt a forward fix",
        "Page the DBA team",
        "Stop. Full restore from backup",
        "Rollback with approval",
    ]
    assert "30 minutes" in str(contacts.ESCALATION[0].when)
