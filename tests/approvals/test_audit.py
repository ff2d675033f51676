"""The chain proves what happened: it verifies, every tampering is named, and nobody can write it but in order."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import rfc8785
from django.db import IntegrityError, connection, connections, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from approvals import audit
from approvals.errors import Denied, Refused
from approvals.models import AuditEvent, Team, User
from tests.approvals import factories
from tests.approvals.factories import World, body, trail
from tests.servers import OWNER_ROLE, Database

pytestmark = pytest.mark.integration

Row = tuple[int, str, bytes, bytes]


def record(count: int = 1, **facts: Any) -> None:
    for number in range(count):
        with audit.unit_of_work("test.happened", actor=None) as happened:
            happened |= {"number": number} | facts


def stored() -> list[Row]:
    return [
        (seq, text, bytes(prev), bytes(hashed))
        for seq, text, prev, hashed in AuditEvent.objects.order_by("seq").values_list(
            "seq", "body", "prev", "hash"
        )
    ]


# What an event is


@pytest.mark.django_db
def test_the_chain_begins_with_a_fixed_event() -> None:
    assert stored() == [(0, audit.GENESIS, bytes(32), audit.link(bytes(32), audit.GENESIS))]
    assert rfc8785.dumps(json.loads(audit.GENESIS)).decode() == audit.GENESIS
    assert audit.verify() == audit.Verdict(0, audit.link(bytes(32), audit.GENESIS).hex())


@pytest.mark.django_db
def test_an_event_is_canonical_json_with_its_own_number_time_and_chain_inside() -> None:
    record()
    seq, text, prev, hashed = stored()[-1]
    inner = json.loads(text)
    assert rfc8785.dumps(inner).decode() == text
    assert (inner["seq"], inner["chain"], inner["action"]) == (1, "portal", "test.happened")
    assert inner["at"].endswith("+00:00")
    assert prev == stored()[0][3]
    assert hashed == audit.link(prev, text)
    assert audit.verify() == audit.Verdict(1, hashed.hex())


def test_actor_roles_and_labels_are_text_that_outlives_their_rows(world: World) -> None:
    rollback = factories.draft(world)
    inner = body("rollback.created")
    assert (inner["actor"], inner["actor_name"], inner["roles"]) == ("alice", "Alice", ["engineer"])
    assert (inner["rollback"], inner["target"]) == (rollback.label, "wallet-service-production")
    assert inner["status"] == "draft"


def test_the_filter_columns_say_what_the_body_says(world: World) -> None:
    rollback = factories.draft(world)
    for event in AuditEvent.objects.all():
        inner = json.loads(event.body)
        for column in ("at", "action", "actor", "target", "rollback", "incident"):
            assert getattr(event, column) == inner.get(column), (event.seq, column)
    story = AuditEvent.objects.filter(rollback=rollback.label).order_by("seq")
    assert [event.action for event in story] == ["rollback.created", "rollback.facts_read"]
    opened = AuditEvent.objects.get(incident=rollback.incident.label)
    assert opened.action == "incident.opened"


def test_an_event_tells_the_status_after_the_change(world: World) -> None:
    stale = factories.draft(world)
    rollback = factories.submitted(world, stale)
    assert body("rollback.submitted")["status"] == "in_review"
    factories.decide(world, rollback, world.dora)
    assert body("rollback.approved")["status"] == "approved"
    assert stale.status == "draft"


@pytest.mark.django_db
def test_events_of_one_request_share_its_id() -> None:
    token = audit.request_id.set("f00d")
    try:
        record()
    finally:
        audit.request_id.reset(token)
    assert body("test.happened")["request_id"] == "f00d"


@pytest.mark.django_db
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    facts=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(2**53) + 1, 2**53 - 1)
            | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(alphabet="ab\u00e9\U0001f4a3", max_size=3), inner, max_size=3)
            ),
            max_leaves=6,
        ),
        max_size=4,
    )
)
def test_whatever_the_facts_are_the_chain_holds_and_gives_them_back(facts: dict[str, Any]) -> None:
    with audit.unit_of_work("test.facts", actor=None) as happened:
        happened |= facts
    seq, text, prev, hashed = stored()[-1]
    assert json.loads(text)["facts"] == facts
    assert hashed == audit.link(prev, text)
    assert AuditEvent.objects.get(pk=seq).action == "test.facts"
    assert audit.verify().holds


@settings(max_examples=200, deadline=None)
@given(
    bodies=st.lists(st.text(max_size=30), min_size=1, max_size=5, unique=True),
    data=st.data(),
)
def test_any_other_byte_anywhere_gives_another_hash(bodies: list[str], data: st.DataObject) -> None:
    rows, prev = [], bytes(32)
    for text in bodies:
        rows.append((text.encode("utf-8", "surrogatepass"), prev))
        try:
            prev = audit.link(prev, text)
        except UnicodeEncodeError:  # a lone surrogate is no text
            return
    number = data.draw(st.integers(0, len(bodies) - 1))
    raw, before = rows[number]
    if raw:
        place = data.draw(st.integers(0, len(raw) - 1))
        other = bytearray(raw)
        other[place] ^= data.draw(st.integers(1, 255))
        changed = audit.hashlib.sha256(audit.DOMAIN + before + bytes(other)).digest()
        assert changed != audit.link(before, bodies[number])


# No audit, no action


@pytest.mark.django_db
def test_what_cannot_be_recorded_does_not_happen() -> None:
    with (
        pytest.raises(Exception, match="float|number|dumps|type"),
        audit.unit_of_work("x", actor=None) as facts,
    ):
        Team.objects.create(name="never")
        facts["bad"] = {1, 2}
    assert not Team.objects.filter(name="never").exists()
    assert trail() == []


@pytest.mark.django_db
def test_a_refused_action_leaves_neither_change_nor_event() -> None:
    with pytest.raises(Refused), audit.unit_of_work("team.made", actor=None):
        Team.objects.create(name="never")
        raise Refused("no")
    assert not Team.objects.exists()
    assert trail() == []


def test_a_denied_attempt_is_on_record_although_the_action_was_rolled_back(
    committed_world: World, connect_as: Callable[..., psycopg.Connection[Any]]
) -> None:
    actor = committed_world.axel
    with pytest.raises(Denied), audit.unit_of_work("team.made", actor=actor) as facts:
        Team.objects.create(name="never")
        facts["secret"] = "not on record"
        raise Denied("You may not make teams.")
    other = connect_as(OWNER_ROLE)  # another connection sees only what was committed
    query = "SELECT body FROM approvals_auditevent ORDER BY seq DESC LIMIT 1"
    last = json.loads(other.execute(query).fetchone()[0])
    assert (last["action"], last["actor"]) == ("team.made.denied", "axel")
    assert last["facts"] == {"why": "You may not make teams."}
    assert other.execute("SELECT count(*) FROM approvals_team WHERE name = 'never'").fetchone() == (0,)


@pytest.mark.django_db
def test_a_denial_outside_any_domain_function_can_be_recorded() -> None:
    actor = factories.person("zoe")
    audit.record_denial("page.opened", actor=actor, why="This is not your service.")
    inner = body("page.opened.denied")
    assert (inner["actor"], inner["facts"]) == ("zoe", {"why": "This is not your service."})


def test_a_unit_of_work_cannot_be_part_of_a_bigger_transaction(portal_db: Database) -> None:
    with (
        pytest.raises(RuntimeError, match="durable"),
        transaction.atomic(),
        audit.unit_of_work("x", actor=None),
    ):
        pass
    assert trail() == []


# Tampering, as only a superuser can who switches the triggers off

TAMPERING: dict[str, tuple[str, int, str]] = {
    "a body is edited": (
        "UPDATE approvals_auditevent SET body = replace(body, '\"number\":2', '\"number\":7') WHERE seq = 3",
        3,
        "event 3 was changed after it was written",
    ),
    "a hash is edited": (
        "UPDATE approvals_auditevent SET hash = sha256('x') WHERE seq = 3",
        3,
        "event 3 was changed after it was written",
    ),
    "a body is edited and its hash with it": (
        "UPDATE approvals_auditevent SET body = replace(body, '\"number\":2', '\"number\":7'),"
        " hash = sha256('waqiti-audit/v1'::bytea || '\\x00'::bytea || prev"
        " || convert_to(replace(body, '\"number\":2', '\"number\":7'), 'UTF8')) WHERE seq = 3",
        4,
        "event 4 does not follow from event 3",
    ),
    "an event is deleted": (
        "DELETE FROM approvals_auditevent WHERE seq = 3",
        4,
        "event 3 is missing: 4 is in its place",
    ),
    "an event is deleted and the gap closed": (
        "DELETE FROM approvals_auditevent WHERE seq = 3;"
        "UPDATE approvals_auditevent SET seq = seq - 1 WHERE seq = 4;"
        "UPDATE approvals_auditevent SET seq = seq - 1 WHERE seq = 5;",
        3,
        "event 3 does not follow from event 2",
    ),
    "two events are swapped": (
        "UPDATE approvals_auditevent SET seq = -1 WHERE seq = 2;"
        "UPDATE approvals_auditevent SET seq = 2 WHERE seq = 3;"
        "UPDATE approvals_auditevent SET seq = 3 WHERE seq = -1;",
        2,
        "event 2 does not follow from event 1",
    ),
    "two bodies are swapped": (
        "UPDATE approvals_auditevent a SET body = b.body FROM approvals_auditevent b"
        " WHERE (a.seq, b.seq) IN ((2, 3), (3, 2))",
        2,
        "event 2 was changed after it was written",
    ),
    "an event is put in between": (
        "UPDATE approvals_auditevent SET seq = 6 WHERE seq = 5;"
        "UPDATE approvals_auditevent SET seq = 5 WHERE seq = 4;"
        "UPDATE approvals_auditevent SET seq = 4 WHERE seq = 3;"
        "INSERT INTO approvals_auditevent (seq, body, prev, hash)"
        " SELECT 3, body, hash, sha256('waqiti-audit/v1'::bytea || '\\x00'::bytea || hash"
        " || convert_to(body, 'UTF8')) FROM approvals_auditevent WHERE seq = 2",
        3,
        "event 3 carries another event's number inside",
    ),
    "the first events are cut off": (
        "DELETE FROM approvals_auditevent WHERE seq < 3",
        3,
        "event 0 is missing: 3 is in its place",
    ),
    "another beginning is written": (
        "UPDATE approvals_auditevent SET body = replace(body, '1970', '1971') WHERE seq = 0",
        0,
        "event 0 is not the fixed first event",
    ),
    "everything is deleted": (
        "DELETE FROM approvals_auditevent",
        0,
        "the chain is empty: not even its fixed first event is there",
    ),
}


@pytest.fixture
def tamper(portal_db: Database, superuser: psycopg.Connection[Any]) -> Callable[[str], None]:
    """Five events, and a superuser who switches the triggers off."""
    record(5)
    superuser.execute("ALTER TABLE approvals_auditevent DISABLE TRIGGER ALL")
    return lambda sql: superuser.execute(sql) and None


def test_every_tampering_is_named_at_the_first_bad_event(
    portal_db: Database, superuser: psycopg.Connection[Any]
) -> None:
    record(5)
    superuser.execute("ALTER TABLE approvals_auditevent DISABLE TRIGGER ALL")
    assert audit.verify() == audit.Verdict(5, stored()[-1][3].hex())
    for what, (sql, seq, problem) in TAMPERING.items():
        with superuser.transaction(force_rollback=True):
            superuser.execute(sql)
            rows = superuser.execute("SELECT seq, body, prev, hash FROM approvals_auditevent ORDER BY seq")
            verdict = audit.verify(rows.fetchall())
        assert (verdict.bad_seq, verdict.problem) == (seq, problem), what
        assert not verdict.holds
        assert verdict.events == max(seq - 1, 0) if "missing" not in problem else True
    assert audit.verify().holds


def test_the_good_part_of_a_broken_chain_is_told(
    portal_db: Database, superuser: psycopg.Connection[Any]
) -> None:
    record(5)
    head = stored()[2][3].hex()
    superuser.execute("ALTER TABLE approvals_auditevent DISABLE TRIGGER ALL")
    superuser.execute(TAMPERING["an event is deleted"][0])
    assert audit.verify() == audit.Verdict(2, head, 4, "event 3 is missing: 4 is in its place")


# Nobody can write it but in order


@pytest.mark.parametrize("role", [OWNER_ROLE, "waqiti_web", "waqiti_worker", "postgres"])
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE approvals_auditevent SET body = body",
        "DELETE FROM approvals_auditevent",
        "TRUNCATE approvals_auditevent",
    ],
)
def test_nobody_changes_or_deletes_events(
    role: str,
    sql: str,
    portal_db: Database,
    superuser: psycopg.Connection[Any],
    connect_as: Callable[..., psycopg.Connection[Any]],
) -> None:
    record()
    someone = superuser if role == "postgres" else connect_as(role)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        someone.execute(sql)
    if role == "postgres":  # an ordinary trigger would be skipped now
        someone.execute("SET session_replication_role = replica")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            someone.execute(sql)
    else:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            someone.execute("SET session_replication_role = replica")
    assert audit.verify().events == 1


@pytest.mark.parametrize("role", [OWNER_ROLE, "waqiti_web", "waqiti_worker"])
def test_a_writer_that_read_an_old_head_fails_closed(
    role: str, portal_db: Database, connect_as: Callable[..., psycopg.Connection[Any]]
) -> None:
    stale = stored()[-1]
    record(2)
    text = json.dumps({"seq": 1})
    insert = "INSERT INTO approvals_auditevent (seq, body, prev, hash) VALUES (%s, %s, %s, %s)"
    with pytest.raises(psycopg.errors.UniqueViolation) as error:
        connect_as(role).execute(insert, [1, text, stale[3], audit.link(stale[3], text)])
    assert error.value.diag.constraint_name == "audit_follows_the_head"
    assert audit.verify().events == 2


def test_two_writers_without_the_lock_cannot_both_follow_the_same_head(
    portal_db: Database, connect_as: Callable[..., psycopg.Connection[Any]]
) -> None:
    head, text = stored()[-1][3], json.dumps({"seq": 1})
    insert = "INSERT INTO approvals_auditevent (seq, body, prev, hash) VALUES (1, %s, %s, %s)"
    values = [text, head, audit.link(head, text)]
    one, two = connect_as("waqiti_web"), connect_as("waqiti_worker")
    with (
        pytest.raises(psycopg.errors.UniqueViolation),
        two.transaction(),
        one.transaction(force_rollback=False),
    ):
        one.execute(insert, values)
        second = threading.Thread(target=lambda: one.execute("COMMIT"))
        second.start()
        two.execute(insert, values)
    second.join()
    assert audit.verify().events == 1


@pytest.mark.parametrize(
    ("seq", "prev", "text", "constraint"),
    [
        (2, None, {"seq": 2}, "audit_follows_the_head"),
        (1, bytes(32), {"seq": 1}, "audit_follows_the_head"),
        (1, None, {"seq": 9}, "audit_hash_is_of_the_body"),
        (1, None, {}, "audit_hash_is_of_the_body"),
    ],
    ids=["leaves a gap", "follows nothing", "carries another number inside", "carries no number"],
)
@pytest.mark.django_db
def test_a_link_that_does_not_fit_is_refused(
    seq: int, prev: bytes | None, text: dict[str, int], constraint: str
) -> None:
    body_text, follows = json.dumps(text), prev or stored()[-1][3]
    with pytest.raises(IntegrityError, match="event") as error:
        AuditEvent.objects.create(seq=seq, body=body_text, prev=follows, hash=audit.link(follows, body_text))
    assert error.value.__cause__.diag.constraint_name == constraint


@pytest.mark.django_db
def test_a_link_with_a_wrong_hash_is_refused() -> None:
    head = stored()[-1][3]
    with pytest.raises(IntegrityError, match="wrong hash"):
        AuditEvent.objects.create(seq=1, body='{"seq":1}', prev=head, hash=bytes(32))


@pytest.mark.django_db
def test_a_body_that_is_no_json_is_refused() -> None:
    head = stored()[-1][3]
    with pytest.raises(Exception, match="invalid input syntax for type json"):
        AuditEvent.objects.create(seq=1, body="not json", prev=head, hash=audit.link(head, "not json"))


@pytest.mark.django_db
def test_a_filter_column_cannot_be_written() -> None:
    with pytest.raises(Exception, match="generated column"), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO approvals_auditevent (seq, body, prev, hash, actor) VALUES (1, '{}', '', '', 'dora')"
        )


def test_appends_from_four_threads_make_one_unbroken_chain(portal_db: Database) -> None:
    failures: list[BaseException] = []

    def write() -> None:
        try:
            record(15, thread=threading.get_ident())
        except BaseException as error:  # noqa: BLE001 (shown below)
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert audit.verify().events == 60
    numbers = [
        (json.loads(text)["facts"].get("thread"), json.loads(text)["facts"].get("number"))
        for _, text, _, _ in stored()[1:]
    ]
    assert len(set(numbers)) == 60


def test_a_commit_never_waits_for_a_row_while_it_holds_the_chain(portal_db: Database) -> None:
    """Foreign keys are deferred to COMMIT, where they lock the rows they point to: one appender would hold the chain
    and wait for a row, the other hold the row and wait for the chain."""
    User.objects.create(username="zoe")
    has_row, may_append = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def holds_the_row() -> None:
        try:
            with audit.unit_of_work("user.renamed", actor=None):
                User.objects.select_for_update().get(username="zoe")
                has_row.set()
                may_append.wait(10)
        except BaseException as error:  # noqa: BLE001 (shown below)
            failures.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=holds_the_row)
    thread.start()
    has_row.wait(10)
    threading.Timer(0.3, may_append.set).start()
    with audit.unit_of_work("team.joined", actor=None):
        team = Team.objects.create(name="late")
        Team.members.through.objects.create(
            team=team, user_id=User.objects.values_list("pk").get(username="zoe")[0]
        )
    thread.join()
    assert failures == []
    assert set(trail()) == {"user.renamed", "team.joined"}


# Secrets


def test_no_free_text_is_in_the_chain_only_its_digest(world: World) -> None:
    secret = "postgres://admin:hunter2@db"
    rollback = factories.draft(world, reason=secret, forward_fix=secret, app_version=secret, frozen_by=secret)
    factories.confirm_checklist(world, rollback)
    rehearsal = factories.rehearse(world, rollback)
    from approvals import checklist, decisions, executions, history, incidents, rollbacks
    from approvals.models import Approval, Backup, ChecklistEntry, ExecutionStatus

    checklist.confirm(rollback, ChecklistEntry.Point.STAKEHOLDERS, note=secret, actor=world.alice)
    incidents.add_note(rollback.incident, text=secret, actor=world.alice)
    history.record_sync_failure(world.staging, secret)
    executions.record_rehearsal(rehearsal, holds=True, sentence=secret, data={"said": secret})
    factories.read_facts(rollback, {"tables": [], "said": secret} | factories.FACTS)
    rollback = rollbacks.submit(rollback, actor=world.alice)
    factories.decide(world, rollback, world.dan, Approval.Decision.REQUEST_CHANGES, comment=secret)
    rollback = rollbacks.edit(factories.again(rollback), actor=world.alice, revision=1, reason=secret)
    rollback = rollbacks.submit(rollback, actor=world.alice)
    factories.decide(world, rollback, world.dora, comment=secret)
    execution = factories.claimed(factories.start(world, rollback))
    executions.enter(execution, ExecutionStatus.BACKUP)
    backup = executions.begin_backup(execution)
    executions.record_backup(backup, Backup.State.FAILED, secret, path=secret)
    executions.cancel(execution, actor=world.olga, reason=secret)
    executions.record_outcome(execution, ExecutionStatus.ROLLED_BACK, secret, sqlstate="23503")
    rollbacks.withdraw(
        rollbacks.edit(factories.again(rollback), actor=world.alice, revision=2, reason="x"),
        actor=world.alice,
        reason=secret,
    )
    for event in AuditEvent.objects.all():
        assert "hunter2" not in event.body, event.body
    assert body("execution.rolled_back")["facts"]["sentence_sha256"] == audit.digest_of(secret)
    assert body("rollback.withdrawn")["facts"]["reason_sha256"] == audit.digest_of(secret)
    assert decisions.DECIDES
