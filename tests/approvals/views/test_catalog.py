"""Pages of services, targets, migrations and the matrix, and the form that adds a script."""

from __future__ import annotations

import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from approvals import access, history, jobs
from approvals.models import (
    Execution,
    Job,
    Role,
    RollbackScript,
    Service,
    Status,
)
from tests.approvals import factories
from tests.approvals.factories import World
from tests.approvals.views.visits import as_, see, send

pytestmark = pytest.mark.integration


# Services


def test_an_engineer_sees_the_services_of_their_team(world: World) -> None:
    page = see(as_(world.alice), "/services/")
    assert "wallet-service" in page
    assert "ledger-service" not in page


@pytest.mark.parametrize("name", ["dora", "lea", "olga", "axel", "adam"])
def test_whoever_works_for_all_teams_sees_all_services(world: World, name: str) -> None:
    page = see(as_(world.people[name]), "/services/")
    assert "wallet-service" in page
    assert "ledger-service" in page


def test_every_cell_of_a_service_says_on_the_phone_what_it_is(world: World) -> None:
    row = see(as_(world.alice), "/services/").html.partition("<tbody")[2].partition("</tr>")[0]
    assert row.count("<td") == row.count("data-label=") == 5


def test_the_list_of_services_can_be_searched(world: World) -> None:
    page = see(as_(world.axel), "/services/", q="ledger")
    assert "ledger-service" in page
    assert "wallet-service" not in page


def test_a_service_shows_its_migrations_newest_first(world: World) -> None:
    text = see(as_(world.alice), "/services/wallet-service/").text
    assert text.index("V5") < text.index("V4") < text.index("V1")


def test_a_service_shows_which_migrations_have_no_way_back(world: World) -> None:
    page = see(as_(world.alice), "/services/wallet-service/", show="no-script")
    assert "create wallets" in page
    assert "index wallets" not in page


def test_a_migration_found_by_its_description(world: World) -> None:
    page = see(as_(world.alice), "/services/wallet-service/", q="key to")
    assert "key to users" in page
    assert "create wallets" not in page


def test_problems_of_the_last_import_say_file_line_and_column(world: World, tmp_path: Path) -> None:
    files = factories.FILES | {
        "V6__typing.sql": "SELECT 1;\nCREATE TABEL users_2 (id int);\n",
        "V7_one_underscore.sql": "SELECT 1;\n",
        "R__Rollback_wallets.sql": "DROP TABLE wallets;\n",
    }
    factories.import_files(world, tmp_path, files)
    page = see(as_(world.alice), "/services/wallet-service/problems/")
    assert "V6__typing.sql 2:8" in page
    assert "V7_one_underscore.sql" in page
    assert "rollback-as-repeatable" in page


# Targets


def test_a_target_shows_what_is_applied_when_and_by_whom(world: World) -> None:
    page = see(as_(world.alice), f"/targets/{world.production.name}/")
    assert "3 index wallets Success 1 Mar 2026, 09:03 deploy, 12 ms" in page
    assert "3 migrations applied, 2 pending" in page


def test_a_target_shows_which_files_changed_since_they_were_applied(world: World, tmp_path: Path) -> None:
    changed = {"V2__create_wallets.sql": factories.FILES["V2__create_wallets.sql"] + "-- more\n"}
    factories.import_files(world, tmp_path, factories.FILES | changed)
    page = see(as_(world.alice), f"/targets/{world.production.name}/", show="drift")
    assert "create wallets" in page
    assert "changed" in page
    assert "index wallets" not in page


def test_a_target_shows_the_way_back_and_its_risk(world: World) -> None:
    page = see(as_(world.alice), f"/targets/{world.critical.name}/", show="")
    assert "create transactions Success 1 Mar 2026, 09:05 deploy, 12 ms same revision 1, written" in page
    assert "CRITICAL" in page


def test_a_target_shows_the_last_rehearsal_of_a_migration(world: World) -> None:
    rollback = factories.draft(world, where=world.staging)
    factories.rehearse(world, rollback)
    page = see(as_(world.alice), f"/targets/{world.staging.name}/")
    assert "revision 1, written Proof: exact rehearsed just now" in page
    factories.write_script(world, "3", sql="DROP INDEX IF EXISTS wallets_by_user;\n")
    page = see(as_(world.alice), f"/targets/{world.staging.name}/")
    assert "revision 2, written Proof: exact an earlier script was rehearsed just now" in page


def test_alarms_of_a_target_come_in_pages_the_newest_first(world: World) -> None:
    rollback = factories.rollback_in(world, Status.EXECUTED)
    one = Execution.objects.get(rollback_target__rollback=rollback, purpose="real")
    for minutes in range(7):
        one.pk, one.purpose, one._state.adding = uuid.uuid4(), "rehearsal", True
        one.reappeared_at = timezone.now() - timedelta(minutes=minutes)
        one.save()
    address = f"/targets/{world.production.name}/"
    page = see(as_(world.dora), address)
    assert page.html.count("took back is applied again") == 5
    assert "7 alarms wait for an answer." in page
    assert see(as_(world.dora), address, alarms="2").html.count("took back is applied again") == 2


def test_a_history_that_contradicts_itself_is_said_not_hidden(world: World) -> None:
    deletions = [
        factories.history_row(rank, world.migration("3"), type="DELETE", checksum=None) for rank in (4, 5)
    ]
    factories.apply(world, world.production, "123", deletions)
    page = see(as_(world.alice), f"/targets/{world.production.name}/")
    assert page.status == 200
    assert "The history contradicts itself" in page


def test_a_migration_applied_twice_is_said(world: World) -> None:
    factories.apply(world, world.production, "123", [factories.history_row(4, world.migration("3"))])
    page = see(as_(world.alice), f"/targets/{world.production.name}/")
    assert "The history says twice that 3 was applied. Rows 3, 4" in page


def test_a_target_that_does_not_answer_shows_its_last_reading(world: World) -> None:
    history.record_sync_failure(world.production, "Connection refused.")
    page = see(as_(world.alice), f"/targets/{world.production.name}/")
    assert "The worker can't read this target. Connection refused." in page
    assert "index wallets" in page


def test_asking_for_the_history_leaves_a_job_and_says_so(world: World) -> None:
    page = send(as_(world.alice), f"/targets/{world.production.name}/sync/")
    job = jobs.latest(Job.Kind.SYNC, world.production.pk)
    assert job is not None
    assert job.asked_by == world.alice
    assert "no worker has taken it yet" in page


def test_the_page_loads_again_once_the_history_was_read(world: World) -> None:
    address = f"/targets/{world.production.name}/sync/"
    job = history.ask_for_sync(world.production, actor=world.alice)
    assert "HX-Refresh" not in as_(world.alice).get(address)
    claimed = jobs.claim(job.pk, worker="worker-1")
    assert claimed is not None
    jobs.finish(claimed)
    assert as_(world.alice).get(address)["HX-Refresh"] == "true"


def test_an_auditor_reads_a_target_and_finds_nothing_to_press(world: World) -> None:
    page = see(as_(world.axel), f"/targets/{world.production.name}/")
    assert not page.leads_to(f"/targets/{world.production.name}/sync/")
    assert not page.leads_to("/rollbacks/new/")


def test_targets_can_be_filtered_by_environment_and_health(world: World) -> None:
    page = see(as_(world.axel), "/targets/", environment="staging")
    assert "wallet-service-staging" in page
    assert "wallet-service-high" not in page
    assert "No target fits." in see(as_(world.axel), "/targets/", health="failing")


# Migrations and their scripts


def test_a_migration_says_what_each_statement_does_and_whom_it_blocks(world: World) -> None:
    page = see(as_(world.alice), f"/migrations/{world.migration('3').pk}/")
    assert "ADD INDEX" in page
    assert "wallets SHARE Blocks all writes; reads go on." in page
    assert "The index is gone before commit" in page


def test_a_migration_says_from_which_revision_it_was_applied(world: World, tmp_path: Path) -> None:
    changed = {"V3__index_wallets.sql": "CREATE INDEX wallets_by_user ON wallets (user_id, id);\n"}
    factories.import_files(world, tmp_path, factories.FILES | changed)
    page = see(as_(world.alice), f"/migrations/{world.migration('3').pk}/")
    assert "wallet-service-production Production 1 Mar 2026, 09:03 deploy, UTC revision 1" in page
    assert "changed" in page
    old = see(as_(world.alice), f"/migrations/{world.migration('3').pk}/", revision="1")
    assert "(user_id)" in old


def test_sql_is_shown_and_never_becomes_markup(world: World) -> None:
    evil = "DROP INDEX wallets_by_user; -- <script>alert(1)</script>\u202e\n"
    factories.write_script(world, "3", sql=evil)
    page = see(as_(world.alice), f"/migrations/{world.migration('3').pk}/")
    assert "<script>alert" not in page.html
    assert "&lt;script&gt;alert(1)" in page.html
    assert '<span class="odd">U+202E</span>' in page.html


def script(sql: str, *checks: dict[str, str], **more: str) -> dict[str, str]:
    """The fields of the script form."""
    fields = {"sql": sql, "checks-TOTAL_FORMS": str(len(checks)), "checks-INITIAL_FORMS": "0"}
    for number, check in enumerate(checks):
        fields |= {f"checks-{number}-{name}": value for name, value in check.items()}
    return fields | more


GONE = {
    "name": "The table is gone",
    "sql": "SELECT to_regclass('wallets') IS NULL",
    "expected": "true",
    "stage": "before commit",
}
EMPTY = {"name": "", "sql": "", "expected": "", "stage": "before commit"}


def test_an_engineer_of_the_team_writes_a_script_with_its_checks(world: World) -> None:
    migration = world.migration("2")
    page = send(
        as_(world.alice),
        f"/migrations/{migration.pk}/script/",
        **script("DROP TABLE wallets;\r\n", GONE, EMPTY),
    )
    stored = RollbackScript.objects.get(migration=migration)
    assert "Revision 1 is stored." in page
    assert stored.sql == "DROP TABLE wallets;\n"
    assert stored.checks == [GONE]
    assert list(stored.authors.all()) == [world.alice]


def test_a_script_that_leaves_its_transaction_is_refused_with_line_and_column_and_may_be_stored(
    world: World,
) -> None:
    migration = world.migration("2")
    sql = "DROP TABLE wallets;\nCOMMIT;\nDROP TABLE users;\n"
    client, address = as_(world.alice), f"/migrations/{migration.pk}/script/"
    page = send(client, address, **script(sql, GONE))
    assert page.status == 400
    assert "line 2, column 1: " in page
    assert not migration.scripts.exists(), "not before a second press"
    assert "Refused at line 2, column 1" in send(client, address, **script(sql, GONE, anyway="yes"))


def test_a_check_that_is_no_select_is_refused_and_nothing_is_lost(world: World) -> None:
    migration = world.migration("2")
    writes = GONE | {"sql": "DELETE FROM users"}
    page = send(
        as_(world.alice), f"/migrations/{migration.pk}/script/", **script("DROP TABLE wallets;", writes)
    )
    assert page.status == 409
    assert "Check “The table is gone”, line 1" in page
    assert "DROP TABLE wallets;" in page
    assert "DELETE FROM users" in page
    assert not migration.scripts.exists()


def test_a_check_without_a_query_is_an_error_beside_the_field(world: World) -> None:
    migration = world.migration("2")
    page = send(
        as_(world.alice), f"/migrations/{migration.pk}/script/", **script("SELECT 1;", GONE | {"sql": ""})
    )
    assert page.status == 400
    assert 'id="id_checks-0-sql_error"' in page.html
    assert "A check needs a name and a query." in page


@pytest.mark.parametrize(("name", "status"), [("dora", 403), ("axel", 403), ("eve", 404)])
def test_nobody_else_writes_scripts(world: World, name: str, status: int) -> None:
    migration = world.migration("2")
    page = send(as_(world.people[name]), f"/migrations/{migration.pk}/script/", **script("SELECT 1;", GONE))
    assert page.status == status
    assert not migration.scripts.exists()


def test_an_engineer_who_sees_all_services_still_writes_for_their_team_only(world: World) -> None:
    from django.contrib.auth.models import Group

    world.eve.groups.add(Group.objects.get(name=Role.OPS))
    migration = world.migration("2")
    page = send(as_(world.again("eve")), f"/migrations/{migration.pk}/script/", **script("SELECT 1;", GONE))
    assert page.status == 403
    assert "Only an engineer of the team that owns the service" in page


def test_a_form_sent_twice_counts_once(world: World) -> None:
    migration = world.migration("2")
    client, fields = as_(world.alice), script("SELECT 1;", GONE, once="a-token")
    first = client.post(f"/migrations/{migration.pk}/script/", fields)
    fields["sql"] = "SELECT 2;"
    second = client.post(f"/migrations/{migration.pk}/script/", fields)
    assert first["Location"] == second["Location"]
    assert migration.scripts.count() == 1


def test_a_form_that_was_refused_can_be_sent_again(world: World) -> None:
    migration = world.migration("2")
    client = as_(world.alice)
    bad = script("SELECT 1;", GONE | {"sql": "DELETE FROM users"}, once="a-token")
    assert client.post(f"/migrations/{migration.pk}/script/", bad).status_code == 409
    good = script("SELECT 1;", GONE, once="a-token")
    assert client.post(f"/migrations/{migration.pk}/script/", good).status_code == 302


# The matrix


def test_the_matrix_shows_the_twelve_rows_of_the_policy_and_the_hazards(world: World) -> None:
    from approvals.analysis.hazards import HAZARDS
    from approvals.analysis.matrix import MATRIX

    page = see(as_(world.axel), "/matrix/")
    assert "DELETE DATA CRITICAL Restore from backup YES (permanent)" in page
    for row in MATRIX:
        assert row.change in page
    for hazard in HAZARDS:
        assert hazard.title in page


# Long lists


def test_pages_of_a_list_hold_all_of_it_once(world: World) -> None:
    Service.objects.bulk_create(Service(name=f"service-{n}", team=world.service.team) for n in range(119))
    client, seen = as_(world.alice), []
    for number in ("1", "2", "3"):
        page = see(client, "/services/", page=number)
        seen += [link for link in page.links if link.startswith("/services/service-")]
    visible = {f"/services/{s.name}/" for s in access.services(world.alice) if s.name != "wallet-service"}
    assert len(seen) == len(set(seen))
    assert set(seen) == visible


def test_a_job_asked_long_ago_shows_its_age(world: World) -> None:
    job = history.ask_for_sync(world.production, actor=world.alice)
    Job.objects.filter(pk=job.pk).update(asked_at=timezone.now() - timedelta(minutes=12))
    assert "Asked 12 min ago" in see(as_(world.alice), f"/targets/{world.production.name}/")


def test_people_and_their_roles_are_readable_by_all(world: World) -> None:
    page = see(as_(world.alice), "/people/")
    assert "Dora dora Senior DBA" in page
    assert "nora" not in page


# What a target page says beyond its rows


def long_history(world: World, count: int) -> None:
    """A history of that many rows on production, of files that nobody imported."""
    first = factories.history_row(1, world.migration("1"))
    rows = [first._replace(installed_rank=rank, version=f"7.{rank}") for rank in range(1, count + 1)]
    factories.sync(world.production, rows)


def test_a_history_of_five_thousand_rows_comes_in_pages(world: World) -> None:
    long_history(world, 5_000)
    page = see(as_(world.alice), f"/targets/{world.production.name}/", page="200", sort="oldest")
    assert "7.5000" in page
    assert "Page 200 of" in page
    assert page.html.count("<tr data-row") == 25


def test_the_lines_of_a_history_can_be_searched_and_turned_round(world: World) -> None:
    client, address = as_(world.alice), f"/targets/{world.production.name}/"
    text = see(client, address, sort="oldest", show="applied").text
    assert text.index("create users") < text.index("index wallets")
    found = see(client, address, q="INDEX")
    assert "index wallets" in found
    assert "create users" not in found
    assert "Nothing fits." in see(client, address, show="late")


def test_a_target_shows_how_far_its_ways_back_have_come(world: World) -> None:
    page = see(as_(world.alice), f"/targets/{world.production.name}/")
    assert 'aria-label="1 rehearsed here, 0 proven, 0 script only, 2 none"' in page.html
    assert "of 3 applied migrations" in page


def test_a_rollback_that_flyway_would_run_is_said_once(world: World, tmp_path: Path) -> None:
    trap = {"R__Rollback_wallets.sql": "DROP TABLE wallets;\n"}
    factories.import_files(world, tmp_path, factories.FILES | trap)
    page = see(as_(world.alice), f"/targets/{world.production.name}/")
    assert page.text.count("Runs by itself") == 1


def test_what_a_target_lacks_is_said_with_what_to_run(world: World) -> None:
    history.record_sync(
        world.production,
        [],
        system_identifier="1",
        database_oid=1,
        server_version="160004",
        lacking=["The schema waqiti_rollback is not set up for x. Run the setup SQL."],
    )
    page = see(as_(world.alice), f"/targets/{world.production.name}/")
    assert "It answers, but nothing can run there yet. The schema waqiti_rollback is not set up" in page
    assert "PostgreSQL 16.4" in page
    assert 'id="setup" open' in page.html
    assert "something is missing" in see(as_(world.alice), "/targets/", health="lacking")


def test_the_setup_is_on_the_page_and_can_be_downloaded(world: World) -> None:
    client, address = as_(world.alice), f"/targets/{world.production.name}/"
    assert "CREATE SCHEMA IF NOT EXISTS waqiti_rollback" in see(client, address)
    response = client.get(f"{address}setup.sql")
    assert response["Content-Disposition"] == 'attachment; filename="wallet-service-production-setup.sql"'
    assert 'GRANT "wallet_owner" TO' in response.content.decode()


# Lists, sorted and filtered


def test_targets_of_one_service_longest_not_read_first(world: World) -> None:
    factories.target(world.service, "new", environment="staging")
    text = see(as_(world.axel), "/targets/", service="wallet-service", sort="stale").text
    assert text.index("wallet-service-new") < text.index("wallet-service-production")
    assert "Databases of wallet-service" in text


def test_services_in_which_something_is_wrong(world: World, tmp_path: Path) -> None:
    assert "No service fits." in see(as_(world.axel), "/services/", show="problems")
    factories.import_files(world, tmp_path, factories.FILES | {"V7_one.sql": "SELECT 1;\n"})
    assert "wallet-service" in see(as_(world.axel), "/services/", show="problems", sort="problems")


def test_problems_can_be_filtered_by_sort_and_words(world: World, tmp_path: Path) -> None:
    bad = {"V7_one.sql": "SELECT 1;\n", "V8__typing.sql": "CREATE TABEL x ();\n"}
    factories.import_files(world, tmp_path, factories.FILES | bad)
    page = see(as_(world.alice), "/services/wallet-service/problems/", code="syntax")
    assert "V8__typing.sql" in page
    assert "V7_one.sql" not in page
    assert "Nothing fits." in see(as_(world.alice), "/services/wallet-service/problems/", q="no such words")


def test_migrations_by_risk_and_with_a_script(world: World) -> None:
    page = see(as_(world.alice), "/services/wallet-service/", show="script", sort="risk")
    assert page.text.index("key to users") < page.text.index("index wallets")
    assert "create users" not in page
    assert "V5 create transactions as first imported revision 1, written Proof: exact CRITICAL" in page


# A migration beside its script


def test_statements_stand_beside_the_steps_that_take_them_back(world: World) -> None:
    page = see(as_(world.alice), f"/migrations/{world.migration('4').pk}/")
    assert "Script revision 1 has a step for every statement." in page
    dropped, added = page.text.split("Statement 2")
    assert dropped.index("Statement 1") < dropped.index("Step 2")
    assert "Step 1 ALTER TABLE wallets DROP CONSTRAINT wallets_user" in added


def test_a_statement_without_a_step_is_shown_as_a_gap(world: World) -> None:
    factories.write_script(world, "4", sql="ALTER TABLE wallets DROP CONSTRAINT wallets_user;\n")
    page = see(as_(world.alice), f"/migrations/{world.migration('4').pk}/")
    assert "Script revision 2 has no step for 1 statement." in page
    assert "No step takes this back. Way back: " in page


def test_any_two_revisions_of_a_script_can_be_compared(world: World) -> None:
    factories.write_script(world, "3", sql="DROP INDEX IF EXISTS wallets_by_user;\n")
    factories.write_script(world, "3", sql="DROP INDEX IF EXISTS wallets_by_user CASCADE;\n")
    address = f"/migrations/{world.migration('3').pk}/"
    page = see(as_(world.alice), address, **{"script-was": "1", "script-now": "3"})
    assert "Revision 1 against revision 3 1 line went, 1 came." in page
    assert "against revision" not in see(as_(world.alice), address, **{"script-was": "1", "script-now": "9"})


def test_what_was_applied_is_compared_with_what_the_file_is_now(world: World, tmp_path: Path) -> None:
    checksum = world.migration("3").revisions.get().checksum
    changed = {"V3__index_wallets.sql": "CREATE INDEX wallets_by_user ON wallets (user_id, id);\n"}
    factories.import_files(world, tmp_path, factories.FILES | changed)
    page = see(as_(world.alice), f"/migrations/{world.migration('3').pk}/", applied=str(checksum))
    assert "Revision 1 against revision 2" in page


@pytest.mark.parametrize("number", ["", "x", "-1", "99999999999999999999", "²"])
def test_numbers_that_make_no_sense_show_the_newest(world: World, number: str) -> None:
    asked = {"revision": number, "script": number, "was": number, "now": number, "applied": number}
    page = see(as_(world.alice), f"/migrations/{world.migration('3').pk}/", **asked)
    assert page.status == 200
    assert "file revision 1" in page


def test_a_migration_names_the_rollbacks_that_take_it_back(world: World) -> None:
    page = see(as_(world.alice), f"/migrations/{world.migration('3').pk}/")
    assert "Rollbacks 3 take it back" in page
    assert page.leads_to(f"/rollbacks/{world.prepared['production', Status.DRAFT]}/")


def test_a_version_is_found_on_a_target_however_it_is_written(world: World) -> None:
    rows = [factories.history_row(1, world.migration("3"), version="003.0")]
    factories.sync(world.production, rows)
    page = see(as_(world.alice), f"/migrations/{world.migration('3').pk}/")
    assert "wallet-service-production Production 1 Mar 2026, 09:01 deploy, UTC revision 1" in page
