"""The commands: import a directory, read a target, verify the record."""

from __future__ import annotations

import json
import threading
import zipfile
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from approvals import jobs
from approvals.models import Job
from tests.approvals import factories
from tests.approvals.factories import World
from tests.approvals.test_repositories import Repository

pytestmark = pytest.mark.integration


def run(*arguments: str) -> str:
    """What a command prints."""
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


# import_migrations


def test_it_prints_problems_by_file_line_and_column_and_a_summary(world: World, tmp_path: Path) -> None:
    factories.write_files(
        tmp_path,
        factories.FILES | {"V6__x.sql": "SELECT 1;\nCREATE TABEL t ();\n", "V7_x.sql": "SELECT 1;\n"},
    )
    out = run("import_migrations", "wallet-service", str(tmp_path))
    assert "V6__x.sql:2:8: warning:" in out
    assert "V7_x.sql: error:" in out
    assert "7 files" in out
    assert "5 unchanged" in out
    assert "problems: 1 malformed-name, 1 syntax" in out


def test_an_archive_and_a_repository_for_pipelines(world: World, tmp_path: Path, settings: Any) -> None:
    with zipfile.ZipFile(tmp_path / "release.zip", "w") as archive:
        for name, text in factories.FILES.items():
            archive.writestr(f"db/{name}", text)
    assert "5 unchanged" in run("import_migrations", "wallet-service", str(tmp_path / "release.zip"))
    settings.IMPORT_GIT_URLS = [str(tmp_path)]
    repository = Repository(tmp_path / "mirror")
    commit = repository.commit({f"db/{name}": text for name, text in factories.FILES.items()})
    where = (str(repository.path), "--revision", "main", "--folder", "db")
    document = json.loads(run("import_migrations", "wallet-service", *where, "--json"))
    assert (document["commit"], document["problems"]) == (commit, [])
    assert document["summary"]["unchanged"] == 5
    with pytest.raises(CommandError, match="no revision nowhere"):
        run("import_migrations", "wallet-service", str(repository.path), "--revision", "nowhere")
    with pytest.raises(CommandError, match=r"gone\.zip cannot be read"):
        run("import_migrations", "wallet-service", str(tmp_path / "gone.zip"))


def test_strict_is_for_pipelines_that_want_no_problem_at_all(world: World, tmp_path: Path) -> None:
    factories.write_files(tmp_path, factories.FILES)
    run("import_migrations", "wallet-service", str(tmp_path), "--strict")
    factories.write_files(tmp_path, {"V7_x.sql": "SELECT 1;\n"})
    with pytest.raises(CommandError, match="Found wrong: 1"):
        run("import_migrations", "wallet-service", str(tmp_path), "--strict")


def test_a_second_import_changes_nothing(world: World, tmp_path: Path) -> None:
    factories.write_files(tmp_path, factories.FILES)
    assert "5 unchanged" in run("import_migrations", "wallet-service", str(tmp_path))
    assert "problems: none" in run("import_migrations", "wallet-service", str(tmp_path))


@pytest.mark.parametrize(
    ("service", "files", "says"),
    [
        (
            "nobody-service",
            {},
            "There is no service nobody-service; known are: ledger-service, wallet-service",
        ),
        ("wallet-service", {}, "could be taken in"),
        ("wallet-service", {"V1_x.sql": "SELECT 1;"}, "could be taken in"),
    ],
)
def test_it_fails_where_nothing_could_be_taken_in(
    world: World, tmp_path: Path, service: str, files: dict[str, str | bytes], says: str
) -> None:
    factories.write_files(tmp_path, files)
    with pytest.raises(CommandError, match=says):
        run("import_migrations", service, str(tmp_path))


def test_a_directory_that_is_not_there_is_said(world: World, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="There is no directory"):
        run("import_migrations", "wallet-service", str(tmp_path / "gone"))


# sync_target


def answer(failed: bool, sentence: str) -> None:
    """A worker that takes the next job."""
    try:
        while (job := Job.objects.filter(state=Job.State.WAITING, kind=Job.Kind.SYNC).first()) is None:
            pass
        taken = jobs.claim(job.pk, worker="worker-1")
        assert taken is not None
        jobs.finish(taken, failed=failed, sentence=sentence)
    finally:
        connection.close()


def test_it_waits_for_the_worker_and_prints_its_answer(committed_world: World) -> None:
    Job.objects.update(state=Job.State.DONE)
    worker = threading.Thread(target=answer, args=(False, "5 rows read."))
    worker.start()
    assert run("sync_target", committed_world.production.name) == "5 rows read.\n"
    worker.join()


def test_a_target_that_can_t_be_read_is_a_failure(committed_world: World) -> None:
    Job.objects.update(state=Job.State.DONE)
    worker = threading.Thread(target=answer, args=(True, "Connection refused."))
    worker.start()
    with pytest.raises(CommandError, match="Connection refused"):
        run("sync_target", committed_world.production.name)
    worker.join()


def test_without_a_worker_it_gives_up_and_says_what_it_waited_for(world: World) -> None:
    with pytest.raises(CommandError, match="no worker has taken it"):
        run("sync_target", world.production.name, "--timeout=0")


def test_an_unknown_target_is_said(world: World) -> None:
    with pytest.raises(CommandError, match="There is no target nowhere; known are: wallet-service-"):
        run("sync_target", "nowhere")


# verify_audit


def test_it_says_how_many_events_hold_and_the_head(world: World) -> None:
    from approvals import audit

    verdict = audit.verify()
    assert run("verify_audit") == f"The audit trail holds: {verdict.events} events, head {verdict.head}.\n"


def test_it_names_the_first_bad_link(committed_world: World, superuser: psycopg.Connection) -> None:
    superuser.execute("ALTER TABLE approvals_auditevent DISABLE TRIGGER ALL")
    superuser.execute("UPDATE approvals_auditevent SET body = body || ' ' WHERE seq IN (12, 17)")
    with pytest.raises(CommandError, match=r"broken at event 12: event 12 was changed .* 11 events before"):
        run("verify_audit")


def test_it_names_an_event_that_is_gone(committed_world: World, superuser: psycopg.Connection) -> None:
    superuser.execute("ALTER TABLE approvals_auditevent DISABLE TRIGGER ALL")
    superuser.execute("DELETE FROM approvals_auditevent WHERE seq = 12")
    with pytest.raises(CommandError, match="broken at event 13: event 12 is missing"):
        run("verify_audit")
