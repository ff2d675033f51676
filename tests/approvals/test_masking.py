"""Rules of masking: two people where one could uncover somebody, and what they say is what is in force."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction
from django.urls import reverse

from approvals import masking
from approvals.errors import Denied, Refused
from approvals.masks import SHIPPED, Masking, Method, Rule
from approvals.models import MaskingRule
from tests.approvals.factories import World, body
from tests.approvals.views.visits import as_, see

pytestmark = pytest.mark.integration


def rule(
    world: World, columns: str = "public.users.nick", method: str = "scramble", why: str = ""
) -> MaskingRule:
    return masking.propose(world.service, columns=columns, method=method, reason=why, actor=world.adam)


def test_one_that_masks_counts_at_once_and_two_people_take_it_away(world: World) -> None:
    before = masking.masking_for(world.service).digest
    made = rule(world)
    assert masking.in_force(world.service) == (Rule("public.users.nick", "scramble"),)
    assert masking.masking_for(world.service).digest != before
    masking.remove(made, actor=world.adam)
    assert len(masking.in_force(world.service)) == 1
    made.refresh_from_db()
    with pytest.raises(Denied, match="somebody else"):
        masking.confirm(made, actor=world.adam)
    masking.confirm(made, actor=world.dora)
    assert masking.in_force(world.service) == ()
    assert masking.masking_for(world.service).digest == before
    assert body("masking.removed")["facts"]["columns"] == "public.users.nick"


def test_one_that_keeps_counts_when_somebody_else_confirmed_it_and_one_takes_it_away(world: World) -> None:
    made = rule(world, method="keep", why="A shop's name.")
    assert masking.in_force(world.service) == ()
    with pytest.raises(Denied):
        masking.confirm(made, actor=world.adam)
    masking.confirm(made, actor=world.dan)
    assert masking.in_force(world.service) == (Rule("public.users.nick", "keep"),)
    made.refresh_from_db()
    masking.remove(made, actor=world.dora)
    assert masking.in_force(world.service) == ()


def test_no_comes_to_nothing(world: World) -> None:
    made = rule(world, method="keep", why="A shop's name.")
    masking.dismiss(made, actor=world.dora)
    made.refresh_from_db()
    assert made.removed_at is not None
    other = rule(world)
    masking.remove(other, actor=world.adam)
    masking.dismiss(other, actor=world.dora)
    assert masking.in_force(world.service) == (Rule("public.users.nick", "scramble"),)
    with pytest.raises(Refused, match="Nothing of it waits"):
        masking.dismiss(MaskingRule.objects.get(pk=other.pk), actor=world.dora)


@pytest.mark.parametrize(
    ("columns", "method", "why"),
    [
        ("users.nick", "scramble", "schema.table.column"),
        ("public.users.nick name", "scramble", "schema.table.column"),
        ("public.users.nick", "shuffle", "Choose"),
        ("public.users.nick", "keep", "Say why"),
    ],
)
def test_what_says_nothing_is_refused(world: World, columns: str, method: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        rule(world, columns, method)


def test_only_admins_make_rules_and_one_for_the_same_columns(world: World) -> None:
    with pytest.raises(Denied):
        masking.propose(world.service, columns="a.b.c", method="erase", actor=world.dora)
    rule(world)
    with pytest.raises(Refused, match="exactly these columns"):
        rule(world, method="erase")


def test_the_database_holds_what_a_rule_says_and_that_two_people_stand_behind_it(world: World) -> None:
    made = rule(world)
    stored = MaskingRule.objects.filter(pk=made.pk)
    for change in ({"columns": "x.y.z"}, {"method": "keep"}, {"proposed_by": world.dora}):
        with pytest.raises(DatabaseError, match=r"never changes"), transaction.atomic():
            stored.update(**change)
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        made.delete()
    with pytest.raises(DatabaseError, match="masking_rule_removed_by_two"), transaction.atomic():
        stored.update(removed_by=world.adam, removed_at=made.proposed_at)


def test_names_tell_what_is_shipped_and_nothing_more() -> None:
    def kind(table: str, column: str) -> str:
        return next((each.key for each in SHIPPED if each.is_called(table, column)), "")

    assert [kind("users", name) for name in ("email", "contact_email", "eMail_address")] == ["e-mail"] * 3
    assert [kind("t", name) for name in ("phone", "msisdn", "mobile_number")] == ["phone number"] * 3
    assert [kind("t", name) for name in ("iban", "payee_iban")] == ["IBAN"] * 2
    assert [kind("t", name) for name in ("card_number", "pan", "credit_card_no")] == ["card number"] * 3
    assert [kind("t", name) for name in ("first_name", "surname", "cardholder_name")] == ["person's name"] * 3
    assert (kind("customers", "name"), kind("currencies", "name")) == ("person's name", "")
    for name in (
        "id",
        "amount",
        "status",
        "table_name",
        "file_name",
        "company",
        "panel",
        "telemetry",
        "hostname",
    ):
        assert kind("t", name) == "", name
    digests = {
        Masking(rules, rows).digest for rules in ((), (Rule("a.b.c", "erase"),)) for rows in (True, False)
    }
    assert len(digests) == 3


def test_its_page_leads_through_two_people(world: World) -> None:
    address = reverse("masking_rules", args=[world.service.name])
    sent = {"columns": "public.users.nick", "method": Method.KEEP, "reason": "A shop's name."}
    assert as_(world.adam).post(address, sent).status_code == 302
    made = MaskingRule.objects.get()
    assert "You asked for it" in see(as_(world.adam), address).text
    page = see(as_(world.dora), address)
    assert "waits for a second person" in page.text
    assert "New rule" not in page.text
    assert (
        as_(world.dora).post(reverse("masking_confirm", args=[made.pk]), {"removal": "1"}).status_code == 409
    )
    assert as_(world.dora).post(reverse("masking_confirm", args=[made.pk])).status_code == 302
    assert "in force" in see(as_(world.alice), address).text
    assert as_(world.dora).post(reverse("masking_remove", args=[made.pk])).status_code == 302
    bad = as_(world.adam).post(address, sent | {"columns": "nick"})
    assert bad.status_code != 200
    assert b"schema.table.column" in bad.content
