"""Imports as tasks: asked for by people, done by a worker, with what the files' settings and commits say."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from approvals import catalog, importing, imports, jobs, sources
from approvals.errors import Denied, Refused
from approvals.models import ImportRequest, ImportRun, Job, Migration, RollbackScript
from tests.approvals.factories import World, body, trail, write_files
from tests.approvals.test_dbroles import signed_in_as
from tests.approvals.test_repositories import Repository
from tests.servers import WORKER_ROLE, Database

pytestmark = pytest.mark.integration

FILES = {
    "V1__create.sql": "CREATE TABLE accounts (id int);\n",
    "V2__own.sql": "ALTER TABLE accounts ADD COLUMN owner text;\n",
    "U2__own.sql": "ALTER TABLE accounts DROP COLUMN owner;\n",
}


def packed(files: dict[str, str]) -> bytes:
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as writing:
        for name, text in files.items():
            writing.writestr(name, text)
    return made.getvalue()


def done(request: ImportRequest) -> str:
    """What the worker does with it."""
    job = imports.job_of(request)
    assert job is not None
    claimed = jobs.claim(job.pk, worker="w")
    assert claimed is not None
    sentence = imports.job(claimed)
    jobs.finish(claimed, sentence=sentence)
    return sentence


@pytest.fixture
def repository(tmp_path: Path, settings: Any) -> Repository:
    settings.IMPORT_GIT_URLS = [str(tmp_path)]
    return Repository(tmp_path / "ledger")


def test_an_archive_is_imported_by_the_worker_in_its_own_role(
    committed_world: World, committed: Database
) -> None:
    world = committed_world
    asked = imports.ask(world.foreign, actor=world.eve, archive=packed(FILES), source="release.zip")
    assert body("import.requested")["facts"]["source"] == "release.zip"
    with signed_in_as(WORKER_ROLE, committed):
        assert done(asked) == "3 files: 2 new, 0 changed, 0 unchanged, 0 removed."
    run = ImportRun.objects.get(service=world.foreign)
    assert (run.by, run.source, run.commit) == (world.eve, "release.zip", "")
    paths = {"new": ["V1__create.sql", "V2__own.sql"], "scripts": ["U2__own.sql"]}
    assert run.differences == paths
    request = ImportRequest.objects.get(service=world.foreign)
    assert (request.run, request.archive) == (run, None)
    script = RollbackScript.objects.get(migration__service=world.foreign)
    assert [author.username for author in script.authors.all()] == ["eve"]
    job = imports.job_of(asked)
    assert job is not None
    assert imports.job(job) == "Imported already."


def test_a_repository_gives_each_migration_its_commit_and_author(
    world: World, repository: Repository
) -> None:
    first = repository.commit({f"db/{name}": text for name, text in FILES.items()})
    second = repository.commit({"db/V2__own.sql": "ALTER TABLE accounts ADD COLUMN owner int;\n"})
    where = {"source": str(repository.path), "folder": "db"}
    done(imports.ask(world.foreign, actor=world.eve, revision=first, **where))
    done(imports.ask(world.foreign, actor=world.eve, **where))
    one, two = Migration.objects.filter(service=world.foreign).order_by("version_key")
    assert (one.commit, two.commit) == (first, second)
    assert one.author == "Ada <ada@example.com>"
    assert [r.commit for r in two.revisions.order_by("number")] == [first, second]
    run = ImportRun.objects.filter(service=world.foreign).latest("at")
    assert (run.commit, run.author) == (second, "Ada <ada@example.com>")
    assert (run.summary["changed"], run.summary["unchanged"]) == (1, 2)
    assert run.differences == {"changed": ["V2__own.sql"]}
    assert body("catalog.imported")["facts"]["commit"] == second


def test_a_migration_known_before_learns_its_commit(
    world: World, repository: Repository, tmp_path: Path
) -> None:
    write_files(tmp_path / "sql", FILES)
    catalog.import_directory(world.foreign, tmp_path / "sql", actor=None)
    commit = repository.commit(dict(FILES))
    done(imports.ask(world.foreign, actor=world.eve, source=str(repository.path)))
    assert {m.commit for m in Migration.objects.filter(service=world.foreign)} == {commit}
    (tmp_path / "sql" / "V1__create.sql").write_text("CREATE TABLE accounts (id bigint);\n")
    catalog.import_directory(world.foreign, tmp_path / "sql", actor=None)
    one, two = Migration.objects.filter(service=world.foreign).order_by("version_key")
    assert (one.commit, two.commit) == ("", commit), "what is in no commit is said to be in none"


def test_what_left_the_directory_and_came_back_is_told(world: World, tmp_path: Path) -> None:
    first = imported(world, tmp_path, FILES)
    (tmp_path / "sql" / "V2__own.sql").unlink()
    second = imported(world, tmp_path, {})
    third = imported(world, tmp_path, {"V2__own.sql": FILES["V2__own.sql"]})
    assert first.differences["new"] == ["V1__create.sql", "V2__own.sql"]
    assert second.differences == {"removed": ["V2__own.sql"]}
    assert third.differences == {"returned": ["V2__own.sql"]}


def test_a_changed_text_of_equal_checksum_is_not_taken_in(world: World, tmp_path: Path) -> None:
    """Flyway would not notice: a rollback would be made for a text that was never applied."""
    good = {"V1__a.sql": "-- Never: \nDROP TABLE accounts;\n", "V2__b.sql": "SELECT 2;\n"}
    imported(world, tmp_path, good)
    forged = imported(world, tmp_path, {"V1__a.sql": "-- Never: DROP TABLE accounts;\n"})
    assert [(p["path"], p["code"], p["severity"]) for p in forged.problems] == [
        ("V1__a.sql", "same-checksum", "error")
    ]
    assert "SHA-256" in forged.problems[0]["message"]
    assert (forged.differences, forged.summary["unchanged"]) == ({}, 1)
    first = Migration.objects.get(service=world.foreign, version="1")
    assert (first.removed_at, first.revisions.get().sql) == (None, good["V1__a.sql"])
    imported(world, tmp_path, {"V1__a.sql": "SELECT 3;\n"})
    again = imported(world, tmp_path, {"V1__a.sql": "-- Never: DROP TABLE accounts;\n"})
    assert again.summary["problems"] == {"same-checksum": 1}, "also of a revision before the last"
    ends = imported(world, tmp_path, {"V1__a.sql": "-- Never: \r\n\r\nDROP TABLE accounts;\r\n"})
    assert (ends.problems, ends.differences) == ([], {"changed": ["V1__a.sql"]})


def test_the_author_of_the_commit_counts_as_author_of_an_undo_file(
    world: World, repository: Repository
) -> None:
    world.dora.email = "ADA@example.com"
    world.dora.save()
    repository.commit(dict(FILES))
    done(imports.ask(world.foreign, actor=world.eve, source=str(repository.path)))
    script = RollbackScript.objects.get(migration__service=world.foreign)
    assert {author.username for author in script.authors.all()} == {"eve", "dora"}


@pytest.mark.parametrize("name", ["alice", "dora", "olga", "axel"])
def test_nobody_else_asks(name: str, world: World) -> None:
    with pytest.raises(Denied, match="Only an engineer of the owning team or an admin"):
        imports.ask(world.foreign, actor=world.people[name], archive=packed(FILES), source="x.zip")
    assert trail()[-1] == "import.requested.denied"
    assert not ImportRequest.objects.exists()


BAD: list[dict[str, Any]] = [
    {"source": "https://git.example.com/x"},
    {"source": "/somewhere", "revision": "--output=x"},
    {"source": "x.zip", "archive": b"", "folder": "../x"},
]


@pytest.mark.parametrize("what", BAD)
def test_what_may_not_be_read_is_refused_before_anything_is_queued(
    what: dict[str, Any], world: World
) -> None:
    with pytest.raises(Refused):
        imports.ask(world.foreign, actor=world.eve, **what)
    assert not Job.objects.filter(kind="import").exists()


def test_an_archive_that_is_too_large_is_not_stored(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LARGEST_ARCHIVE", 100)
    with pytest.raises(Refused, match="The archive is larger"):
        imports.ask(world.foreign, actor=world.eve, archive=b"x" * 101, source="x.zip")
    assert not ImportRequest.objects.exists()


def test_the_job_says_how_far_it_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(jobs, "tell", lambda _job, sentence: told.append(sentence))
    monkeypatch.setattr(importing, "AT_ONCE", 1)
    monkeypatch.setattr(importing, "TELL_EVERY_S", 0)
    done(imports.ask(world.foreign, actor=world.eve, archive=packed(FILES), source="x.zip"))
    assert told == ["Reading x.zip.", "1 of 2 new files analysed.", "2 of 2 new files analysed."]


def test_an_import_that_says_how_far_it_is_keeps_its_worker(world: World) -> None:
    job = imports.job_of(imports.ask(world.foreign, actor=world.eve, archive=packed(FILES), source="x.zip"))
    assert job is not None
    claimed = jobs.claim(job.pk, worker="w")
    assert claimed is not None
    Job.objects.filter(pk=job.pk).update(claimed_at=claimed.asked_at - jobs.READ_AGAIN_AFTER)
    jobs.tell(claimed, "1 of 2 new files analysed.")
    jobs.send_waiting()
    job.refresh_from_db()
    assert (job.state, job.sentence) == (Job.State.CLAIMED, "1 of 2 new files analysed.")


def test_an_archive_that_was_refused_is_not_kept(world: World) -> None:
    asked = imports.ask(world.foreign, actor=world.eve, archive=b"no archive", source="x.zip")
    with pytest.raises(Refused, match="cannot be read"):
        done(asked)
    assert ImportRequest.objects.get(service=world.foreign).archive is None


# What lies beside the migrations


def imported(world: World, tmp_path: Path, files: dict[str, str]) -> ImportRun:
    write_files(tmp_path / "sql", files)
    return catalog.import_directory(world.foreign, tmp_path / "sql", actor=None)


def test_the_projects_own_grammar_and_encoding_are_followed(world: World, tmp_path: Path) -> None:
    settings = 'sqlMigrationPrefix = "M"\nsqlMigrationSuffixes = [".ddl"]\nencoding = "ISO-8859-1"\n'
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "M1__a.ddl").write_bytes(b"-- caf\xe9\nSELECT 1;\n")
    run = imported(world, tmp_path, {"flyway.toml": f"[flyway]\n{settings}", "V2__b.sql": "SELECT 2;\n"})
    assert [str(each) for each in Migration.objects.filter(service=world.foreign)] == ["V1"]
    assert run.settings["file"] == "flyway.toml"


def test_settings_that_flyway_would_refuse_are_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"flyway\.conf: flyway\.outOfOrder: must be true or false"):
        imported(world, tmp_path, FILES | {"flyway.conf": "flyway.outOfOrder=perhaps\n"})
    assert not Migration.objects.filter(service=world.foreign).exists()


def test_a_history_that_is_kept_elsewhere_is_told(world: World, tmp_path: Path) -> None:
    write_files(tmp_path / "sql", {"flyway.toml": '[flyway]\nschemas = ["app"]\ntable = "migrated"\n'})
    run = catalog.import_directory(world.service, tmp_path / "sql", actor=None)
    told = [problem["message"] for problem in run.problems if problem["code"] == "history-elsewhere"]
    assert len(told) == world.service.targets.count()
    assert "in app.migrated, but the portal reads public.flyway_schema_history on " in told[0]


def test_placeholders_are_filled_from_settings_service_and_targets(world: World, tmp_path: Path) -> None:
    world.foreign.placeholders = {"Column": "id"}
    world.foreign.save()
    files = {
        "flyway.conf": "flyway.placeholders.table=accounts\n",
        "V1__a.sql": "CREATE TABLE ${TABLE} (${column} int);\n-- ${flyway:timestamp}\n",
        "V2__b.sql": "SELECT 1;\nSELECT ${nobody};\n",
        "V2__b.sql.conf": "",
        "V3__c.sql": "SELECT '${nobody}';\n",
        "V3__c.sql.conf": "placeholderReplacement=false\n",
    }
    run = imported(world, tmp_path, files)
    (problem,) = run.problems
    assert (problem["path"], problem["line"], problem["column"]) == ("V2__b.sql", 2, 8)
    assert problem["code"] == "placeholder"
    assert "no value for the placeholder ${nobody}" in problem["message"]
    first = Migration.objects.get(service=world.foreign, version="1").revisions.get()
    assert first.analysis["statements"][0]["creates"] or "accounts" in str(first.analysis["statements"][0])
    assert "${TABLE}" in first.sql


# Many files


def test_many_files_take_few_statements_and_unchanged_ones_none(world: World, tmp_path: Path) -> None:
    counts = []
    for number in (10, 200):
        files = {f"V{n}__x.sql": f"SELECT {n};\n" for n in range(1, number + 1)}
        with CaptureQueriesContext(connection) as queries:
            imported(world, tmp_path, files)
        counts.append(len(queries))
    assert counts[0] == counts[1]
    with CaptureQueriesContext(connection) as queries:
        run = imported(world, tmp_path, files)
    assert run.summary["unchanged"] == 200
    assert len(queries) < counts[0]


def test_nothing_that_is_unchanged_is_analysed_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = FILES | {"V3__bad.sql": "CREATE TABEL x;\n"}
    first = imported(world, tmp_path, broken)
    monkeypatch.setattr(importing, "_analyse", lambda texts: pytest.fail("analysed") if texts else {})
    again = imported(world, tmp_path, broken)
    assert [each["code"] for each in first.problems] == ["syntax"]
    assert again.problems == first.problems, "what was wrong still is"


def test_several_processes_find_the_same(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {f"V{n}__x.sql": f"CREATE TABLE t{n} (id int);\n" for n in range(20)}
    monkeypatch.setattr(importing, "AT_ONCE", 5)
    monkeypatch.setattr(importing.threading, "active_count", lambda: 1)
    alone = importing.analysed(texts)
    settings.IMPORT_PROCESSES = 2
    assert importing.analysed(texts) == alone


def test_what_another_import_stored_meanwhile_is_seen(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = importing.analysed

    def meanwhile(texts: Any, **more: Any) -> Any:
        monkeypatch.setattr(importing, "analysed", really)
        imported(world, tmp_path, FILES)
        return really(texts, **more)

    monkeypatch.setattr(importing, "analysed", meanwhile)
    run = imported(world, tmp_path, FILES)
    assert run.summary["unchanged"] == 3
    assert Migration.objects.filter(service=world.foreign).count() == 2
