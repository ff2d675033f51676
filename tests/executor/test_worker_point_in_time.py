"""The whole way above the size that is dumped in full, with a real worker: to the commit, and really back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from django.core.management import call_command

from tests.executor.archiving import archiving, restored_by_hand
from waqiti_rollback.embedded.places import server_programs

if TYPE_CHECKING:
    from approvals.models import Execution
    from tests.executor.archiving import Archiving
    from tests.executor.portal import Portal

DATABASE = "large_wallet"
ROWS = "SELECT count(*), sum(hashtextextended(w::text, 0))::text FROM wallets w"
# The copy to rehearse on has the wallets, and of their users only the table.
UNDO = """\
ALTER TABLE wallets DROP CONSTRAINT wallets_user;
ALTER TABLE wallets ADD CONSTRAINT wallets_user FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID;
DELETE FROM wallets WHERE amount > 500;
"""
HEAVY = "CREATE TABLE heavy AS SELECT n, repeat('x', 100) AS t FROM generate_series(1, 8000) n"


@pytest.fixture
def archive(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archiving]:
    """The production target is on a server that archives its log, and has more than may be dumped in full;
    the worker has logins there."""
    environment = portal.worker.environment
    for name in ("TARGET_CREDENTIALS", "SERVER_BIN"):  # of the command that tests the physical backup
        monkeypatch.setenv(name, environment[name])
    with archiving(server_programs()) as made, logins(portal, made):
        make_target(portal, made)
        yield made


@contextmanager
def logins(portal: Portal, made: Archiving) -> Iterator[None]:
    """The worker's file of logins, which it reads anew for every connection, has those of this server."""
    from executor.marker import BACKUP, EXECUTOR

    path = Path(portal.worker.environment["TARGET_CREDENTIALS"])
    before = path.read_text()
    roles = {"executor": EXECUTOR, "backup": BACKUP}
    mine = {purpose: {"user": role, "password": made.server.password} for purpose, role in roles.items()}

    def put(text: str) -> None:
        beside = path.with_suffix(".new")
        beside.touch(0o600)
        beside.write_text(text)
        os.replace(beside, path)

    put(json.dumps(json.loads(before) | {portal.target.name: mine}))
    try:
        yield
    finally:
        put(before)


def make_target(portal: Portal, made: Archiving) -> None:
    from executor.marker import BACKUP, EXECUTOR
    from tests.executor.portal import OWNER_ROLE, fill_over

    with made.server.superuser() as admin:
        admin.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER_ROLE}")  # type: ignore[call-overload]
    connection = made.server.superuser(DATABASE)
    connection.execute(f"SET ROLE {OWNER_ROLE}; {HEAVY}; RESET ROLE")  # type: ignore[call-overload]
    passwords = dict.fromkeys((EXECUTOR, BACKUP), made.server.password)
    fill_over(connection, DATABASE, passwords, restore_points=True)
    target = portal.target
    target.host, target.port, target.dbname = made.target.executor.host, made.server.port, DATABASE
    target.backup_limit_bytes, target.system_identifier = 500_000, ""
    target.save()
    portal.synced(target)


def asked(where: str | psycopg.Connection[object], query: str) -> object:
    if isinstance(where, str):
        with psycopg.connect(where) as connection:
            return asked(connection, query)
    return where.execute(query).fetchone()  # type: ignore[call-overload]


def test_what_a_worker_destroyed_above_the_limit_comes_back_by_the_commands_that_its_page_shows(
    portal: Portal, archive: Archiving
) -> None:
    from approvals.models import Backup
    from executor import points

    execution, was = destroyed(portal, archive)
    backup: Backup = execution.backups.get()
    assert (backup.state, backup.word) == ("verified", "point in time")
    assert set(backup.tables) == {"public.wallets", "public.flyway_schema_history"}
    assert backup.point["name"] == points.name_of(execution.pk)
    assert (archive.archive / backup.point["wal"]).exists()
    with archive.server.superuser(DATABASE) as there:
        assert asked(there, "SELECT count(*) FROM wallets") == (50,)
        there.execute("INSERT INTO wallets VALUES (1000, 1, 1)")  # and life went on
        there.execute("SELECT pg_switch_wal()")

    commands = shown(portal, execution, backup)
    with restored_by_hand(archive, commands, DATABASE) as restored:
        assert asked(restored, ROWS) == was
        versions = "SELECT array_agg(version ORDER BY installed_rank)::text[] FROM flyway_schema_history"
        assert asked(restored, versions) == (["1", "2", "3", "4"],)
        assert asked(restored, "SELECT count(*) FROM heavy") == (8000,)


def destroyed(portal: Portal, archive: Archiving) -> tuple[Execution, object]:
    """The execution, by a worker process, of a rollback that deletes half of the wallets, rehearsed and
    approved; and what was in the table right before it."""
    portal.write(UNDO)
    said = StringIO()
    register = ("register_base_backup", portal.target.name, str(archive.base))
    call_command(*register, restore_command=archive.restore_command, stdout=said)
    assert "are equal" in said.getvalue()
    rollback = portal.request()
    rehearsal = portal.rehearse(rollback)
    assert rehearsal.status == "succeeded", rehearsal.sentence
    rollback = portal.approved(rollback)
    with archive.server.superuser(DATABASE) as there:
        there.execute("INSERT INTO wallets SELECT n, 1, 900 FROM generate_series(501, 505) n")
        was = asked(there, ROWS)
    execution = portal.ended(portal.start(rollback))
    assert execution.status == "succeeded", execution.sentence
    assert portal.worker.has(execution)
    return execution, was


def shown(portal: Portal, execution: Execution, backup: object) -> str:
    """The commands to the point in time, as ops read them on the page of the execution."""
    from html import unescape

    from django.urls import reverse

    from approvals.pages import dumps
    from tests.approvals.views.visits import as_, see

    page = see(as_(portal.world.olga), reverse("execution_detail", args=[execution.pk]))
    commands = dumps.dump(backup).to_the_point  # type: ignore[arg-type]
    assert commands.strip() in unescape(page.html)
    assert "point in time" in page
    return commands
