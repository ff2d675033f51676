"""Pages of the record: the trail and its filters, one event, a rollback's story, the state of the chain."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext

from approvals import audit, exports, offline_verifier
from approvals.errors import Denied
from approvals.models import AuditEvent, Execution, RollbackRequest, Status, Target, User
from approvals.pages import audit_trail
from approvals.views import audit as audit_view
from tests.approvals import factories
from tests.approvals.factories import World, body, trail
from tests.approvals.views.visits import BACKEND, Page, as_, see, send

pytestmark = pytest.mark.integration


def record(action: str, actor: User | None = None, count: int = 1, **subjects: object) -> None:
    for _number in range(count):
        with audit.unit_of_work(action, actor=actor, **subjects):  # type: ignore[arg-type]
            pass


def events(page: Page) -> list[int]:
    """The numbers of the events that a page shows, in its order."""
    return [int(seq) for seq in re.findall(r'class="seq" href="/audit/(\d+)/"', page.html)]


def neighbours(page: Page) -> list[int]:
    """The numbers of the events to which one event's page leads."""
    found = (re.fullmatch(r"/audit/(\d+)/", link) for link in page.links)
    return [int(match[1]) for match in found if match]


# The list


def test_the_newest_event_comes_first(world: World) -> None:
    head = AuditEvent.objects.latest("seq").seq
    assert events(see(as_(world.axel), "/audit/"))[:3] == [head, head - 1, head - 2]


def test_an_event_is_told_in_words_with_who_and_in_which_role(world: World) -> None:
    rollback = factories.draft(world)
    page = see(as_(world.axel), "/audit/")
    assert f"Alice Engineer asked for a rollback {rollback.label} {world.production.name}" in page


def test_a_refused_attempt_says_why(world: World) -> None:
    rollback = factories.rollback_in(world, Status.IN_REVIEW)
    with pytest.raises(Denied):
        factories.decide(world, rollback, world.bob)
    page = see(as_(world.axel), "/audit/", denied="on")
    assert "Bob Engineer was refused: approved the rollback" in page
    assert len(events(page)) == 1


def test_what_a_rehearsal_did_is_never_told_as_if_it_were_real(world: World) -> None:
    rollback = factories.draft(world)
    factories.rehearse(world, rollback)
    page = see(as_(world.axel), f"/audit/rollback/{rollback.pk}/")
    assert "committed and verified (rehearsal)" in page
    assert "committed and verified" not in page.text.replace("committed and verified (rehearsal)", "")


@pytest.mark.parametrize(
    ("filters", "actions"),
    [
        ({"person": "dora"}, {"test.one"}),
        ({"person": "portal", "action": ""}, {"test.three"}),
        ({"target": "wallet-service-production"}, {"test.two"}),
        ({"person": "dora", "target": "wallet-service-production"}, set()),
    ],
)
def test_filters_show_only_what_fits(world: World, filters: dict[str, str], actions: set[str]) -> None:
    before = AuditEvent.objects.latest("seq").seq
    record("test.one", world.dora)
    record("test.two", world.axel, target=world.production)
    record("test.three")
    page = see(as_(world.axel), "/audit/", **filters)
    fresh = AuditEvent.objects.filter(seq__in=[seq for seq in events(page) if seq > before])
    assert set(fresh.values_list("action", flat=True)) == actions


def test_a_filter_by_rollback_takes_its_label_or_its_number(world: World) -> None:
    rollback = factories.draft(world)
    by_label = events(see(as_(world.axel), "/audit/", about=rollback.label))
    assert by_label == events(see(as_(world.axel), "/audit/", about=str(rollback.pk)))
    assert set(by_label) == set(
        AuditEvent.objects.filter(rollback=rollback.label).values_list("seq", flat=True)
    )


def test_days_begin_at_midnight_of_the_reader(world: World) -> None:
    """Event times are texts; what is just before midnight in Auckland is another day in UTC."""
    world.axel.time_zone = "Pacific/Auckland"
    world.axel.save()
    from django.utils import timezone

    from approvals.forms.audit import AuditFilter

    with timezone.override("Pacific/Auckland"):
        wanted = AuditFilter({"since": "2026-03-02", "until": "2026-03-02"}).wanted
    assert wanted == {
        "since": "2026-03-01T11:00:00.000000+00:00",
        "before": "2026-03-02T11:00:00.000000+00:00",
    }
    today = timezone.localtime(timezone.now(), timezone.zoneinfo.ZoneInfo("Pacific/Auckland")).date()
    assert events(see(as_(world.axel), "/audit/", since=today.isoformat(), until=today.isoformat()))
    assert events(see(as_(world.axel), "/audit/", until="2020-01-01")) == [0]


def test_a_filter_that_makes_no_sense_is_said_beside_its_field(world: World) -> None:
    page = see(as_(world.axel), "/audit/", about="the big one", since="yesterday")
    assert page.status == 200
    assert "An object is named like RB-142, INC-31 or EX-1a2b3c4d." in page
    assert 'id="id_since_error"' in page.html


def test_older_events_follow_without_gap_or_repetition_while_new_ones_arrive(world: World) -> None:
    record("test.happened", count=120)
    client = as_(world.axel)
    page = see(client, "/audit/", action="")
    seen = events(page)
    record("test.happened", count=7)
    while following := [link for link in page.links if "before=" in link]:
        page = see(client, "/audit/" + following[0])
        seen += events(page)
    assert seen == list(range(max(seen), -1, -1))


def test_back_again_leads_to_the_same_events(world: World) -> None:
    record("test.happened", count=120)
    client = as_(world.axel)
    first = see(client, "/audit/")
    second = see(client, "/audit/" + next(link for link in first.links if "before=" in link))
    back = see(client, "/audit/" + next(link for link in second.links if "after=" in link))
    assert events(back) == events(first)


@pytest.mark.parametrize("key", ["99999999999999999999999", "-1", "x", "٣"])
def test_a_key_that_no_event_has_is_no_error(world: World, key: str) -> None:
    assert see(as_(world.axel), "/audit/", before=key).status == 200
    assert see(as_(world.axel), "/audit/", after=key).status == 200


def test_a_thousand_events_take_as_many_queries_as_ten(
    world: World, queries_of: Callable[[Client, str], int]
) -> None:
    client = as_(world.axel)
    client.get("/audit/")
    few = queries_of(client, "/audit/")
    record("test.happened", count=300)
    assert queries_of(client, "/audit/") == few <= 11


# One event


def test_an_event_shows_the_very_bytes_that_were_hashed(world: World) -> None:
    record("test.happened", world.dora)
    event = AuditEvent.objects.latest("seq")
    page = see(as_(world.axel), f"/audit/{event.seq}/")
    assert event.body in page
    assert bytes(event.hash).hex() in page
    assert "its link holds" in page


def test_neighbours_are_offered_only_where_there_are_some(world: World) -> None:
    newest = AuditEvent.objects.latest("seq").seq
    axel = as_(world.axel)
    assert neighbours(see(axel, f"/audit/{newest}/")) == [newest - 1]
    assert neighbours(see(axel, f"/audit/{newest - 1}/")) == [newest - 2, newest]


def test_there_is_no_page_of_an_event_that_is_not_there(world: World) -> None:
    assert see(as_(world.axel), "/audit/999999999999999999999999/").status == 404


# A rollback's story


def test_a_story_begins_with_the_request_and_is_complete(world: World) -> None:
    rollback = factories.rollback_in(world, Status.EXECUTED)
    page = see(as_(world.alice), f"/audit/rollback/{rollback.pk}/")
    order = [
        "asked for a rollback",
        "submitted the rollback",
        "approved the rollback",
        "started the execution",
    ]
    assert [page.text.index(words) for words in order] == sorted(page.text.index(words) for words in order)
    stored = AuditEvent.objects.filter(rollback=rollback.label).count()
    assert f"{stored} events since Alice asked for it" in page


def test_a_story_shows_free_text_only_while_its_digest_fits(world: World) -> None:
    rollback = factories.rollback_in(world, Status.EXECUTED)
    address = f"/audit/rollback/{rollback.pk}/"
    assert "committed and verified So it ended." in see(as_(world.alice), address)
    Execution.objects.filter(rollback_target__rollback=rollback).update(sentence="All went well.")
    page = see(as_(world.alice), address)
    assert "So it ended." not in page
    assert "All went well." not in page


def test_an_engineer_reads_the_story_of_their_rollback_without_links_they_may_not_follow(
    world: World,
) -> None:
    rollback = factories.rollback_in(world, Status.EXECUTED)
    page = see(as_(world.alice), f"/audit/rollback/{rollback.pk}/")
    assert events(page) == []
    assert see(as_(world.eve), f"/audit/rollback/{rollback.pk}/").status == 404


# The chain


def verify(client: Client) -> Page:
    """Press the button."""
    return send(client, "/audit/verify/")


def test_before_anybody_verified_the_chain_nothing_is_claimed(world: World) -> None:
    page = see(as_(world.axel), "/audit/")
    assert "Not verified yet" in page
    assert "The chain is whole" not in page


def test_verifying_says_that_the_chain_is_whole_and_who_found_that_when(world: World) -> None:
    verdict = audit.verify()
    page = verify(as_(world.axel))
    assert "The chain is whole" in page
    assert f"Verified up to event {verdict.events} by Axel" in page
    assert f"{verdict.events} events were hashed again" in page
    assert verdict.head in page
    assert body("chain.verified")["facts"] == {"events": verdict.events, "head": verdict.head}
    record("test.happened", count=3)
    assert "4 events were added since." in see(as_(world.dora), "/audit/")


def test_a_long_chain_is_verified_in_slices_that_go_on_where_they_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_view, "SLICE", 40)
    total, client = AuditEvent.objects.latest("seq").seq, as_(world.axel)
    page, rounds = verify(client), 1
    while "so_far" in page.fields:
        assert f"{40 * rounds - 1} of {total} events hold so far" in page
        page = send(client, "/audit/verify/", so_far=page.fields["so_far"])
        rounds += 1
    assert rounds == (total + 1) // 40 + (1 if (total + 1) % 40 else 0) > 2
    assert f"Verified up to event {total} by Axel" in page


def test_what_comes_back_from_a_browser_counts_only_if_it_is_ours(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_view, "SLICE", 40)
    token = verify(as_(world.axel)).fields["so_far"]
    for stolen in ("", "eyJldmVudHMiOjk5OX0:forged:token", token):
        page = send(as_(world.dora), "/audit/verify/", so_far=stolen)
        assert "39 of " in page  # from the beginning again


@pytest.mark.parametrize("slice_size", [40_000, 15])
def test_the_page_names_the_event_that_was_changed(
    committed_world: World,
    superuser: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    slice_size: int,
) -> None:
    monkeypatch.setattr(audit_view, "SLICE", slice_size)
    superuser.execute("ALTER TABLE approvals_auditevent DISABLE TRIGGER ALL")
    superuser.execute("UPDATE approvals_auditevent SET body = body || ' ' WHERE seq = 20")
    superuser.execute("ALTER TABLE approvals_auditevent ENABLE ALWAYS TRIGGER audit_link")
    client = as_(committed_world.axel)
    page = verify(client)
    while "so_far" in page.fields:
        page = send(client, "/audit/verify/", so_far=page.fields["so_far"])
    assert "The chain is broken at event 20" in page
    assert "19 events before it are as they were written" in page
    assert body("chain.found_broken")["facts"]["bad_seq"] == 20
    assert "its link does not hold" in see(client, "/audit/20/")


def test_an_engineer_does_not_verify_the_chain(world: World) -> None:
    assert send(as_(world.alice), "/audit/verify/").status == 403


# Taking away


def rows_of(response: Any) -> list[dict[str, str]]:
    """The rows of a CSV answer by the names of their columns."""
    text = b"".join(response.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_events_are_taken_away_as_the_filter_says_oldest_first(world: World) -> None:
    rollback = factories.rollback_in(world, Status.EXECUTED)
    response = as_(world.axel).get("/audit/export/csv/", {"about": rollback.label})
    assert response["Content-Disposition"].startswith('attachment; filename="waqiti-events-')
    rows = rows_of(response)
    stored = AuditEvent.objects.filter(rollback=rollback.label).order_by("seq")
    assert [int(row["seq"]) for row in rows] == [event.seq for event in stored]
    assert (rows[0]["action"], rows[0]["actor"], rows[0]["refused"]) == ("rollback.created", "alice", "no")
    assert json.loads(rows[0]["facts"]) == json.loads(stored[0].body)["facts"]


def test_a_taken_away_trail_is_verified_by_python_alone(world: World, tmp_path: Path) -> None:
    record("test.happened", world.dora, count=5)
    client = as_(world.axel)
    response = client.get("/audit/export/jsonl/")
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(response.streaming_content))
    verifier = tmp_path / "verifier.py"
    verifier.write_bytes(client.get("/audit/verifier/").content)
    head = AuditEvent.objects.filter(action="trail.exported").latest("seq")
    told = run_alone(verifier, path)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith(f"GOOD: {head.seq} events, each linked to the one before")
    lines = path.read_text().splitlines()
    for broken, why in [
        ([*lines[:-2], lines[-2].replace("test.happened", "test.forgotten"), lines[-1]], "was changed"),
        ([*lines[:3], lines[4], lines[3], *lines[5:]], "event 3 is not in its place"),
        ([*lines[:2], "not a line"], "line 3 can't be read"),
        ([], "the file holds no event"),
    ]:
        path.write_text("\n".join(broken))
        told = run_alone(verifier, path)
        assert told.returncode == 1
        assert why in told.stdout


def run_alone(program: Path, path: Path) -> subprocess.CompletedProcess[str]:
    """Run a program without site packages, as anybody could."""
    command = [sys.executable, "-I", "-S", str(program), str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_filtered_export_says_that_it_has_gaps(world: World, tmp_path: Path) -> None:
    rollback = factories.draft(world)
    record("test.between")
    factories.again(rollback)
    response = as_(world.axel).get("/audit/export/jsonl/", {"about": rollback.label})
    found = offline_verifier.verify(b"".join(response.streaming_content).decode().splitlines())
    assert found[1] >= 1


@pytest.mark.parametrize("begin", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_no_cell_is_a_formula(begin: str) -> None:
    assert exports._cell(begin) == "'" + begin
    assert exports._cell(None) == ""


def test_taking_away_is_on_record_and_what_was_typed_only_by_its_digest(world: World) -> None:
    client = as_(world.axel)
    rows_of(client.get("/audit/export/csv/", {"person": "a secret", "action": "rollback", "denied": "on"}))
    facts = body("trail.exported")["facts"]
    upto = AuditEvent.objects.latest("seq").seq - 1
    assert facts.pop("filter_sha256")
    assert facts == {"format": "csv", "action": "rollback", "denied": True, "upto": upto}
    assert "a secret" not in AuditEvent.objects.latest("seq").body


def test_a_filter_that_was_not_understood_takes_nothing_away(world: World) -> None:
    page = see(as_(world.axel), "/audit/export/csv/", about="the big one", follow=True)
    assert page.status == 302
    assert trail()[-1] != "trail.exported"


@pytest.mark.parametrize("name", ["dora", "olga", "lea"])
def test_who_reads_the_trail_does_not_thereby_take_it_away(name: str, world: World) -> None:
    client = as_(world.people[name])
    assert "Take away" not in see(client, "/audit/")
    assert see(client, "/audit/export/csv/").status == 403


def test_the_report_has_a_row_for_each_rollback_with_who_why_approval_outcome_and_duration(
    world: World,
) -> None:
    rollback = factories.rollback_in(world, Status.EXECUTED)
    rows = {row["rollback"]: row for row in rows_of(as_(world.axel).get("/audit/report/"))}
    assert len(rows) == RollbackRequest.objects.count()
    row = rows[rollback.label]
    assert (row["requested_by"], row["status"], row["outcome"]) == ("alice", "executed", "succeeded")
    assert row["reason"] == "Payments hang since the deployment."
    assert "(senior_dba) approve " in row["approvals"]
    assert (row["started_by"], row["attempts"]) == ("olga", "1")
    assert float(row["duration_seconds"]) >= 0
    assert row["post_mortem_due_utc"]
    assert body("trail.report_exported")["actor"] == "axel"


def test_the_report_can_be_of_a_span_of_time(world: World) -> None:
    assert rows_of(as_(world.axel).get("/audit/report/", {"until": "2020-01-01"})) == []


def test_a_report_of_many_rollbacks_takes_as_many_queries_as_one_of_few(
    world: World,
) -> None:
    newest = RollbackRequest.objects.latest("pk").pk
    with CaptureQueriesContext(connection) as captured:
        list(exports.rollbacks_as_csv(None, None, newest))
    with CaptureQueriesContext(connection) as first_only:
        list(exports.rollbacks_as_csv(None, None, RollbackRequest.objects.earliest("pk").pk))
    assert len(captured) == len(first_only)


def test_under_asgi_an_export_is_sent_while_it_is_made(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Django would collect a plain iterator first; ours is asked for the next part when that is sent."""
    monkeypatch.setattr(exports, "SLICE", 10)
    client = AsyncClient()
    client.force_login(committed_world.axel, backend=BACKEND)

    async def take() -> list[bytes]:
        response = await client.get("/audit/export/jsonl/")
        assert response.is_async
        return [part async for part in response.streaming_content]

    parts = async_to_sync(take)()
    assert len(parts) > 3
    found = offline_verifier.verify(b"".join(parts).decode().splitlines())
    assert found[0] == AuditEvent.objects.filter(action="trail.exported").latest("seq").seq


# Filters


def test_a_person_is_found_by_user_name_or_by_part_of_a_name(world: World) -> None:
    world.dora.last_name = "Haddad"
    world.dora.save()
    record("test.one", world.dora)
    newest = AuditEvent.objects.latest("seq").seq
    for text in ("dora", "hadd", "Dora Haddad"):
        assert events(see(as_(world.axel), "/audit/", person=text))[0] == newest


def test_a_family_of_actions_holds_refused_ones_too(world: World) -> None:
    record("rollback.created")
    record("execution.claimed")
    with pytest.raises(Denied):
        factories.decide(world, factories.rollback_in(world, Status.IN_REVIEW), world.bob)
    page = see(as_(world.axel), "/audit/", action="rollback")
    actions = set(AuditEvent.objects.filter(seq__in=events(page)).values_list("action", flat=True))
    assert {"rollback.created", "rollback.approved.denied"} <= actions
    assert {action.split(".")[0] for action in actions} == {"rollback"}


def test_an_execution_is_found_by_the_name_that_pages_give_it(world: World) -> None:
    rollback = factories.rollback_in(world, Status.EXECUTED)
    execution = Execution.objects.get(rollback_target__rollback=rollback, purpose="real")
    found = events(see(as_(world.axel), "/audit/", about=str(execution)))
    bodies = AuditEvent.objects.filter(seq__in=found).values_list("body", flat=True)
    assert found
    assert all(str(execution.pk) in each for each in bodies)
    assert events(see(as_(world.axel), "/audit/", about="EX-00000000")) == []


def test_a_service_is_its_targets_and_its_incidents(world: World) -> None:
    incident = factories.incident(world)
    page = see(as_(world.axel), "/audit/", target="wallet-service")
    assert events(page)[0] == AuditEvent.objects.get(incident=incident.label).seq
    shown = AuditEvent.objects.filter(seq__in=events(page))
    mine = set(world.service.targets.values_list("name", flat=True))
    assert {each.target for each in shown if each.incident is None} <= mine


def test_a_name_that_nothing_has_any_more_still_finds_its_events(world: World) -> None:
    record("test.one", target=world.production)
    newest = AuditEvent.objects.latest("seq").seq
    Target.objects.filter(pk=world.production.pk).update(name="renamed")
    assert events(see(as_(world.axel), "/audit/", target="wallet-service-production"))[0] == newest


def test_the_number_of_events_is_told_up_to_a_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    record("account.time_zone_set", count=6)
    assert "6 events" in see(as_(world.axel), "/audit/", action="account")
    monkeypatch.setattr(audit_trail, "COUNTED", 5)
    assert "More than 5 events" in see(as_(world.axel), "/audit/", action="account")
