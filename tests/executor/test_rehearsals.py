"""What a rehearsal stands on: the newest verified backup, a masked clone that is kept, a service's tests."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from approvals.models import Evidence, Execution
    from tests.executor.portal import Portal

pytestmark = pytest.mark.integration


def evidence(execution: Execution, kind: str = "rehearsal") -> Evidence:
    from approvals.models import Evidence

    found = Evidence.objects.filter(rollback=execution.rollback_target.rollback, kind=kind).order_by("-pk")
    return found[0]


def databases(portal: Portal) -> list[str]:
    with psycopg.connect(portal.staging_cluster.superuser_dsn(), autocommit=True) as admin:
        rows = admin.execute(
            "SELECT datname FROM pg_database WHERE datname ~ '^waqiti_' ORDER BY 1"
        ).fetchall()
    return [row[0] for row in rows]


def swept(portal: Portal) -> None:
    """What beat asks for every few minutes, done here."""
    from waqiti_rollback.celery import app

    app.send_task("executor.drop_clones", queue="facts")


@pytest.fixture
def commands(portal: Portal, tmp_path: Path) -> Iterator[Any]:
    """Says which shell script is the service's tests."""
    file = Path(portal.worker.environment["SERVICE_TESTS"])

    def say(script: str) -> None:
        program = tmp_path / "wallet-tests"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        file.write_text(json.dumps({"wallet-service": {"command": [str(program)], "seconds": 60}}))

    yield say
    file.write_text("{}")


def test_a_clone_is_kept_masked_and_used_again_until_something_changed(portal: Portal) -> None:
    from approvals import masking
    from approvals.models import Backup, Check, RehearsalClone
    from tests.executor.portal import KEY_IS_BACK, UNDO_KEY, wait_for

    nobody = Check("Nobody is there by name", "SELECT count(*) FROM users WHERE name LIKE 'user %'", "0")
    portal.write(UNDO_KEY, KEY_IS_BACK, nobody)
    rollback = portal.request()
    first = portal.rehearse(rollback)
    assert first.status == "succeeded", first.sentence
    said = evidence(first).data
    assert said["filled"]["masked_columns"] == 1
    assert said["filled"]["masked"][0] | {"values": 0} == {
        "column": "public.users.name",
        "rule": "person's name",
        "method": "scramble",
        "by": "name",
        "values": 0,
    }
    assert said["filled"]["masked_values"] == 100
    assert not said["reused"]
    kept = RehearsalClone.objects.get(backup=Backup.objects.get(execution=first))
    assert (kept.state, kept.uses) == ("ready", 1)
    assert databases(portal).count(f"waqiti_kept_{kept.pk.hex}") == 1

    second = portal.rehearse(portal.again(rollback))
    assert second.status == "succeeded", second.sentence
    assert not Backup.objects.filter(execution=second).exists()
    assert evidence(second).data["reused"]
    relied = evidence(second, "backup")
    assert relied.holds
    assert relied.data["backup"] == kept.backup_id
    assert "the history is as it was then" in relied.sentence
    kept.refresh_from_db()
    assert kept.uses == 2

    # The clone is there, but its backup is damaged by now: nobody relies on that.
    stored = Path(portal.worker.environment["BACKUP_DIR"], "kept", kept.backup.path)
    before = stored.read_bytes()
    stored.write_bytes(before[:-1])
    damaged = portal.rehearse(portal.again(rollback))
    assert damaged.status == "succeeded", damaged.sentence
    assert Backup.objects.filter(execution=damaged, state="verified").update(state="failed") == 1
    stored.write_bytes(before)

    # Another rule is another clone, of the same backup; its masking is what the rule says.
    rule = masking.propose(
        portal.target.service, columns="*.users.name", method="erase", actor=portal.world.adam
    )
    third = portal.rehearse(portal.again(rollback))
    assert third.status == "succeeded", third.sentence
    assert evidence(third).data["filled"]["masked"][0]["method"] == "erase"
    other = RehearsalClone.objects.exclude(pk=kept.pk).get(backup=kept.backup)
    assert other.masking != kept.masking
    gone = masking.remove(rule, actor=portal.world.adam)
    masking.confirm(gone, actor=portal.world.dora)

    # Something was applied since: the backup is of another history. Another is taken, and old clones go.
    with portal.superuser() as somebody:
        somebody.execute(
            "INSERT INTO flyway_schema_history SELECT 5, '0.1', 'earlier', type, 'V0_1__earlier.sql', 1,"
            " installed_by, now(), 1, true FROM flyway_schema_history WHERE installed_rank = 4"
        )
    fourth = portal.rehearse(portal.again(rollback))
    assert Backup.objects.filter(execution=fourth, state="verified").exists(), fourth.sentence
    swept(portal)

    wait_for(
        "the old clones to go", lambda: None if set(names(kept, other)) & set(databases(portal)) else True
    )


def names(*kept: Any) -> list[str]:
    return [f"waqiti_kept_{each.pk.hex}" for each in kept]


def test_a_rule_that_cannot_be_applied_ends_the_rehearsal_and_is_named(portal: Portal) -> None:
    from approvals import masking
    from approvals.models import RehearsalClone

    rule = masking.propose(
        portal.target.service, columns="*.wallets.user_id", method="email", actor=portal.world.adam
    )
    try:
        ended = portal.rehearse(portal.request())
    finally:
        gone = masking.remove(rule, actor=portal.world.adam)
        masking.confirm(gone, actor=portal.world.dora)
    assert ended.status == "no_effect"
    assert "The rule “*.wallets.user_id” can't be applied to public.wallets.user_id" in ended.sentence
    assert not evidence(ended).holds
    failed = RehearsalClone.objects.filter(state="failed").latest("made_at")
    assert names(failed)[0] not in databases(portal)


def test_where_the_policy_lets_no_rows_in_the_rehearsal_says_what_it_could_not_see(portal: Portal) -> None:
    from approvals import policy
    from approvals.models import Check, PolicyRule, PolicyVersion, RollbackRequest
    from tests.executor.portal import KEY_IS_BACK, UNDO_KEY

    empty = Check("Nobody is there", "SELECT count(*) FROM users", "0")
    portal.write(UNDO_KEY, KEY_IS_BACK, empty)
    strict, _new = PolicyVersion.objects.get_or_create(number=0, note="No rows on staging.")
    for rule in policy.current().rules.all() if _new else ():
        rule.pk, rule.policy, rule.rehearsal_with_rows = None, strict, False
        rule.save(force_insert=True)
    assert PolicyRule.objects.filter(policy=strict, rehearsal_with_rows=False).exists()
    rollback = portal.request()
    RollbackRequest.objects.filter(pk=rollback.pk).update(policy_version=strict)
    ended = portal.rehearse(portal.again(rollback))
    assert ended.status == "succeeded", ended.sentence
    assert "It had no rows: times, locks and counts are those of empty tables." in ended.sentence
    assert not evidence(ended).data["filled"]["with_rows"]


def test_the_services_tests_decide_with_it_and_their_log_is_kept(portal: Portal, commands: Any) -> None:
    from executor.pgtools import tool

    ask = (
        f'"{tool("psql")}" -XAt -c "SELECT confdeltype FROM pg_constraint WHERE conname = \'wallets_user\'" '
        '&& echo "version $WAQITI_SCHEMA_VERSION"'
    )
    commands(ask)
    passed = portal.rehearse(portal.request())
    assert passed.status == "succeeded", passed.sentence
    assert "The service's tests passed there" in passed.sentence
    lines = list(passed.log.filter(level="tests").values_list("text", flat=True))
    assert lines == ["a", "version 3"]
    commands(f'{ask}; echo "password $PGPASSWORD"; exit 4')
    failed = portal.rehearse(portal.request())
    assert failed.status == "committed_check_failed"
    assert "the service's tests did not pass: they ended with 4" in failed.sentence
    assert not evidence(failed).holds
    assert evidence(failed).data["tests"]["why"] == "they ended with 4"
    assert failed.log.filter(level="tests").last().text == "password ***"
    assert not [name for name in databases(portal) if name.startswith("waqiti_rehearsal_")]


def test_what_killed_workers_left_is_dropped_and_what_is_in_use_stays(portal: Portal) -> None:
    from approvals import clones
    from approvals.models import RehearsalClone
    from executor import kept
    from tests.executor.portal import CLONE, wait_for

    portal.rehearse(portal.request())
    good = RehearsalClone.objects.filter(state="ready").latest("made_at")
    left = RehearsalClone.objects.get(pk=good.pk)
    left.pk, left.state, left.masking = uuid.uuid4(), "making", "0" * 64
    left.save(force_insert=True)
    with psycopg.connect(portal.staging_cluster.superuser_dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {names(left)[0]} OWNER {CLONE}")
    staging = good.server
    with psycopg.connect(
        host=staging.host,
        port=staging.port,
        dbname=staging.dbname,
        user=CLONE,
        password=portal.staging_cluster.login_password(CLONE),
        autocommit=True,
    ) as worker:  # it is at work on it
        worker.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", (kept.LOCK, str(clones.of(left))))
        swept(portal)
        portal.synced(portal.target)  # behind it in the same queue
        assert set(names(left, good)) <= set(databases(portal))
    swept(portal)
    wait_for("the leftover to go", lambda: None if names(left)[0] in databases(portal) else True)
    assert names(good)[0] in databases(portal)
