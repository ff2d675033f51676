"""Steps that run alone, with a real worker: killed between and within them, gone on with, taken back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.executor.test_worker import resolved

if TYPE_CHECKING:
    from approvals.models import Continuation, Execution, RollbackRequest
    from tests.executor.portal import Portal

MAKE = "CREATE INDEX CONCURRENTLY by_amount ON wallets (amount);\n"
DROP = "DROP INDEX CONCURRENTLY users_by_name;\n"
INDEXES = "SELECT string_agg(indexdef, E'\\n' ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'public'"
KINDS = "SELECT string_agg(kind, ',' ORDER BY kind) FROM waqiti_rollback.execution_marker"


@pytest.fixture
def plan(portal: Portal) -> RollbackRequest:
    """Approved: an index goes, another is made, then V4's key in the transaction."""
    from tests.executor.portal import OWNER_ROLE, UNDO_KEY

    with portal.superuser() as somebody:
        somebody.execute(f"SET ROLE {OWNER_ROLE}; CREATE INDEX users_by_name ON users (name)")
    portal.write(DROP + MAKE + UNDO_KEY)
    return portal.ready()


def states(execution: Execution) -> list[str]:
    return list(execution.steps.order_by("position").values_list("state", flat=True))


def by_hand(portal: Portal, statements: str) -> None:
    """Somebody with psql."""
    with portal.superuser() as somebody:
        somebody.execute(statements)  # type: ignore[call-overload]


def objections(execution: Execution) -> dict[str, list[str]]:
    """What stopped it as it began, by key: what it is about."""
    from approvals.models import Evidence

    found = Evidence.objects.get(kind="preflight", data__execution=str(execution.pk))
    return {point["key"]: point["who"] for point in found.data["points"] if point["verdict"] == "stop"}


@contextmanager
def frozen(portal: Portal) -> Iterator[None]:
    """A freeze that two people lift in the end."""
    from django.utils import timezone

    from approvals import windows
    from approvals.models import CalendarEntry

    now = timezone.now()
    until = {"begins_at": now - timedelta(minutes=5), "ends_at": now + timedelta(minutes=30)}
    freeze = windows.propose(
        portal.target, CalendarEntry.Kind.FREEZE, actor=portal.world.olga, reason="Month end.", **until
    )
    yield
    asked = windows.ask_to_remove(freeze, actor=portal.world.olga, reason="Closed early.")
    windows.confirm(asked, actor=portal.world.dora)


def killed_in_the_build(portal: Portal, rollback: RollbackRequest) -> Execution:
    """The worker is killed while the second step waits for somebody's transaction."""
    from tests.executor.portal import wait_for

    with portal.superuser() as somebody:
        somebody.execute("BEGIN; UPDATE wallets SET amount = amount WHERE id = 1")
        execution = portal.start(rollback)

        def waits() -> bool | None:
            query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'virtualxid'"
            return True if portal.value(query) else None

        wait_for("the build's wait for a transaction", waits)
        portal.worker.kill()
        portal.worker.start()
        ended = resolved(portal, execution, "partial")
        somebody.execute("ROLLBACK")
    return ended


def continued(
    portal: Portal, execution: Execution, course: str, reason: str = "The night is long."
) -> Execution:
    """Asked by ops, signed by two others, started by ops, ended."""
    return portal.ended(started(portal, agreed(portal, execution, course, reason)))


def started(portal: Portal, asked: Continuation) -> Execution:
    from django.utils import timezone

    from approvals import continuing

    return continuing.start(asked, actor=portal.world.olga, confirmed_at=timezone.now())


def agreed(
    portal: Portal, execution: Execution, course: str, reason: str = "The night is long."
) -> Continuation:
    """Asked by ops and signed by two others."""
    from django.utils import timezone

    from approvals import continuing, halfway
    from approvals.errors import Denied, Refused
    from approvals.models import Role

    offered = halfway.offer(execution, course)

    def ask(why: str) -> Continuation:
        return continuing.ask(
            execution,
            course=course,
            digest=halfway.digest_of(execution, course, offered.steps),
            reason=why,
            actor=portal.world.olga,
            confirmed_at=timezone.now(),
        )

    with pytest.raises(Refused, match="Say w"):
        ask(" ")
    asked = ask(reason)
    for nobody in (portal.world.alice, portal.world.bob):
        with pytest.raises(Denied):
            sign(asked, nobody)
    for number, dba in enumerate((portal.world.dora, portal.world.dan)):
        if halfway.missing_roles(asked):
            with pytest.raises(Refused, match="Signatures are missing"):
                started(portal, asked)
            assert number < 2
            continuing.sign(
                asked, actor=dba, role=Role.SENIOR_DBA, digest=asked.digest, confirmed_at=timezone.now()
            )
    return asked


def sign(asked: Continuation, actor: object) -> None:
    from django.utils import timezone

    from approvals import continuing
    from approvals.models import Role

    continuing.sign(
        asked,
        actor=actor,  # type: ignore[arg-type]
        role=Role.SENIOR_DBA,
        digest=asked.digest,
        confirmed_at=timezone.now(),
    )


def test_kill_9_within_a_build_is_partly_done_and_goes_on_to_its_end(
    portal: Portal, plan: RollbackRequest
) -> None:
    from tests.executor.portal import OWNER_ROLE

    execution = killed_in_the_build(portal, plan)

    assert execution.status == "partial", execution.sentence
    assert states(execution) == ["done", "failed", "pending", "pending"]
    step = execution.steps.get(position=2)
    assert "public.by_amount is there and invalid" in step.found
    assert step.leftover == ["DROP INDEX CONCURRENTLY IF EXISTS public.by_amount"]
    assert portal.versions() == ["1", "2", "3", "4"]
    assert portal.key_deletes() == "c"
    assert portal.again(plan).status == "executing"

    # As a standby would have it that was promoted before the first step reached it.
    build = f"SET ROLE {OWNER_ROLE}; CREATE INDEX users_by_name ON users (name)"
    by_hand(portal, build)
    asked = agreed(portal, execution, "go_on")
    late = portal.ended(started(portal, asked))
    assert late.status == "no_effect"
    assert "Step 1 is in place by our record" in " ".join(objections(late)["left"])
    assert states(late) == ["pending", "pending", "pending"]
    by_hand(portal, "DROP INDEX users_by_name")

    ended = portal.ended(started(portal, asked))  # under the same signatures: nothing was changed

    assert ended.status == "succeeded", ended.sentence
    assert objections(ended) == {}
    assert [backup.state for backup in ended.backups.all()] == ["verified"]
    assert not late.backups.exists()
    assert portal.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_amount'::regclass") is True
    assert portal.versions() == ["1", "2", "3"]
    assert portal.key_deletes() == "a"
    assert portal.again(plan).status == "executed"
    execution.refresh_from_db()
    assert execution.settled_as == "gone_on"


def test_kill_9_within_a_build_is_taken_back_to_the_very_schema_it_was(
    portal: Portal, plan: RollbackRequest
) -> None:
    from approvals import audit
    from approvals.errors import Refused

    before = portal.value(INDEXES)
    execution = killed_in_the_build(portal, plan)
    assert execution.status == "partial", execution.sentence
    assert portal.value(INDEXES) != before

    asked = agreed(portal, execution, "take_back")
    with frozen(portal), pytest.raises(Refused, match=r"Nothing freezes the target: .*Month end"):
        started(portal, asked)
    row = "9, '5', '', 'SQL', 'V5__x.sql', 1, 'flyway', now(), 1, true"
    by_hand(portal, f"INSERT INTO flyway_schema_history VALUES ({row})")
    late = portal.ended(started(portal, asked))
    assert late.status == "no_effect"
    assert "Newer migrations are applied above: V5" in late.sentence
    by_hand(portal, "DELETE FROM flyway_schema_history WHERE version = '5'")
    portal.synced(portal.target)

    ended = portal.ended(started(portal, asked))

    assert not ended.backups.exists()
    assert ended.status == "succeeded", ended.sentence
    assert states(ended) == ["undone", "undone"]
    assert portal.value(INDEXES) == before
    assert portal.value("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0
    assert portal.versions() == ["1", "2", "3", "4"]
    assert portal.again(plan).status == "failed"
    assert not plan.approvals.filter(voided_at=None).exists()
    assert audit.verify().holds


def test_what_is_partly_done_keeps_its_target_until_somebody_settles_it(
    portal: Portal, plan: RollbackRequest
) -> None:
    from django.db import IntegrityError, transaction
    from django.utils import timezone

    from approvals.models import Execution

    execution = killed_in_the_build(portal, plan)
    other = Execution(
        rollback_target=execution.rollback_target,
        target=execution.target,
        purpose="real",
        change_digest=execution.change_digest,
        request_digest=execution.request_digest,
        requested_by=portal.world.olga,
    )
    with pytest.raises(IntegrityError, match="not settled"), transaction.atomic():
        other.save(force_insert=True)
    other.continues, other.course = execution, "go_on"
    with pytest.raises(IntegrityError, match="was signed by 0"), transaction.atomic():
        other.save(force_insert=True)
    mine = Execution.objects.filter(pk=execution.pk)
    with pytest.raises(IntegrityError, match="was signed by 0"), transaction.atomic():
        mine.update(settled_at=timezone.now(), settled_as="by_hand")
    with pytest.raises(IntegrityError, match="what a step sends"), transaction.atomic():
        execution.steps.update(sql="SELECT 1")
    settled = continued(portal, execution, "by_hand", "Dropped the rest in psql.")
    assert (settled.pk, settled.settled_as) == (execution.pk, "by_hand")
    assert settled.settled_because == "Dropped the rest in psql."
    assert portal.again(plan).status == "failed"
