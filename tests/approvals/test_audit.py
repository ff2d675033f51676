"""The chain proves what happened: it verifies, tampering is named, and nobody can write it but in order."""

from __future__ import annotations

import itertools
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
from tests.approvals.factories import body, trail
from tests.servers import OWNER_ROLE, Database

pytestmark = pytest.mark.integration

Row = tuple[int, str, bytes, bytes]
Connection = psycopg.Connection[Any]
Connect = Callable[..., Connection]


@pytest.fixture
def committed(portal_db: Database) -> Database:
    """Here `connect_as` and `superuser` are for an empty portal."""
    return portal_db


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
    assert trail() == ["chain.began"]
    assert stored() == [(0, audit.GENESIS, bytes(32), audit.link(bytes(32), audit.GENESIS))]
    assert rfc8785.dumps(json.loads(audit.GENESIS)).decode() == audit.GENESIS
    assert audit.verify() == audit.Verdict(0, audit.link(bytes(32), audit.GENESIS).hex())


@pytest.mark.django_db
def test_an_event_is_canonical_json_with_its_own_number_time_and_chain_inside() -> None:
    record()
    _seq, text, prev, hashed = stored()[-1]
    inner = json.loads(text)
    assert rfc8785.dumps(inner).decode() == text
    assert (inner["seq"], inner["chain"], inner["action"]) == (1, "portal", "test.happened")
    assert inner["at"].endswith("+00:00")
    assert prev == stored()[0][3]
    assert hashed == audit.link(prev, text)
    assert audit.verify() == audit.Verdict(1, hashed.hex())


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


@given(body=st.text(min_size=1, max_size=40), prev=st.binary(min_size=32, max_size=32), data=st.data())
def test_any_other_byte_gives_another_hash(body: str, prev: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(body) - 1))
    other = body[:place] + data.draw(st.characters().filter(lambda c: c != body[place])) + body[place + 1 :]
    byte = data.draw(st.integers(0, 31))
    another = bytes([*prev[:byte], prev[byte] ^ data.draw(st.integers(1, 255)), *prev[byte + 1 :]])
    hashed = audit.link(prev, body)
    assert len({hashed, audit.link(prev, other), audit.link(another, body)}) == 3


# No audit, no action


def make_team(error: Exception | None = None, **facts: Any) -> None:
    with audit.unit_of_work("team.made", actor=None) as happened:
        Team.objects.create(name="new")
        happened |= facts
        if error:
            raise error


@pytest.mark.django_db
def test_what_cannot_be_recorded_does_not_happen() -> None:
    with pytest.raises(Exception, match="set"):
        make_team(bad={1, 2})
    assert not Team.objects.exists()
    assert trail() == ["chain.began"]


@pytest.mark.django_db
def test_a_refused_action_leaves_neither_change_nor_event() -> None:
    with pytest.raises(Refused):
        make_team(Refused("no"))
    assert not Team.objects.exists()
    assert trail() == ["chain.began"]


@pytest.mark.django_db
def test_a_denied_action_leaves_its_denial_only() -> None:
    with pytest.raises(Denied):
        make_team(Denied("You may not."))
    assert not Team.objects.exists()
    assert trail() == ["chain.began", "team.made.denied"]


def test_a_unit_of_work_cannot_be_part_of_a_bigger_transaction(portal_db: Database) -> None:
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        make_team()
    assert trail() == ["chain.began"]


# Tampering, as only a superuser can who switches the triggers off

HASHED = "sha256('waqiti-audit/v1'::bytea || '\\x00'::bytea || {prev} || convert_to({body}, 'UTF8'))"
EDITED = """replace(body, '"number":2', '"number":7')"""
# what somebody does → the statements, the first bad event, and what is said of it
TAMPERING: dict[str, tuple[list[str], int, str]] = {
    "a body is edited": (
        [f"UPDATE approvals_auditevent SET body = {EDITED} WHERE seq = 3"],
        3,
        "event 3 was changed after it was written",
    ),
    "a hash is edited": (
        ["UPDATE approvals_auditevent SET hash = sha256('x') WHERE seq = 3"],
        3,
        "event 3 was changed after it was written",
    ),
    "a body is edited and its hash with it": (
        [
            f"UPDATE approvals_auditevent SET body = {EDITED} WHERE seq = 3",
            f"UPDATE approvals_auditevent SET hash = {HASHED.format(prev='prev', body='body')} WHERE seq = 3",
        ],
        4,
        "event 4 does not follow from event 3",
    ),
    "an event is deleted": (
        ["DELETE FROM approvals_auditevent WHERE seq = 3"],
        4,
        "event 3 is missing: 4 is in its place",
    ),
    "an event is deleted and the gap closed": (
        [
            "DELETE FROM approvals_auditevent WHERE seq = 3",
            "UPDATE approvals_auditevent SET seq = 3 WHERE seq = 4",
            "UPDATE approvals_auditevent SET seq = 4 WHERE seq = 5",
        ],
        3,
        "event 3 does not follow from event 2",
    ),
    "two events are swapped": (
        [
            "UPDATE approvals_auditevent SET seq = -1 WHERE seq = 2",
            "UPDATE approvals_auditevent SET seq = 2 WHERE seq = 3",
            "UPDATE approvals_auditevent SET seq = 3 WHERE seq = -1",
        ],
        2,
        "event 2 does not follow from event 1",
    ),
    "two bodies are swapped": (
        [
            """UPDATE approvals_auditevent a SET body = b.body FROM approvals_auditevent b
                WHERE (a.seq, b.seq) IN ((2, 3), (3, 2))"""
        ],
        2,
        "event 2 was changed after it was written",
    ),
    "an event is put in between": (
        [
            "UPDATE approvals_auditevent SET seq = 6 WHERE seq = 5",
            "UPDATE approvals_auditevent SET seq = 5 WHERE seq = 4",
            "UPDATE approvals_auditevent SET seq = 4 WHERE seq = 3",
            f"""INSERT INTO approvals_auditevent (seq, body, prev, hash)
                SELECT 3, body, hash, {HASHED.format(prev="hash", body="body")}
                  FROM approvals_auditevent WHERE seq = 2""",
        ],
        3,
        "event 3 carries another event's number inside",
    ),
    "the first events are cut off": (
        ["DELETE FROM approvals_auditevent WHERE seq < 3"],
        3,
        "event 0 is missing: 3 is in its place",
    ),
    "another beginning is written": (
        ["UPDATE approvals_auditevent SET body = replace(body, '1970', '1971') WHERE seq = 0"],
        0,
        "event 0 is not the fixed first event",
    ),
    "everything is deleted": (
        ["DELETE FROM approvals_auditevent"],
        0,
        "the chain is empty: not even its fixed first event is there",
    ),
}


def test_every_tampering_is_named_at_the_first_bad_event(portal_db: Database, superuser: Connection) -> None:
    record(5)
    superuser.execute("ALTER TABLE approvals_auditevent DISABLE TRIGGER ALL")
    assert audit.verify() == audit.Verdict(5, stored()[-1][3].hex())
    for what, (statements, seq, problem) in TAMPERING.items():
        with superuser.transaction(force_rollback=True):
            for statement in statements:
                superuser.execute(statement)
            rows = superuser.execute("SELECT seq, body, prev, hash FROM approvals_auditevent ORDER BY seq")
            verdict = audit.verify(rows.fetchall())
        assert (verdict.bad_seq, verdict.problem) == (seq, problem), what
        assert not verdict.holds
    assert audit.verify().holds


def test_the_good_part_of_a_broken_chain_is_told(portal_db: Database, superuser: Connection) -> None:
    record(5)
    head = stored()[2][3].hex()
    superuser.execute("ALTER TABLE approvals_auditevent DISABLE TRIGGER ALL")
    superuser.execute("DELETE FROM approvals_auditevent WHERE seq = 3")
    assert audit.verify() == audit.Verdict(2, head, 4, "event 3 is missing: 4 is in its place")


# Nobody can write it but in order


CHANGES = [
    "UPDATE approvals_auditevent SET body = body",
    "DELETE FROM approvals_auditevent",
    "TRUNCATE approvals_auditevent",
]


def test_nobody_changes_or_deletes_events(
    portal_db: Database, connect_as: Connect, superuser: Connection
) -> None:
    record()
    ordinary = [connect_as(role) for role in (OWNER_ROLE, "waqiti_web", "waqiti_worker")]
    for someone, sql in itertools.product([*ordinary, superuser], CHANGES):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            someone.execute(sql)
    for someone in ordinary:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="session_replication_role"):
            someone.execute("SET session_replication_role = replica")
    superuser.execute("SET session_replication_role = replica")  # an ordinary trigger would be skipped now
    for sql in CHANGES:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            superuser.execute(sql)
    assert audit.verify().events == 1


@pytest.mark.parametrize("role", [OWNER_ROLE, "waqiti_web", "waqiti_worker"])
def test_a_writer_that_read_an_old_head_fails_closed(
    role: str, portal_db: Database, connect_as: Connect
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
    portal_db: Database, connect_as: Connect
) -> None:
    head, text = stored()[-1][3], json.dumps({"seq": 1})
    insert = "INSERT INTO approvals_auditevent (seq, body, prev, hash) VALUES (1, %s, %s, %s)"
    values = [text, head, audit.link(head, text)]
    one, two = connect_as("waqiti_web"), connect_as("waqiti_worker")
    one.execute("BEGIN")
    one.execute(insert, values)
    outcome: list[str] = []

    def follow() -> None:
        try:
            two.execute(insert, values)
        except psycopg.errors.UniqueViolation as error:
            outcome.append(str(error.diag.constraint_name))

    thread = threading.Thread(target=follow)
    thread.start()
    one.execute("COMMIT")
    thread.join()
    assert outcome in (["approvals_auditevent_pkey"], ["audit_follows_the_head"])
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
    sql = "INSERT INTO approvals_auditevent (seq, body, prev, hash, actor) VALUES (1, '{}', '', '', 'dora')"
    with connection.cursor() as cursor, pytest.raises(Exception, match="non-DEFAULT value"):
        cursor.execute(sql)


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
    facts = [json.loads(text)["facts"] for _seq, text, _prev, _hash in stored()[1:]]
    assert len({(each["thread"], each["number"]) for each in facts}) == 60


def test_a_commit_never_waits_for_a_row_while_it_holds_the_chain(portal_db: Database) -> None:
    """At COMMIT deferred foreign keys lock the rows they point to: one appender would hold the chain and wait
    for a row, the other hold the row and wait for the chain."""
    zoe = User.objects.create(username="zoe")
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
        Team.objects.create(name="late").members.add(zoe)
    thread.join()
    assert failures == []
    assert set(trail()) == {"chain.began", "user.renamed", "team.joined"}
