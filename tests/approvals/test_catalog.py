"""Importing a service's directory: revisions, drift, removals, and all that Flyway would trip over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from approvals import catalog
from approvals.errors import Denied, Refused
from approvals.flyway.history import overview
from approvals.flyway.names import parse_name
from approvals.models import ImportRun, Migration, MigrationRevision, RollbackScript
from tests.approvals import factories
from tests.approvals.factories import World, body, trail, write_files

pytestmark = pytest.mark.integration

Import = Callable[..., ImportRun]
GOOD: dict[str, str | bytes] = {
    "V1__create_accounts.sql": "CREATE TABLE accounts (id int);\n",
    "V1_1__add_owner.sql": "ALTER TABLE accounts ADD COLUMN owner text;\n",
    "R__totals.sql": "CREATE OR REPLACE VIEW totals AS SELECT count(*) FROM accounts;\n",
    "B2__baseline.sql": "CREATE TABLE accounts (id int, owner text);\n",
}
UNDO = "ALTER TABLE accounts DROP COLUMN owner;\n"


@pytest.fixture
def import_files(world: World, tmp_path: Path) -> Import:
    """`import_files(files)` lets the directory hold exactly these and imports it into the foreign service."""

    def run(files: dict[str, str | bytes], *, actor: str | None = None) -> ImportRun:
        directory = tmp_path / "sql"
        for path in directory.glob("*"):
            path.unlink()
        write_files(directory, files)
        person = world.people[actor] if actor else None
        return catalog.import_directory(world.foreign, directory, actor=person)

    return run


def migrations(world: World) -> dict[str, int]:
    """The foreign service's migrations with how many revisions each has."""
    found = Migration.objects.filter(service=world.foreign, removed_at=None)
    return {str(each): each.revisions.count() for each in found}


def test_v_r_and_b_files_become_migrations(world: World, import_files: Import) -> None:
    run = import_files(GOOD)
    assert migrations(world) == {"V1": 1, "V1.1": 1, "R totals": 1, "B2": 1}
    assert run.summary == {"files": 4, "new": 4, "removed": 0, "problems": {}}
    assert run.problems == []
    first = MigrationRevision.objects.get(migration__service=world.foreign, migration__version="1")
    assert (first.number, first.path, first.sql) == (
        1,
        "V1__create_accounts.sql",
        GOOD["V1__create_accounts.sql"],
    )
    assert first.analysis["statements"][0]["change"] == "CREATE TABLE"
    assert first.risk is not None
    event = body("catalog.imported")
    assert event["facts"] == {"service": "ledger-service", "summary": run.summary}


def test_importing_again_changes_nothing(world: World, import_files: Import) -> None:
    files = GOOD | {"U1.1__add_owner.sql": UNDO}
    import_files(files)
    revisions, scripts = MigrationRevision.objects.count(), RollbackScript.objects.count()
    run = import_files(files)
    assert run.summary == {"files": 5, "unchanged": 5, "removed": 0, "problems": {}}
    assert (MigrationRevision.objects.count(), RollbackScript.objects.count()) == (revisions, scripts)


def test_a_changed_file_is_a_new_revision_and_drift_is_shown(world: World, import_files: Import) -> None:
    import_files(GOOD)
    migration = Migration.objects.get(service=world.foreign, version="1")
    row = factories.history_row(1, migration)
    run = import_files(GOOD | {"V1__create_accounts.sql": "CREATE TABLE accounts (id bigint);\n"})
    assert run.summary == {"files": 4, "changed": 1, "unchanged": 3, "removed": 0, "problems": {}}
    revisions = list(migration.revisions.order_by("number"))
    assert [revision.number for revision in revisions] == [1, 2]
    assert revisions[0].checksum == row.checksum != revisions[1].checksum

    class File:
        path, name, checksum = "V1__x.sql", parse_name("V1__x.sql"), revisions[1].checksum

    (line,) = overview([File()], [row])
    assert line.drift


def test_line_ends_alone_are_another_revision_of_the_same_checksum(
    world: World, import_files: Import
) -> None:
    import_files(GOOD)
    text = str(GOOD["V1__create_accounts.sql"])
    import_files(GOOD | {"V1__create_accounts.sql": text.replace("\n", "\r\n")})
    one, two = MigrationRevision.objects.filter(migration__service=world.foreign, migration__version="1")
    assert one.checksum == two.checksum
    assert one.sha256 != two.sha256


def test_a_file_under_another_name_is_the_same_migration(world: World, import_files: Import) -> None:
    import_files(GOOD)
    text = GOOD["V1__create_accounts.sql"]
    others = {name: sql for name, sql in GOOD.items() if name != "V1__create_accounts.sql"}
    import_files(others | {"V001__Accounts.sql": text})
    migration = Migration.objects.get(service=world.foreign, kind="V", version_key=[1])
    assert (migration.version, migration.description, migration.script) == (
        "001",
        "Accounts",
        "V001__Accounts.sql",
    )
    assert migration.revisions.count() == 1


def test_a_file_that_is_gone_is_marked_and_comes_back(world: World, import_files: Import) -> None:
    import_files(GOOD)
    without = {name: sql for name, sql in GOOD.items() if name != "V1_1__add_owner.sql"}
    assert import_files(without).summary["removed"] == 1
    migration = Migration.objects.get(service=world.foreign, version="1.1")
    assert migration.removed_at is not None
    assert import_files(without).summary["removed"] == 0
    assert import_files(GOOD).summary["removed"] == 0
    migration.refresh_from_db()
    assert migration.removed_at is None


def test_a_file_that_went_bad_is_not_gone(world: World, import_files: Import) -> None:
    import_files(GOOD)
    run = import_files(GOOD | {"V1_1__add_owner.sql": "-- M\xfcll\n".encode("latin-1")})
    assert (run.summary["removed"], run.summary["problems"]) == (0, {"encoding": 1})
    assert migrations(world)["V1.1"] == 1


def test_another_services_files_stay_apart(world: World, import_files: Import) -> None:
    import_files(GOOD)
    assert world.migration("1").description == "create users"
    assert world.migration("1").removed_at is None


# Undo files


def test_a_u_file_is_an_imported_script_of_its_migration(world: World, import_files: Import) -> None:
    run = import_files(GOOD | {"U1.1__add_owner.sql": UNDO}, actor="eve")
    assert run.summary["scripts"] == 1
    script = RollbackScript.objects.get(migration__service=world.foreign)
    assert (script.origin, script.sql, script.number) == ("imported", UNDO, 1)
    assert [author.username for author in script.authors.all()] == ["eve"]
    assert not Migration.objects.filter(service=world.foreign, script__startswith="U").exists()


def test_a_changed_u_file_is_the_next_revision_also_when_it_changes_back(
    world: World, import_files: Import
) -> None:
    for sql in (UNDO, UNDO + "-- better\n", UNDO):
        import_files(GOOD | {"U1.1__add_owner.sql": sql})
    found = RollbackScript.objects.filter(migration__service=world.foreign).order_by("number")
    assert [script.sql for script in found] == [UNDO, UNDO + "-- better\n", UNDO]


def test_what_somebody_wrote_is_not_hidden_by_the_file_it_came_from(world: World, tmp_path: Path) -> None:
    imported = factories.FILES | {"U3__index_wallets.sql": "DROP INDEX CONCURRENTLY wallets_by_user;\n"}
    factories.import_files(world, tmp_path, imported)
    written = factories.write_script(world, "3", sql="DROP INDEX IF EXISTS wallets_by_user;\n")
    factories.import_files(world, tmp_path, imported)
    assert world.migration("3").scripts.order_by("-number")[0] == written


def test_an_imported_script_keeps_the_checks_and_authors_before_it(world: World, tmp_path: Path) -> None:
    sql = "DROP INDEX IF EXISTS wallets_by_user;\n"
    factories.import_files(world, tmp_path, factories.FILES | {"U3__x.sql": sql})
    script = world.migration("3").scripts.order_by("-number")[0]
    assert (script.origin, script.check_list()) == ("imported", [factories.CHECK["3"]])
    assert [author.username for author in script.authors.all()] == ["bob"]


def test_a_u_file_that_is_refused_is_stored_and_told(world: World, import_files: Import) -> None:
    run = import_files(GOOD | {"U1.1__add_owner.sql": UNDO + "COMMIT;\nDROP TABLE accounts;\n"})
    (problem,) = run.problems
    assert (problem["code"], problem["line"], problem["column"]) == ("refused-script", 2, 1)
    assert not RollbackScript.objects.get(migration__service=world.foreign).readable


def test_a_u_file_that_is_too_long_stops_nothing(world: World, import_files: Import) -> None:
    run = import_files({"U1__x.sql": "-" * 1_000_001} | GOOD)
    assert run.summary["problems"] == {"refused-script": 1}
    assert run.summary["new"] == 4
    assert not RollbackScript.objects.filter(migration__service=world.foreign).exists()


# Bad files


BAD: dict[str, tuple[str | bytes, str, int | None]] = {
    "V3__one.sql": ("SELECT 1;\n", "duplicate-version", None),
    "V3.0__two.sql": ("SELECT 2;\n", "duplicate-version", None),
    "V4_create.sql": ("SELECT 1;\n", "malformed-name", None),
    "V5__broken.sql": ("CREATE TABLE ok (id int);\nCREATE TABEL bad (id int);\n", "syntax", 2),
    "V6__mark.sql": (b"\xef\xbb\xbfSELECT 1;\n", "bom", 1),
    "V7__latin.sql": ("SELECT 1;\n-- M\xfcller\n".encode("latin-1"), "encoding", 2),
    "V8__nul.sql": (b"SELECT 1;\nSELECT\0 2;\n", "nul-byte", 2),
    "V9__mysql.sql": (
        "CREATE TABLE `a` (\n  `id` INT AUTO_INCREMENT\n) ENGINE=InnoDB;\n",
        "mysql-dialect",
        1,
    ),
    "V10__empty.sql": ("", "empty", None),
    "R__Rollback_of_V1.sql": ("DROP TABLE accounts;\n", "rollback-as-repeatable", None),
    "U99__nothing.sql": ("SELECT 1;\n", "undo-without-migration", None),
}


def test_bad_files_are_told_with_line_and_column_and_stop_nothing(world: World, import_files: Import) -> None:
    run = import_files(GOOD | {name: content for name, (content, _code, _line) in BAD.items()})
    told = {(p["path"], p["code"]): p for p in run.problems}
    for name, (_content, code, line) in BAD.items():
        assert (name, code) in told, name
        assert told[name, code]["line"] == line, name
        assert (told[name, code]["column"] is None) == (line is None), name
        assert told[name, code]["message"]
    codes = [code for _content, code, _line in BAD.values()]
    assert run.summary["problems"] == {code: codes.count(code) for code in set(codes)}
    assert run.summary["files"] == len(GOOD) + len(BAD)
    taken = {"V1", "V1.1", "R totals", "B2", "V5", "V6", "V9", "V10"}
    assert set(migrations(world)) == taken
    assert run.summary["new"] == len(taken)


def test_what_does_not_parse_is_in_the_catalog_and_critical(world: World, import_files: Import) -> None:
    import_files({"V5__broken.sql": BAD["V5__broken.sql"][0]})
    revision = MigrationRevision.objects.get(migration__service=world.foreign)
    assert revision.analysis["errors"][0]["line"] == 2


@pytest.mark.parametrize("version", ["9" * 50, "1." * 24 + "1", "2025.11.22.001"])
def test_the_longest_versions_that_flyway_can_store_fit(
    version: str, world: World, import_files: Import
) -> None:
    import_files({f"V{version}__x.sql": "SELECT 1;\n"})
    assert import_files({f"V{version}__x.sql": "SELECT 1;\n"}).summary["unchanged"] == 1
    assert set(migrations(world)) == {f"V{version}"}


def test_the_longest_descriptions_that_a_file_system_allows_fit(world: World, import_files: Import) -> None:
    names = [f"R__{'x' * 240}.sql", f"V1__{'y' * 240}.sql"]
    for expected in ("new", "unchanged"):
        run = import_files(dict.fromkeys(names, "SELECT 1;\n"))
        assert run.summary[expected] == 2


def test_a_path_that_is_too_long_is_told(world: World, tmp_path: Path) -> None:
    deep = tmp_path / "sql"
    for _level in range(5):
        deep = deep / ("d" * 220)
    write_files(deep, {"V1__x.sql": "SELECT 1;\n"})
    write_files(tmp_path / "sql", {"V2__y.sql": "SELECT 1;\n"})
    run = catalog.import_directory(world.foreign, tmp_path / "sql", actor=None)
    (problem,) = run.problems
    assert (problem["code"], run.summary["new"]) == ("path-too-long", 1)
    assert "1,000 characters" in problem["message"]


# Who may


@pytest.mark.parametrize("name", ["eve", "adam"])
def test_engineers_of_the_team_and_admins_import(name: str, world: World, import_files: Import) -> None:
    run = import_files(GOOD, actor=name)
    assert run.by == world.people[name]
    assert body("catalog.imported")["actor"] == name


@pytest.mark.parametrize("name", ["alice", "bob", "ada", "dora", "lea", "olga", "axel", "ida", "nora"])
def test_nobody_else_imports(name: str, world: World, import_files: Import) -> None:
    with pytest.raises(Denied, match="Only an engineer of the owning team or an admin can import migrations"):
        import_files(GOOD, actor=name)
    assert migrations(world) == {}
    assert trail()[-1] == "catalog.imported.denied"


def test_a_directory_that_is_not_there_is_told(world: World, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="There is no directory"):
        catalog.import_directory(world.foreign, tmp_path / "nowhere", actor=None)


def test_an_empty_directory_removes_everything(world: World, import_files: Import) -> None:
    import_files(GOOD)
    assert import_files({}).summary == {"files": 0, "removed": 4, "problems": {}}
