"""Writing a script in the form of a request: what it would do is shown while it is typed, and tried."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from approvals import jobs, trials
from approvals.models import Check, Job, RollbackRequest, Status, Trial
from tests.approvals import factories
from tests.approvals.factories import World, rollback_in
from tests.approvals.views.visits import Page, as_, see, send

pytestmark = pytest.mark.integration

HTMX = {"HX-Request": "true"}
WRONG = "DROP INDEX wallets_by_user;\nSELECT 1; COMIT;\n"


def page_of(rollback: RollbackRequest, position: int = 1) -> str:
    return reverse("rollback_script", args=[rollback.pk, position])


def script(**changes: Any) -> dict[str, Any]:
    return {
        "sql": "DROP INDEX wallets_by_user;\n-- mended\n",
        "checks-TOTAL_FORMS": "2",
        "checks-INITIAL_FORMS": "0",
        "checks-0-name": "The index is gone",
        "checks-0-sql": "SELECT to_regclass('wallets_by_user') IS NULL",
        "checks-0-expected": "true",
        "checks-0-stage": "before commit",
        "checks-1-stage": "after commit",
    } | changes


def test_a_script_written_here_is_stored_with_its_checks_and_used(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    address = page_of(rollback)
    assert "DROP INDEX wallets_by_user;" in see(as_(world.alice), address), "begins with the present one"
    page = send(as_(world.alice), address, **script(revision=rollback.revision))
    assert "Script revision 2 is stored, and this request uses it." in page
    stored = rollback.items.get().script
    assert stored is not None
    assert stored.number == 2
    assert [check.name for check in stored.check_list()] == ["The index is gone"]
    assert world.alice in stored.authors.all()


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"sql": ""}, 400, "This field is required."),
        ({"checks-0-sql": ""}, 400, "A check needs a name and a query."),
        ({"checks-0-sql": "DELETE FROM users"}, 409, "Check “The index is gone”, line 1, column 1:"),
        ({"checks-0-stage": "never"}, 400, "Select a valid choice."),
    ],
)
def test_a_script_that_is_wrong_is_told_and_kept(
    changes: dict[str, str], status: int, words: str, world: World
) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    data = script(revision=rollback.revision, **changes)
    page = send(as_(world.alice), page_of(rollback), **data)
    assert page.status == status
    assert words in page
    assert "The index is gone" in page.fields.values()
    assert world.migration("3").scripts.count() == 1


def test_a_script_for_a_request_that_changed_meanwhile_is_not_stored(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    data = script(revision=rollback.revision - 1)
    page = send(as_(world.alice), page_of(rollback), **data)
    assert page.status == 409
    assert "-- mended" in page
    assert world.migration("3").scripts.count() == 1


def test_there_is_no_script_page_for_a_position_that_is_not_there(world: World) -> None:
    assert see(as_(world.alice), page_of(rollback_in(world, Status.DRAFT), 2)).status == 404


# Problems, plan, files


def test_what_can_t_run_is_told_with_line_and_column_and_stored_on_a_second_press_only(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    data = script(sql=WRONG, revision=rollback.revision)
    page = send(as_(world.alice), page_of(rollback), **data)
    assert page.status == 400
    assert "line 2, column 11: " in page
    assert 'data-line="2" data-column="11"' in page.html
    assert world.migration("3").scripts.count() == 1
    assert "Store it with these problems" in page
    send(as_(world.alice), page_of(rollback), **data, anyway="yes")
    assert world.migration("3").scripts.count() == 2


def plan(world: World, sql: str, name: str = "alice") -> Page:
    address = reverse("script_analysis", args=[world.migration("3").pk])
    return Page(as_(world.people[name]).post(address, {"sql": sql}, headers=HTMX))


def test_the_plan_of_what_is_typed_is_that_of_the_stored_script(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    stored = see(as_(world.alice), page_of(rollback))
    typed = plan(world, "DROP INDEX wallets_by_user;\n")
    assert "MINIMAL as long as nothing was counted on the target" in typed
    assert typed.text in stored.text
    assert world.migration("3").scripts.count() == 1


def test_what_is_typed_is_told_where_it_is_wrong(world: World) -> None:
    typed = plan(world, WRONG)
    assert "line 2, column 11" in typed
    within = plan(world, "BEGIN;\n ALTER SYSTEM SET jit = off;\nDROP VIEW v;\nCOMMIT;\n")
    assert "line 2, column 2 ALTER SYSTEM refuses a transaction (25001)" in within
    assert "It could be split like this." in within
    assert "ALTER SYSTEM SET jit = off ; BEGIN ; DROP VIEW v; COMMIT ;" in within
    assert "No SQL yet." in plan(world, " \n")


def test_too_long_and_too_often_are_refused_in_words(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from approvals.views import scripts

    long = plan(world, "SELECT 1;" * 25_000)
    assert long.status == 400
    assert "Longer than 50,000 characters" in long
    monkeypatch.setattr(scripts, "READS_PER_MINUTE", 0)
    often = plan(world, "SELECT 1;")
    assert often.status == 429
    assert "More than 0 readings in a minute." in often


def loaded(world: World, content: bytes, name: str = "down.sql") -> Page:
    rollback = rollback_in(world, Status.DRAFT)
    upload = SimpleUploadedFile(name, content)
    return send(as_(world.alice), page_of(rollback), **script(revision=rollback.revision, sql_file=upload))


def test_the_text_of_a_file_comes_into_the_field_and_is_not_stored_unseen(world: World) -> None:
    page = loaded(world, b"\xef\xbb\xbfDROP INDEX wallets_by_user; -- from a file\n")
    assert "-- from a file" in page
    assert "\ufeff" not in page.html
    assert "The text of the file is in the field." in page
    assert "The index is gone" in page.fields.values(), "what was typed elsewhere stays"
    assert world.migration("3").scripts.count() == 1


def test_a_file_that_is_not_utf_8_is_told_with_line_and_column_and_the_field_stays(world: World) -> None:
    page = loaded(world, "SELECT 1;\n-- für\n".encode("latin-1"))
    assert page.status == 400
    assert "down.sql, line 2, column 5: Byte 0xFC is not UTF-8; the file may be Latin-1." in page
    assert "-- mended" in page


def test_a_file_that_is_too_large_is_refused(world: World) -> None:
    page = loaded(world, b" " * 1_000_001)
    assert page.status == 400
    assert "down.sql is larger than a million bytes." in page


# Trying the checks


def trial_of(rollback: RollbackRequest) -> str:
    return reverse("rollback_trial", args=[rollback.pk, 1])


def test_a_trial_is_asked_for_with_what_is_typed_and_the_page_comes_back_with_it(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    client = as_(world.alice)
    page = send(client, trial_of(rollback), **script(revision=rollback.revision))
    trial = Trial.objects.get()
    assert trial.sql == "DROP INDEX wallets_by_user;\n-- mended\n"
    assert [check.name for check in trial.check_list] == ["The index is gone"]
    assert (trial.job.kind, trial.job.asked_by) == (Job.Kind.TRY, world.alice)
    assert "Waits for a worker" in page
    assert "-- mended" in page, "the field holds what was tried"
    assert "The index is gone" in page.fields.values()
    assert world.migration("3").scripts.count() == 1, "nothing is stored"


def test_as_a_part_of_the_page_it_says_how_far_it_is_until_it_ended(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    client = as_(world.alice)
    asked = Page(client.post(trial_of(rollback), script(), headers=HTMX))
    assert 'hx-trigger="every 1s"' in asked.html
    trial = Trial.objects.get()
    jobs.claim(trial.job_id, worker="w")
    trials.enter(trial, "Making a copy of the structure")
    address = f"{trial_of(rollback)}?trial={trial.pk}"
    assert "Making a copy of the structure" in see(client, address)
    answer = {
        "value": "true",
        "type": "boolean",
        "ms": 2,
        "error": "",
        "sqlstate": "",
        "line": 0,
        "column": 0,
    }
    broken = answer | {"value": None, "error": "no such thing", "sqlstate": "42P01", "line": 1, "column": 8}
    result = trial.checks[0] | {"before": broken, "after": answer, "passed": True}
    sentence = trials.record(
        trials.take(trial.job), tried_on="on a copy", results=[result], script_error=None, notes=["So."]
    )
    jobs.finish(Job.objects.get(pk=trial.job_id), sentence=sentence)
    ended = see(client, address)
    assert "1 of 1 check gave what it must." in ended
    assert "line 1, column 8: no such thing 42P01" in ended
    assert "hx-trigger" not in ended.html
    assert "1 of 1 check gave what it must." in see(
        client, reverse("rollback_form", args=[rollback.pk, "scripts"])
    )


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"sql": ""}, 400, "This field is required."),
        ({"sql": WRONG}, 400, "line 2, column 11:"),
        ({"sql": "CREATE INDEX CONCURRENTLY i ON wallets (id);"}, 409, "can't run in a transaction"),
        ({"checks-0-sql": "DELETE FROM users"}, 409, "Check “The index is gone”, line 1, column 1:"),
        (
            {"checks-0-name": "", "checks-0-sql": "", "checks-0-expected": ""},
            409,
            "There is no check to try.",
        ),
    ],
)
@pytest.mark.parametrize("headers", [HTMX, {}])
def test_what_can_t_be_tried_is_told_and_what_was_typed_stays(
    headers: dict[str, str], changes: dict[str, str], status: int, words: str, world: World
) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    page = Page(as_(world.alice).post(trial_of(rollback), script(**changes), headers=headers))
    assert page.status == status
    assert words in page
    assert headers or 'name="checks-0-expected"' in page.html
    assert not Trial.objects.exists()


def test_one_trial_at_a_time_per_person_and_a_silent_one_does_not_count(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    client = as_(world.alice)
    client.post(trial_of(rollback), script(), headers=HTMX)
    second = Page(client.post(trial_of(rollback), script(), headers=HTMX))
    assert second.status == 409
    assert "Your last trial is still under way" in second
    first = Trial.objects.get()
    jobs.claim(first.job_id, worker="w")
    later = factories.timezone.now() + factories.timedelta(minutes=11)
    monkeypatch.setattr("django.utils.timezone.now", lambda: later)
    assert client.post(trial_of(rollback), script(), headers=HTMX).status_code == 200
    assert [each.pk for each in trials.abandoned()] == [first.pk]
    first.job.refresh_from_db()
    assert first.job.state == Job.State.FAILED


def test_a_trial_of_a_request_that_changed_is_not_carried_out(world: World) -> None:
    from approvals import rollbacks
    from approvals.errors import Refused

    rollback = rollback_in(world, Status.DRAFT)
    check = Check("One", "SELECT 1", "1")
    trial = trials.ask(rollback, 1, sql="SELECT 1;", checks=[check], actor=world.alice)
    rollbacks.edit(rollback, actor=world.alice, revision=rollback.revision, reason="Another.")
    with pytest.raises(Refused, match="The request was changed"):
        trials.take(trial.job)


def test_a_trial_of_another_request_is_not_shown(world: World) -> None:
    check = Check("One", "SELECT 1", "1")
    other = rollback_in(world, Status.DRAFT, "high")
    trial = trials.ask(other, 1, sql="SELECT 1;", checks=[check], actor=world.alice)
    rollback = rollback_in(world, Status.DRAFT)
    assert see(as_(world.alice), page_of(rollback), trial=trial.pk).status == 404
    assert see(as_(world.alice), page_of(rollback), trial="x").status == 404
