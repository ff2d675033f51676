"""Pages of the record: the trail and its filters, one event, a rollback's story, the state of the chain."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.test import Client

from approvals import audit
from approvals.errors import Denied
from approvals.models import AuditEvent, Execution, Status, User
from tests.approvals import factories
from tests.approvals.factories import World
from tests.approvals.views.visits import Page, as_, see

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
    page = see(as_(world.axel), "/audit/", refused="on")
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
