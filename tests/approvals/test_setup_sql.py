"""The setup of a target as text: taken from the target's settings. What it does on a server: test_marker."""

from __future__ import annotations

import pytest

from approvals.models import Environment, Target
from approvals.setup_sql import CLONER, for_target, setup_sql
from tests.approvals.factories import UNDO, World, write_script


def target(**fields: object) -> Target:
    given = {"name": "wallet", "dbname": "wallet", "owner_role": "wallet_owner"}
    return Target(**(given | {"environment": Environment.PRODUCTION} | fields))


def test_the_text_names_what_the_target_says() -> None:
    text = setup_sql(for_target(target(history_schema="flyway", history_table="Schema_Version")))
    assert 'GRANT SELECT, INSERT, DELETE ON "flyway"."Schema_Version" TO' in text
    assert 'GRANT "wallet_owner" TO' in text
    assert "psql -d wallet -f" in text


@pytest.mark.parametrize(("read", "asked", "version"), [("150004", 180000, 150004), ("", 140000, 140000)])
def test_what_the_server_said_counts_more_than_what_was_asked(read: str, asked: int, version: int) -> None:
    assert for_target(target(server_version=read), server_version=asked).server_version == version


def test_only_staging_gets_the_login_that_makes_clones() -> None:
    assert CLONER in setup_sql(for_target(target(environment=Environment.STAGING)))
    assert CLONER not in setup_sql(for_target(target()))


@pytest.mark.integration
def test_what_has_the_server_run_programs_is_granted_only_where_somebody_names_it(world: World) -> None:
    sets = "ALTER SYSTEM SET work_mem = '8MB';\nALTER SYSTEM SET archive_command = 'touch /tmp/x';\n"
    write_script(world, "3", sql=sets + UNDO["3"])
    text = setup_sql(for_target(world.production))
    assert 'PARAMETER "work_mem" TO' in text
    assert "archive_command" not in text
    named = setup_sql(for_target(world.production, alter_system=("archive_command",)))
    assert 'PARAMETER "archive_command" TO' in named
