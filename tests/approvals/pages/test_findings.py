"""What Flyway would trip over is said once per sort, the worst first, with where and what follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from approvals.pages import findings, target_overview
from approvals.pages.findings import Finding
from tests.approvals import factories
from tests.approvals.factories import World

pytestmark = pytest.mark.integration


def history(world: World) -> list[Finding]:
    overview = target_overview.overview(world.production)
    return findings.of_history(world.production, overview)


def test_a_history_as_it_should_be_gives_nothing_to_say(world: World) -> None:
    assert history(world) == []
    assert findings.of_directory(world.service.import_runs.first()) == []


def test_a_changed_file_says_both_checksums_and_leads_to_the_difference(world: World, tmp_path: Path) -> None:
    before = world.migration("2").revisions.get().checksum
    name = "V2__create_wallets.sql"
    factories.import_files(world, tmp_path, factories.FILES | {name: factories.FILES[name] + "SELECT 1;\n"})
    after = world.migration("2").revisions.get(number=2).checksum
    (drift,) = history(world)
    assert drift.title == "V2 was changed after it was applied."
    assert f"Recorded is the checksum {before}, the file gives {after}." in str(drift.text)
    assert drift.href.endswith(f"?applied={before}#difference")


def test_a_late_file_is_ignored(world: World, tmp_path: Path) -> None:
    factories.import_files(world, tmp_path, factories.FILES | {"V2.5__late.sql": "CREATE TABLE late ();\n"})
    (late,) = history(world)
    assert late.title == "1 file is below the newest applied version and was never applied."
    assert late.places == ("V2.5",)


def test_a_directory_s_problems_are_told_by_sort_the_worst_first(world: World, tmp_path: Path) -> None:
    bad = {
        "V7_one_underscore.sql": "SELECT 1;\n",
        "V8_one_underscore.sql": "SELECT 1;\n",
        "R__Rollback_wallets.sql": "DROP TABLE wallets;\n",
    }
    run = factories.import_files(world, tmp_path, factories.FILES | bad)
    trap, names = findings.of_directory(run)
    assert (trap.tone, trap.title) == ("fail", "1 rollback is named as a repeatable migration.")
    assert trap.places == ("R__Rollback_wallets.sql",)
    assert (names.tone, names.title) == ("warn", "2 names are no names of migrations.")
    assert names.href == "/services/wallet-service/problems/?code=malformed-name"


def test_a_sort_without_words_of_its_own_is_told_all_the_same(world: World, tmp_path: Path) -> None:
    run = factories.import_files(world, tmp_path, {"V1__nul.sql": b"SELECT '\0';\n"})
    assert any("Nul byte: 1" in found.title for found in findings.of_directory(run))
