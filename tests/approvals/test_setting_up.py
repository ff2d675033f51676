"""People, services and targets are made known from the command line, and that is on record."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from approvals import filling
from approvals.models import AuditEvent, Role, Target, User

pytestmark = pytest.mark.django_db


def say(*command: str) -> str:
    """What the command prints."""
    out = io.StringIO()
    call_command(*command, stdout=out)
    return out.getvalue()


def test_from_nothing_to_a_target_that_its_dba_can_prepare() -> None:
    said = say("add_person", "amina", "--name", "Amina Okafor", "--role", "engineer", "--team", "payments")
    amina = User.objects.get(username="amina")
    assert amina.roles == {Role.ENGINEER}
    assert amina.check_password(said.split(" with ")[1].split()[0])
    say("add_service", "cards", "--team", "payments")
    where = ("--host", "db", "--dbname", "cards", "--owner-role", "cards_owner")
    say("add_target", "cards-staging", "--service", "cards", "--environment", "staging", *where)
    production = ("--environment", "production", "--rehearsal-target", "cards-staging")
    said = say("add_target", "cards-production", "--service", "cards", *production, *where)
    target = Target.objects.get(name="cards-production")
    assert "target_setup_sql cards-production" in said
    assert (target.history_table, target.port) == ("flyway_schema_history", 5432)
    assert target.rehearsal_target is not None
    assert "cards_owner" in say("target_setup_sql", "cards-production")
    actions = list(AuditEvent.objects.order_by("seq").values_list("action", flat=True))
    assert [a for a in actions if a.endswith(".added")] == [
        "person.added",
        "service.added",
        "target.added",
        "target.added",
    ]


def test_what_is_taken_or_not_known_is_refused_in_a_sentence() -> None:
    where = ("--environment", "production", "--host", "db", "--dbname", "x", "--owner-role", "x")
    say("add_service", "cards", "--team", "payments")
    with pytest.raises(CommandError, match="There is a service cards already"):
        say("add_service", "cards", "--team", "payments")
    with pytest.raises(CommandError, match="There is no service other"):
        say("add_target", "t", "--service", "other", *where)
    with pytest.raises(CommandError, match="There is no staging target nowhere"):
        say("add_target", "t", "--service", "cards", "--rehearsal-target", "nowhere", *where)


def test_placeholders_get_values_lose_them_and_only_their_names_go_on_record() -> None:
    say("add_service", "cards", "--team", "payments")
    where = ("--host", "db", "--dbname", "cards", "--owner-role", "cards_owner")
    say("add_target", "cards-staging", "--service", "cards", "--environment", "staging", *where)
    assert say("set_placeholders", "--service", "cards", "Limit=5", "note=a=b").split() == [
        "Limit=5",
        "note=a=b",
    ]
    assert say("set_placeholders", "--target", "cards-staging", "limit=7").split() == ["limit=7"]
    assert say("set_placeholders", "--service", "cards", "LIMIT=6", "--remove", "Note").split() == ["LIMIT=6"]
    staging = Target.objects.select_related("service").get(name="cards-staging")
    assert dict(filling.on_target(staging).known)["limit"] == "7"
    last = AuditEvent.objects.filter(action="placeholders.set").order_by("seq").last()
    assert last is not None
    assert '"removed":["note"]' in last.body.replace(" ", "")
    assert "a=b" not in "".join(AuditEvent.objects.values_list("body", flat=True)), (
        "values are nobody's business"
    )
    for wrong, why in (
        (("--target", "other", "a=1"), "There is no target other"),
        (("--service", "cards", "--remove", "other"), "cards has no placeholder other"),
        (("--service", "cards", "a"), "“a” is not NAME=VALUE"),
        (("--service", "cards", "a=1", "A=2"), "given twice"),
        (("--service", "cards"), "Nothing to set"),
    ):
        with pytest.raises(CommandError, match=why):
            say("set_placeholders", *wrong)
