"""Having a way back generated: the choices, the worker's progress, what came of it, and the forward fix."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from approvals import generations
from approvals.models import Generation, Incident, Migration, RollbackScript, Status
from tests.approvals import answers
from tests.approvals.factories import World, rollback_in
from tests.approvals.views.test_scripts import HTMX
from tests.approvals.views.visits import Page, as_, see, send

pytestmark = pytest.mark.integration


@pytest.fixture
def migration(world: World) -> Migration:
    return world.migration("5")


def page_of(migration: Migration) -> str:
    return reverse("script_generate", args=[migration.pk])


def asked(world: World, migration: Migration, **chosen: Any) -> Generation:
    send(as_(world.alice), page_of(migration), **chosen)
    found = generations.latest_of(migration)
    assert found is not None
    return found


def test_every_choice_is_offered_with_what_it_costs(world: World, migration: Migration) -> None:
    page = see(as_(world.alice), page_of(migration))
    for words in (
        "Add it again at the end: instant; equal to before except for the order of columns.",
        "Rebuild the table: exact; it is written anew under ACCESS EXCLUSIVE",
        "Replace the type: exact",
        "Leave the value: nothing is rewritten",
        "CREATE INDEX CONCURRENTLY outside of it",
        "Keep the data in place instead of dropping it",
        "Ops may purge what was kept after",
    ):
        assert words in page, words


def test_what_was_chosen_reaches_the_worker_and_begins_the_form_the_next_time(
    world: World, migration: Migration
) -> None:
    later = timezone.localdate() + timezone.timedelta(days=30)
    generation = asked(
        world,
        migration,
        column_order="rebuild",
        index="concurrently",
        keep_data="on",
        purge_after=str(later),
        fill='public.wallets.currency = \'KES\'\n\n"Odd name".t."c""d" = now()\n',
        target=world.staging.name,
    )
    assert generation.options == {
        "column_order": "rebuild",
        "enum_value": "swap",
        "index": "concurrently",
        "fill_default": "ask",
        "keep_data": True,
        "purge_after": str(later),
        "fill": [
            {"column": ["public", "wallets", "currency"], "value": "'KES'"},
            {"column": ["Odd name", "t", 'c"d'], "value": "now()"},
        ],
    }
    assert generation.target == world.staging
    page = see(as_(world.alice), page_of(migration))
    assert page.html.count("checked") == 5
    assert "public.wallets.currency = &#x27;KES&#x27;" in page.html


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        ({"fill": "wallets.currency = 1"}, 400, "Line 1 is not schema.table.column = expression."),
        ({"keep_data": "on", "purge_after": "2020-01-01"}, 400, "is over."),
        ({"column_order": "elsewhere"}, 400, "Select a valid choice."),
        ({"target": "ledger"}, 400, "Select a valid choice."),
    ],
)
def test_a_choice_that_can_t_be_is_told_beside_its_field(
    sent: dict[str, str], status: int, words: str, world: World, migration: Migration
) -> None:
    page = send(as_(world.alice), page_of(migration), **sent)
    assert page.status == status
    assert words in page
    assert generations.latest_of(migration) is None


def test_while_one_is_under_way_it_is_followed_and_another_is_refused(
    world: World, migration: Migration
) -> None:
    generation = asked(world, migration)
    generations.enter(generation, "replay to V4__key_to_users.sql")
    page = see(as_(world.dora), page_of(migration))
    assert "replay to V4__key_to_users.sql" in page
    fragment = Page(as_(world.dora).get(page_of(migration), headers=HTMX))
    assert "<html" not in fragment.html
    assert "every 1s" in fragment.html
    again = send(as_(world.alice), page_of(migration))
    assert again.status == 409
    assert "A way back of V5 is being generated." in again


def test_what_came_of_it_opens_as_a_revision_with_its_difference(world: World, migration: Migration) -> None:
    said = answers.generated("DROP TABLE public.transactions;\n-- new\n")
    answers.answer(asked(world, migration, target=world.staging.name), said)
    page = see(as_(world.alice), page_of(migration))
    assert "Script revision 2 No gap" in page
    assert (
        "rows of public.transactions none older than 2026-03-01 09:00 UTC: it came with the migration" in page
    )
    assert "1,204" in page
    assert f"Counted on {world.staging}." in page
    assert "append taken added at the end: instant" in page
    assert "Against revision 1" in page
    assert "Edit it" in page
    newest = migration.scripts.order_by("-number")[0]
    assert (newest.number, newest.origin) == (2, RollbackScript.Origin.GENERATED)
    assert world.alice in newest.authors.all()
    editor = see(as_(world.alice), f"{reverse('script_new', args=[migration.pk])}?script=2")
    assert "-- new" in editor


def test_gaps_are_told_loudly_and_the_weaker_origin_names_itself(world: World, migration: Migration) -> None:
    said = answers.generated(
        gaps=["line 3, column 1: dropped table public.old: its columns are not known"],
        origin="by reading",
        because="V2 does not apply: 42P01 no such table.",
        from_backup=["DELETE on public.users: rows went. Restore from backup."],
        losses=[],
        goes=[{"step": 1, "what": "table public.transactions with all its rows"}],
    )
    answers.answer(asked(world, migration), said)
    page = see(as_(world.alice), page_of(migration))
    assert "1 thing is not undone, and nobody may submit it like this." in page
    assert "line 3, column 1: dropped table public.old" in page
    assert "the weaker origin. V2 does not apply: 42P01 no such table." in page
    assert "What no script gives back DELETE on public.users" in page
    assert "table public.transactions with all its rows Counted nowhere" in page


def test_one_that_failed_says_why(world: World, migration: Migration) -> None:
    generation = asked(world, migration)
    answers.finish(generation.job, "The scratch server does not answer.", failed=True)
    assert "The scratch server does not answer." in see(as_(world.alice), page_of(migration))


def test_whoever_owns_nothing_here_reads_and_can_t_ask(world: World, migration: Migration) -> None:
    assert "Nobody has generated one yet. Engineers of wallets can." in see(
        as_(world.dora), page_of(migration)
    )
    assert as_(world.dora).post(page_of(migration)).status_code == 403
    assert as_(world.eve).get(page_of(migration)).status_code == 404


def test_a_script_generated_for_a_request_is_edited_and_used_there(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    item = rollback.items.get()
    step = see(as_(world.alice), reverse("rollback_form", args=[rollback.pk, "scripts"]))
    assert step.leads_to(page_of(item.migration))
    address = f"{page_of(item.migration)}?item={item.pk}"
    answers.answer(asked(world, item.migration), answers.generated("DROP INDEX public.wallets_by_user;\n"))
    page = see(as_(world.alice), address)
    assert f"You do this for {rollback.label}." in page
    editor = reverse("rollback_script", args=[rollback.pk, 1])
    assert f"{editor}?script=2" in page.links
    assert "DROP INDEX public.wallets_by_user;" in see(as_(world.alice), f"{editor}?script=2")
    assert "You do this for" not in see(as_(world.bob), address), "of whoever asked"


# The forward fix


def test_the_forward_fix_is_compared_and_downloaded(world: World, migration: Migration) -> None:
    address = reverse("migration_fix", args=[migration.pk])
    assert "No draft yet" in see(as_(world.alice), address)
    answers.answer(asked(world, migration))
    page = see(as_(world.olga), address)
    assert "Locks ACCESS EXCLUSIVE, briefly as Flyway waits" in page
    files = [link for link in page.links if "/fix/" in link]
    assert [link.split("/fix/")[1] for link in files] == ["1/sql/", "2/sql/", "2/conf/"]
    answer = as_(world.olga).get(files[2])
    assert answer.content == b"executeInTransaction=false\n"
    assert "V7__fix_create_transactions_outside.sql.conf" in answer["Content-Disposition"]
    for wrong in ("1/conf/", "3/sql/", "0/sql/", "1/exe/"):
        assert as_(world.olga).get(f"{address}{wrong}").status_code == 404


def test_it_is_handed_to_an_incident_whose_line_of_time_names_it(world: World, migration: Migration) -> None:
    incident = rollback_in(world, Status.DRAFT).incident
    assert isinstance(incident, Incident)
    answers.answer(asked(world, migration))
    address = reverse("migration_fix", args=[migration.pk])
    assert "This field is required." in send(as_(world.alice), address)
    report = see(as_(world.alice), reverse("incident_detail", args=[incident.pk]))
    on_it = reverse("migration_fix", args=[rollback_in(world, Status.DRAFT).items.get().migration_id])
    assert f"{on_it}?incident={incident.pk}" in report.links
    assert f'value="{incident.pk}" selected' in see(as_(world.alice), address, incident=str(incident.pk)).html
    page = send(as_(world.alice), address, incident=str(incident.pk))
    assert f"{incident.label} names the forward fix now." in page
    assert "Handed over to the forward fix: V6__fix_create_transactions.sql" in page
    assert as_(world.axel).post(address, {"incident": str(incident.pk)}).status_code == 403
