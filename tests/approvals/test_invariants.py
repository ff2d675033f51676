"""What the database refuses whatever the code does: raw SQL, as the owner and as the portal's own roles."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from approvals import comments, dbroles, policy
from approvals.models import Execution, RollbackRequest, Status
from tests.approvals import factories
from tests.approvals.factories import World, again, decide, rollback_in
from tests.approvals.test_stored import gone_on, half_way
from tests.servers import OWNER_ROLE

pytestmark = pytest.mark.integration

Connect = Callable[..., psycopg.Connection[Any]]
WEB, WORKER = dbroles.WEB, dbroles.WORKER


def refused(someone: psycopg.Connection[Any], constraint: str, sql: str, values: Any = None) -> None:
    """This breaks the constraint (or needs a privilege that nobody has: ""); nothing of it stays."""
    error = psycopg.errors.IntegrityError if constraint else psycopg.errors.InsufficientPrivilege
    with pytest.raises(error) as raised:
        attempt(someone, sql, values)
    assert (raised.value.diag.constraint_name or "") == constraint, sql


def attempt(someone: psycopg.Connection[Any], sql: str, values: Any = None) -> None:
    with someone.transaction():
        someone.execute(sql, values)
        someone.execute("SET CONSTRAINTS ALL IMMEDIATE")


SIGN = """
    INSERT INTO approvals_approval (rollback_id, approver_id, role, decision, request_digest, comment,
                                    acknowledged, confirmed_at, at, void_reason)
    VALUES (%(rollback)s, %(approver)s, %(role)s, 'approve', %(digest)s, '', '', %(confirmed)s, now(), '')
"""


def signature(rollback: RollbackRequest, approver: Any, **other: Any) -> dict[str, Any]:
    """An approval that a senior DBA could give."""
    return {
        "rollback": rollback.pk,
        "approver": approver.pk,
        "role": "senior_dba",
        "digest": rollback.request_digest,
        "confirmed": "now",
    } | other


# Decisions


@pytest.mark.parametrize("role", [OWNER_ROLE, WEB])
def test_only_somebody_who_may_signs_what_is_in_review(
    role: str, committed_world: World, connect_as: Connect
) -> None:
    world, someone = committed_world, connect_as(role)
    dba = world.dora.groups.get()
    for name in ("alice", "bob"):  # the requester and the author, with the role that they would need
        world.people[name].groups.add(dba)
    review, draft = rollback_in(world, Status.IN_REVIEW), rollback_in(world, Status.DRAFT)
    for values, constraint in [
        (signature(review, world.alice), "approver_is_not_requester"),
        (signature(review, world.bob), "approver_is_not_author"),
        (signature(review, world.eve), "approver_holds_the_role"),
        (signature(review, world.ida), "approver_holds_the_role"),
        (signature(review, world.dora, role="platform_lead"), "approver_holds_the_role"),
        (signature(review, world.olga, role="ops"), "approver_holds_the_role"),
        (signature(review, world.dora, digest="0" * 64), "approval_binds_to_present_digest"),
        (signature(review, world.dora, digest=""), "approval_binds_to_present_digest"),
        (signature(draft, world.dora), "approval_binds_to_present_digest"),
        (signature(review, world.dora, confirmed="-infinity"), "identity_confirmed_within_five_minutes"),
        (signature(review, world.dora, confirmed="infinity"), "identity_confirmed_within_five_minutes"),
    ]:
        refused(someone, constraint, SIGN, values)
    someone.execute(SIGN, signature(review, world.dora))
    refused(someone, "one_decision_per_person", SIGN, signature(review, world.dora))
    world.dora.groups.add(world.lea.groups.get())
    refused(someone, "one_decision_per_person", SIGN, signature(review, world.dora, role="platform_lead"))


def test_nothing_is_signed_after_the_end(committed_world: World, connect_as: Connect) -> None:
    world, owner = committed_world, connect_as(OWNER_ROLE)
    for status, on in [
        (Status.CANCELLED, "production"),
        (Status.REJECTED, "production"),
        (Status.EXECUTED, "production"),
        (Status.FAILED, "high"),
    ]:
        values = signature(rollback_in(world, status, on), world.dan)
        refused(owner, "approval_binds_to_present_digest", SIGN, values)


def test_a_worker_signs_nothing(committed_world: World, connect_as: Connect) -> None:
    review = rollback_in(committed_world, Status.IN_REVIEW)
    refused(connect_as(WORKER), "", SIGN, signature(review, committed_world.dora))


@pytest.mark.parametrize("role", [OWNER_ROLE, WEB, WORKER])
def test_a_decision_can_only_be_voided_and_that_once(
    role: str, committed_world: World, connect_as: Connect
) -> None:
    rollback, someone = rollback_in(committed_world, Status.APPROVED, "high"), connect_as(role)
    mine = f"WHERE rollback_id = {rollback.pk}"
    for change in (
        "approver_id = 1",
        "role = 'platform_lead'",
        "decision = 'reject'",
        "request_digest = 'x'",
        "confirmed_at = now()",
        "void_reason = 'x'",
        "voided_at = now(), comment = 'x'",
        f"rollback_id = {rollback_in(committed_world, Status.IN_REVIEW).pk}",
    ):
        refused(someone, "", f"UPDATE approvals_approval SET {change} {mine}")
    for sql in (f"DELETE FROM approvals_approval {mine}", "TRUNCATE approvals_approval"):
        refused(someone, "", sql)
    someone.execute(f"UPDATE approvals_approval SET voided_at = now(), void_reason = 'test' {mine}")
    for change in ("voided_at = NULL", "void_reason = 'other'"):
        refused(someone, "", f"UPDATE approvals_approval SET {change} {mine}")
    assert len(policy.missing_signatures(again(rollback))) == 2


# Floors


MOVE = "UPDATE approvals_rollbackrequest SET status = %s WHERE id = %s"


@pytest.mark.parametrize("role", [OWNER_ROLE, WEB, WORKER])
def test_nothing_is_approved_or_begun_below_the_floor(
    role: str, committed_world: World, connect_as: Connect
) -> None:
    world, someone = committed_world, connect_as(role)
    low, high, critical = (
        rollback_in(world, Status.IN_REVIEW, on) for on in ("production", "high", "critical")
    )
    for goal, rollback in itertools.product(("approved", "executing"), (low, high, critical)):
        refused(someone, "approval_floor", MOVE, [goal, rollback.pk])
    decide(world, high, world.dora)
    decide(world, critical, world.lea)
    for goal, rollback in itertools.product(("approved", "executing"), (high, critical)):
        refused(someone, "approval_floor", MOVE, [goal, rollback.pk])
    decide(world, critical, world.dora)
    with someone.transaction(force_rollback=True):  # the floor is two; the third signature is the policy's
        someone.execute(MOVE, ["approved", critical.pk])


def test_signatures_that_are_void_or_of_another_digest_do_not_lift_above_the_floor(
    committed_world: World, connect_as: Connect, superuser: psycopg.Connection[Any]
) -> None:
    world, owner = committed_world, connect_as(OWNER_ROLE)
    low, high = rollback_in(world, Status.APPROVED), rollback_in(world, Status.APPROVED, "high")
    owner.execute(
        "UPDATE approvals_approval SET voided_at = now(), void_reason = 'x' WHERE rollback_id = %s", [low.pk]
    )
    refused(owner, "approval_floor", MOVE, ["executing", low.pk])
    superuser.execute("ALTER TABLE approvals_rollbackrequest DISABLE TRIGGER rollback_frozen")
    superuser.execute("UPDATE approvals_rollbackrequest SET request_digest = 'x' WHERE id = %s", [high.pk])
    refused(owner, "approval_floor", MOVE, ["executing", high.pk])


def test_a_staging_target_has_no_floor_and_a_request_without_a_target_the_highest(
    committed_world: World, connect_as: Connect
) -> None:
    world, owner = committed_world, connect_as(OWNER_ROLE)
    bare = RollbackRequest.objects.create(service=world.service, requester=world.alice)
    refused(owner, "approval_floor", MOVE, ["approved", bare.pk])
    draft = rollback_in(world, Status.DRAFT, "staging")
    with owner.transaction(force_rollback=True):
        owner.execute(MOVE, ["approved", draft.pk])


@pytest.mark.parametrize("role", [OWNER_ROLE, WEB])
def test_a_temporary_table_does_not_hide_the_real_one_from_the_guards(
    role: str, committed_world: World, connect_as: Connect
) -> None:
    world, someone = committed_world, connect_as(role)
    rollback = rollback_in(world, Status.IN_REVIEW)
    someone.execute("CREATE TEMP TABLE approvals_approval AS SELECT * FROM public.approvals_approval")
    someone.execute(
        """INSERT INTO pg_temp.approvals_approval (rollback_id, approver_id, role, decision, request_digest)
           SELECT %s, id, 'senior_dba', 'approve', %s FROM approvals_user""",
        [rollback.pk, rollback.request_digest],
    )
    refused(someone, "approval_floor", MOVE, ["approved", rollback.pk])
    someone.execute("DROP TABLE pg_temp.approvals_approval")
    someone.execute(
        """CREATE TEMP TABLE approvals_rollbackrequest AS
           SELECT id, status, request_digest, 0::bigint AS requester_id
             FROM public.approvals_rollbackrequest"""
    )
    refused(someone, "approver_is_not_requester", SIGN, signature(rollback, world.alice))


# Edits


MOVING = {
    "id",
    "status",
    "attempts",
    "updated_at",
    "approved_at",
    "expires_at",
    "ended_at",
    "forced",  # by the database's own trigger only (test_break_glass)
    "excepted",  # likewise (test_backup_exceptions)
}


OTHER = {
    "text": "'x'",
    "character varying": "'x'",
    "jsonb": """'{"x": 1}'""",
    "smallint": "5",
    "integer": "77",
    "bigint": "77",
    "timestamp with time zone": "'2000-01-01'",
}


@pytest.mark.parametrize("status", [Status.IN_REVIEW, Status.APPROVED, Status.EXECUTING, Status.EXECUTED])
def test_what_people_read_and_sign_stays_as_it_is(
    status: Status, committed_world: World, connect_as: Connect
) -> None:
    rollback = rollback_in(committed_world, status)
    columns = """SELECT column_name, data_type FROM information_schema.columns
                  WHERE table_name = 'approvals_rollbackrequest'"""
    for role in (OWNER_ROLE, WEB, WORKER):
        someone = connect_as(role)
        found = [pair for pair in someone.execute(columns).fetchall() if pair[0] not in MOVING]
        assert len(found) > 20
        for column, kind in found:
            change = f"UPDATE approvals_rollbackrequest SET {column} = {OTHER[kind]} WHERE id = %s"
            refused(someone, "only_a_draft_can_be_edited", change, [rollback.pk])


@pytest.mark.parametrize("role", [OWNER_ROLE, WEB, WORKER])
def test_neither_do_its_items_and_targets_change(
    role: str, committed_world: World, connect_as: Connect
) -> None:
    world, someone = committed_world, connect_as(role)
    approved, draft = rollback_in(world, Status.APPROVED), rollback_in(world, Status.DRAFT)
    for sql in (
        "UPDATE approvals_rollbackitem SET script_id = NULL WHERE rollback_id = %s",
        "UPDATE approvals_rollbackitem SET position = 2 WHERE rollback_id = %s",
        "DELETE FROM approvals_rollbackitem WHERE rollback_id = %s",
        f"UPDATE approvals_rollbackitem SET rollback_id = {draft.pk}, position = 9 WHERE rollback_id = %s",
        f"UPDATE approvals_rollbackitem SET rollback_id = %s, position = 9 WHERE rollback_id = {draft.pk}",
        """INSERT INTO approvals_rollbackitem (rollback_id, position, migration_id, revision_id)
           SELECT %s, 9, m.id, r.id FROM approvals_migration m
             JOIN approvals_migrationrevision r ON r.migration_id = m.id WHERE version = '1'""",
        "UPDATE approvals_rollbacktarget SET pins = '[]' WHERE rollback_id = %s",
        f"UPDATE approvals_rollbacktarget SET target_id = {world.staging.pk} WHERE rollback_id = %s",
        f"""INSERT INTO approvals_rollbacktarget (rollback_id, target_id, pins)
            VALUES (%s, {world.staging.pk}, '[]')""",
    ):
        refused(someone, "only_a_draft_can_be_edited", sql, [approved.pk])
    for table in ("rollbackitem", "rollbacktarget"):
        refused(someone, "", f"TRUNCATE approvals_{table} CASCADE")


@pytest.mark.parametrize("role", [OWNER_ROLE, WEB, WORKER])
def test_a_request_never_changes_hands(role: str, committed_world: World, connect_as: Connect) -> None:
    world, someone = committed_world, connect_as(role)
    draft = rollback_in(world, Status.DRAFT)
    for change in (f"requester_id = {world.bob.pk}", f"service_id = {world.foreign.pk}"):
        refused(
            someone,
            "only_a_draft_can_be_edited",
            f"UPDATE approvals_rollbackrequest SET {change} WHERE id = %s",
            [draft.pk],
        )


@pytest.mark.parametrize("role", [OWNER_ROLE, WEB, WORKER])
def test_leaving_the_way_to_execution_voids_the_approvals(
    role: str, committed_world: World, connect_as: Connect
) -> None:
    rollback, someone = rollback_in(committed_world, Status.APPROVED, "high"), connect_as(role)
    reasons = "SELECT void_reason FROM approvals_approval WHERE rollback_id = %s AND voided_at IS NOT NULL"
    for goal in ("draft", "changes_requested", "rejected", "cancelled", "expired", "failed"):
        with someone.transaction(force_rollback=True):
            someone.execute(MOVE, [goal, rollback.pk])
            assert someone.execute(reasons, [rollback.pk]).fetchall() == [(goal,), (goal,)]
            refused(someone, "approval_floor", MOVE, ["approved", rollback.pk])


def test_a_rollback_begins_as_a_draft(committed_world: World, connect_as: Connect) -> None:
    rollback, owner = rollback_in(committed_world, Status.APPROVED), connect_as(OWNER_ROLE)
    columns = [field.column for field in RollbackRequest._meta.concrete_fields if not field.primary_key]
    names = ", ".join(columns)
    copy = f"""INSERT INTO approvals_rollbackrequest ({names})
               SELECT {names} FROM approvals_rollbackrequest WHERE id = %s"""
    refused(owner, "rollback_begins_as_draft", copy, [rollback.pk])
    owner.execute(copy, [rollback_in(committed_world, Status.DRAFT).pk])


def test_a_decision_waits_for_an_edit_that_is_under_way(committed_world: World, connect_as: Connect) -> None:
    """Were it written beside the edit, it would not be voided by it."""
    world = committed_world
    rollback = rollback_in(world, Status.IN_REVIEW, "high")
    editor, signer = connect_as(OWNER_ROLE), connect_as(WEB)
    outcome: list[str] = []

    def sign() -> None:
        try:
            signer.execute(SIGN, signature(rollback, world.dora))
            outcome.append("signed")
        except psycopg.errors.CheckViolation as error:
            outcome.append(str(error.diag.constraint_name))

    thread = threading.Thread(target=sign)
    with editor.transaction():
        editor.execute(MOVE, ["draft", rollback.pk])
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
    thread.join()
    assert outcome == ["approval_binds_to_present_digest"]
    assert not rollback.approvals.exists()


# Executions


def run(rollback: RollbackRequest, world: World, **other: str) -> str:
    """An execution like the last rehearsal, but for this rollback and real."""
    rollback_target = factories.target_of(rollback)
    values = {
        "id": "gen_random_uuid()",
        "status": "'queued'",
        "purpose": "'real'",
        "rollback_target_id": str(rollback_target.pk),
        "target_id": str(rollback_target.target_id),
        "change_digest": f"'{rollback.change_digest}'",
        "request_digest": f"'{rollback.request_digest}'",
    } | other
    columns = [field.column for field in Execution._meta.concrete_fields]
    return f"""INSERT INTO approvals_execution ({", ".join(columns)})
               SELECT {", ".join(values.get(column, column) for column in columns)}
                 FROM approvals_execution WHERE purpose = 'rehearsal' LIMIT 1"""


@pytest.mark.parametrize("role", [OWNER_ROLE, WEB, WORKER])
def test_nothing_is_executed_that_is_not_approved(
    role: str, committed_world: World, connect_as: Connect
) -> None:
    world, someone = committed_world, connect_as(role)
    approved, executing = rollback_in(world, Status.APPROVED), rollback_in(world, Status.EXECUTING, "high")
    for sql in (
        run(approved, world),
        run(rollback_in(world, Status.DRAFT), world),
        run(executing, world, request_digest="'x'"),
        run(executing, world, change_digest="'x'"),
        run(executing, world, target_id=str(world.production.pk)),
        run(approved, world, purpose="'other'"),
    ):
        refused(someone, "execution_of_approved_digest", sql)
    refused(someone, "one_open_execution_per_target", run(executing, world))


@pytest.mark.parametrize("role", [OWNER_ROLE, WEB, WORKER])
def test_what_an_execution_is_for_never_changes(
    role: str, committed_world: World, connect_as: Connect
) -> None:
    world, someone = committed_world, connect_as(role)
    rollback = rollback_in(world, Status.DRAFT)
    rehearsal = factories.executions.ask_for_rehearsal(rollback, actor=world.alice)
    for change in (
        "purpose = 'real'",
        f"target_id = {world.high.pk}",
        "change_digest = 'x'",
        "request_digest = 'x'",
        "id = gen_random_uuid()",
    ):
        refused(
            someone,
            "execution_keeps_its_purpose",
            f"UPDATE approvals_execution SET {change} WHERE id = %s",
            [rehearsal.pk],
        )


# What is written once


def with_a_signed_exception(world: World) -> None:
    """A rollback whose backup can't be had, and the first of three who except it."""
    from tests.approvals.test_backup_exceptions import asked, beyond_reach, signed

    rollback = rollback_in(world, Status.IN_REVIEW, "high")
    beyond_reach(world, rollback)
    signed(asked(world, rollback), world.dora)


def test_what_is_written_once_stays(
    committed_world: World, connect_as: Connect, superuser: psycopg.Connection[Any]
) -> None:
    review = rollback_in(committed_world, Status.IN_REVIEW)
    comments.open_thread(review, actor=committed_world.dora, text="Why now?")
    gone_on(committed_world, half_way(committed_world))
    with_a_signed_exception(committed_world)
    superuser.execute("SET session_replication_role = replica")
    everybody = [connect_as(role) for role in (OWNER_ROLE, WEB, WORKER)]
    for table, someone in itertools.product(sorted(dbroles.APPEND_ONLY), [*everybody, superuser]):
        column = "seq" if table == "approvals_auditevent" else "id"
        refused(someone, "", f"UPDATE {table} SET {column} = {column}")
        refused(someone, "", f"DELETE FROM {table}")
        refused(someone, "", f"TRUNCATE {table} CASCADE")


@pytest.mark.parametrize("role", [WEB, WORKER])
def test_the_record_is_never_deleted_by_the_portal(
    role: str, committed_world: World, connect_as: Connect
) -> None:
    someone = connect_as(role)
    for table in dbroles.KEPT:
        refused(someone, "", f"DELETE FROM {table}")
