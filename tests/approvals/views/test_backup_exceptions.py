"""The exception instead of a backup by its page: who may send what, and where it is said what is there."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from approvals.known import Known
from approvals.models import BackupException, ExecutionStatus, RollbackRequest, RollbackTarget, Status
from tests.approvals import factories
from tests.approvals.factories import World, again, rollback_in
from tests.approvals.test_backup_exceptions import asked, beyond_reach, granted, lesser, signed
from tests.approvals.views.visits import as_, see, send

pytestmark = pytest.mark.integration

ASK, SIGN = "rollback_backup_exception", "rollback_backup_exception_sign"
DISMISS = "rollback_backup_exception_dismiss"
EVERYBODY = ("alice", "bob", "eve", "ada", "dora", "dan", "lea", "olga", "axel", "adam", "nora")


def post(world: World, name: str, verb: str, rollback: RollbackRequest, **data: object) -> int:
    client = as_(world.people[name], confirmed=True)
    answer: int = client.post(reverse(verb, args=[rollback.pk]), data).status_code
    return answer


def test_who_may_ask_sign_and_say_no(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    given = {"reason": "Payments are down.", "digest": rollback.request_digest}
    page = see(as_(world.olga), reverse(ASK, args=[rollback.pk]))
    assert "No worker found that this backup can't be had" in page
    assert "What will not come back" not in page, "it is backed up"
    assert post(world, "olga", ASK, rollback, **given) == 409, "below the limit there is none"
    beyond_reach(world, rollback)
    found = {name: post(world, name, ASK, rollback, **given) for name in EVERYBODY}
    # The first of them asked, and until that is answered nobody asks again.
    may = {"alice": 302, "bob": 409, "ada": 409, "olga": 409, "eve": 404}
    assert found == dict.fromkeys(EVERYBODY, 403) | may
    (exception,) = rollback.backup_exceptions.all()
    sign = {"exception": exception.pk, "label": rollback.label}
    for name in ("alice", "bob", "eve", "olga", "axel", "adam", "nora"):
        assert post(world, name, SIGN, rollback, **sign) == 403, name
    assert post(world, "dora", SIGN, rollback, exception=exception.pk) == 409, "nothing typed"
    assert post(world, "dora", SIGN, rollback, **sign | {"exception": exception.pk + 1}) == 409
    assert as_(world.dora).post(reverse(SIGN, args=[rollback.pk]), sign).status_code == 409
    assert [post(world, name, SIGN, rollback, **sign) for name in ("dora", "dora", "lea")] == [302, 403, 302]
    assert post(world, "axel", DISMISS, rollback, exception=exception.pk) == 403
    assert post(world, "dan", SIGN, rollback, **sign) == 302
    assert post(world, "olga", DISMISS, rollback, exception=exception.pk) == 409, "granted is granted"
    assert again(rollback).excepted


def test_a_night_by_its_pages_and_wherever_it_is_read_it_is_said_what_stands_there(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW, "critical")
    beyond_reach(world, rollback)
    people = ("olga", "dora", "dan", "lea", "axel")
    olga, dora, dan, lea, axel = (as_(world.people[name], confirmed=True) for name in people)
    review, here = reverse("rollback_detail", args=[rollback.pk]), reverse(ASK, args=[rollback.pk])
    assert see(olga, review).leads_to(here)
    form = see(olga, here)
    assert "What will not come back" in form
    assert "The tables hold 900.0 GB, above the 50.0 GB." in form
    page = send(olga, here, reason="Payments are down.", digest=form.fields["digest"])
    assert "Nothing changes before two senior DBAs and a platform lead sign" in page
    assert "waits for signatures" in page
    assert "3 signatures are missing: 2 × Senior DBA, Platform lead." in page
    assert "One can be yours" not in page
    filtered = reverse("rollback_list") + "?excepted=on"
    assert "No rollback matches these filters." in see(olga, filtered), "asked for is not granted"
    (exception,) = rollback.backup_exceptions.all()
    # Those that wait for decisions as well are counted once.
    for client, count in ((dora, "3 rollbacks wait for you"), (lea, "1 rollback waits for you")):
        dashboard = see(client, "/")
        assert "Exceptions instead of a backup that wait for your signature" in dashboard
        assert "3 signatures are missing: 2 × Senior DBA, Platform lead." in dashboard
        assert count in dashboard
        assert "One can be yours" in see(client, here)
        assert "asks to run it without the backup" in see(client, review)
    assert "wait for your signature" not in see(olga, "/")
    for client in (dora, lea, dan):
        sent = {"exception": exception.pk, "label": rollback.label}
        page = send(client, reverse(SIGN, args=[rollback.pk]), **sent)
    assert "In force: all three have signed." in page
    assert f"{rollback.label} may run on" in page
    assert "wait for your signature" not in see(dora, "/")
    rollback = factories.approved(world, again(rollback))
    page = see(olga, review)
    assert "Approved, though this does not hold: “There is the backup that the policy asks for”" in page
    execution = factories.claimed(factories.start(world, rollback))
    lesser(execution)
    factories.run(execution)
    factories.end(execution, ExecutionStatus.ROLLED_BACK)
    words = "No backup that is sure to bring all data back: exception signed by Dora, Lea, Dan, because “Pay"
    incident = rollback.incident
    assert incident is not None
    shown = {
        "/rollbacks/": "By exception",
        filtered: rollback.label,
        f"/search/?q={rollback.label}": "By exception",
        review: words,
        reverse("execution_detail", args=[execution.pk]): words,
        reverse("incident_detail", args=[incident.pk]): words,
        reverse("rollback_story", args=[rollback.pk]): "signed an exception instead of a backup",
        here: "was granted",
    }
    for address, said in shown.items():
        assert said in see(axel, address), address
    page = see(axel, reverse("execution_detail", args=[execution.pk]))
    assert "By exception" in page
    assert "Verified" not in page


def test_who_takes_back_and_who_refuses_are_told_apart(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    beyond_reach(world, rollback)
    for name, said in (("olga", "Taken back by Olga"), ("lea", "Refused by Lea")):
        exception = asked(world, rollback)
        assert post(world, name, DISMISS, rollback, exception=exception.pk) == 302
        page = see(as_(world.dora), reverse(ASK, args=[rollback.pk]))
        assert said in page
        assert "None is in force: it runs with the backup that the policy asks for, or not at all." in page


def test_a_proof_of_identity_that_is_too_old_leads_to_a_new_one(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    beyond_reach(world, rollback)
    asked(world, rollback)
    page = see(as_(world.dora), reverse(ASK, args=[rollback.pk]))
    assert page.leads_to("/confirm/")
    assert reverse(SIGN, args=[rollback.pk]) not in page.forms


def test_what_is_read_of_it_takes_two_queries_more_and_none_where_there_was_none(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    with CaptureQueriesContext(connection) as captured:
        known = Known(again(rollback))
        assert known.excepted_by is None
    without = len(captured)
    beyond_reach(world, rollback)
    signed(asked(world, rollback), world.dora)
    BackupException.objects.update(removed_by=world.olga, removed_at=timezone.now() + timedelta(hours=1))
    granted(world, rollback)
    with CaptureQueriesContext(connection) as captured:
        known = Known(again(rollback))
        assert known.excepted_by is not None
        assert [each.signers for each in known.backup_exceptions] == ["Dora, Lea, Dan", "Dora"]
    assert len(captured) == without + 3  # the exceptions, their signatures, who signed


def test_a_rollback_of_which_no_row_is_pinned_says_so_on_its_page(world: World) -> None:
    """It can't be asked for like that; whatever is stored, a page has words for it."""
    rollback = factories.draft(world)
    RollbackTarget.objects.filter(rollback=rollback).update(pins=[])
    for status in (Status.DRAFT, Status.IN_REVIEW):
        RollbackRequest.objects.filter(pk=rollback.pk).update(status=status, submitted_at=timezone.now())
        page = see(as_(world.olga), reverse("rollback_detail", args=[rollback.pk]))
        assert page.status == 200
        if status == Status.IN_REVIEW:
            assert "No row of the history is pinned, so nothing says what would be taken back." in page
