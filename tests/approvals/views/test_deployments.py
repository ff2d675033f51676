"""The next deployment on pages: while choosing, before submission, on review, afterwards; files for it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from approvals import catalog, proofs, scripts
from approvals.models import FileFate, RollbackRequest, RollbackScript, Status
from tests.approvals import factories
from tests.approvals.factories import FILES, World, again, draft
from tests.approvals.views.visits import Page, as_, see, send

pytestmark = pytest.mark.integration

COMES_BACK = "The next deployment undoes this rollback."
LATE = "With outOfOrder=true the next deployment undoes this rollback."


def panel(world: World, rollback: RollbackRequest, **asked: str) -> Page:
    """What htmx asks for when a field of the form changes, or once the page of the rollback is there."""
    address = f"/rollbacks/{rollback.pk}/next-deployment/"
    return Page(as_(world.alice).get(address, asked, headers={"HX-Request": "true"}))


def on_its_page(world: World, rollback: RollbackRequest) -> Page:
    """What stands on the page of a rollback once it is there: the page itself only names the place."""
    page = see(as_(world.dora), f"/rollbacks/{rollback.pk}/")
    assert f'hx-get="/rollbacks/{rollback.pk}/next-deployment/" hx-trigger="load"' in page.html
    assert page.leads_to(f"/rollbacks/{rollback.pk}/next-deployment/"), "without scripts, too"
    found = panel(world, rollback)
    assert "hx-get" not in found.html, "it asks once"
    return found


def reimported(world: World, directory: Path, *without: str, **more: str) -> None:
    files = {name: sql for name, sql in FILES.items() if name[:2] not in without}
    factories.write_files(directory, files | more)
    catalog.import_directory(world.service, directory, actor=None)


def test_the_step_shows_what_flyway_will_do_and_follows_the_fields(world: World) -> None:
    rollback = draft(world, file_fate="")
    page = see(as_(world.alice), f"/rollbacks/{rollback.pk}/form/file/")
    assert COMES_BACK in page
    assert "V3: Pending" in page
    assert "not decided: it stays in the release" in page
    assert 'hx-trigger="change from:#id_history_treatment, change from:#id_file_fate"' in page.html
    chosen = panel(world, rollback, history_treatment="mark", file_fate="removed")
    assert COMES_BACK not in chosen
    assert "V3: Deleted" in chosen
    assert "kept, and marked as deleted by a DELETE row" in chosen
    assert "<html" not in chosen.html
    assert again(rollback).file_fate == FileFate.UNDECIDED, "looking changes nothing"


def test_without_scripts_of_the_browser_saving_the_step_shows_it(world: World) -> None:
    rollback = draft(world, file_fate="")
    address = f"/rollbacks/{rollback.pk}/form/file/"
    form = see(as_(world.alice), address)
    fields = {name: form.fields.get(name, "") for name in ("revision", "frozen_by", "app_version")}
    wrong = {"history_treatment": "mark", "file_fate": "removed", "frozen_until": "tomorrow"}
    page = send(as_(world.alice), address, **fields, **wrong)
    assert page.status == 400
    assert "V3: Deleted" in page, "what was chosen is what is foreseen, saved or not"
    everything = see(as_(world.axel), f"/rollbacks/{rollback.pk}/next-deployment/", file_fate="replaced")
    assert "applies the corrected file" in everything
    assert "replaced by a corrected file of the same version" in everything


def test_what_comes_back_only_with_out_of_order_is_told_loudly(world: World) -> None:
    rollback = draft(world, "5", "4", "3", where=world.critical, file_fate="")
    nobody_chose = panel(world, rollback)
    assert COMES_BACK in nobody_chose
    factories.write_script(world, "3", sql="DROP INDEX wallets_by_user; -- once more\n")
    high = draft(world, "4", where=world.high, file_fate="")
    assert COMES_BACK in panel(world, high)
    assert LATE not in panel(world, high)


def test_review_shows_it_before_submission_and_afterwards_with_the_imported_files(
    world: World, tmp_path: Path
) -> None:
    rollback = factories.rollback_in(world, Status.DRAFT)
    step = see(as_(world.alice), f"/rollbacks/{rollback.pk}/form/review/")
    for page in (step, on_its_page(world, rollback)):
        assert "The next deployment" in page
        assert "validate Fails until migrate has run:" in page
        assert "migrate Applies: V4__key_to_users.sql V5__create_transactions.sql" in page
        assert COMES_BACK not in page
    rollback = factories.rollback_in(world, Status.EXECUTED)
    production = world.production
    factories.apply(world, production, "12")
    assert COMES_BACK in on_its_page(world, rollback), "the release still holds the file"
    page = see(as_(world.dora), f"/rollbacks/{rollback.pk}/")
    assert "still has V3__index_wallets.sql as it was applied" in page
    reimported(world, tmp_path, "V3", "V4", "V5")
    assert COMES_BACK not in on_its_page(world, rollback)
    assert "no longer has the file" in see(as_(world.dora), f"/rollbacks/{rollback.pk}/")


def test_the_approved_script_can_be_taken_as_files(world: World) -> None:
    rollback = factories.rollback_in(world, Status.APPROVED)
    assert panel(world, rollback).leads_to(f"/rollbacks/{rollback.pk}/files/undo/")
    undo = as_(world.axel).get(f"/rollbacks/{rollback.pk}/files/undo/")
    assert undo["Content-Disposition"] == 'attachment; filename="U3__index_wallets.sql"'
    text = undo.content.decode()
    script = RollbackScript.objects.get(items__rollback=rollback)
    assert script.sha256 in text
    assert "DROP INDEX wallets_by_user;" in text
    forward = as_(world.axel).get(f"/rollbacks/{rollback.pk}/files/forward/")
    assert 'filename="V6__Take_back_V3.sql"' in forward["Content-Disposition"]
    assert as_(world.axel).get(f"/rollbacks/{rollback.pk}/files/else/").status_code == 404


def test_what_takes_a_settings_file_along_comes_as_an_archive(world: World) -> None:
    script, _created = scripts.store(
        world.migration("3"),
        sql="COMMENT ON TABLE wallets IS '${x}';\nDROP INDEX wallets_by_user;\n",
        checks=[factories.CHECK["3"]],
        origin=RollbackScript.Origin.GENERATED,
        authors=[world.bob],
    )
    proofs.ask(script, actor=world.bob)
    factories.examined(script)
    rollback = factories.approved(world, factories.submitted(world, draft(world)))
    answer = as_(world.axel).get(f"/rollbacks/{rollback.pk}/files/undo/")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        assert sorted(packed.namelist()) == ["U3__index_wallets.sql", "U3__index_wallets.sql.conf"]


def test_nothing_is_taken_along_before_it_is_approved(world: World) -> None:
    rollback = factories.rollback_in(world, Status.IN_REVIEW)
    page = Page(as_(world.dora).get(f"/rollbacks/{rollback.pk}/files/undo/", follow=True))
    assert "is not approved: its scripts may still change" in page
    assert not page.leads_to(f"/rollbacks/{rollback.pk}/files/undo/")
