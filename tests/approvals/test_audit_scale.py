"""Filters of a long trail lead to an index: nothing is read from the first event to the last."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import rfc8785

from approvals import audit
from approvals.models import AuditEvent
from approvals.pages import audit_filter
from tests.approvals.factories import World

pytestmark = pytest.mark.integration

EVENTS = 20_000
BEGAN = datetime(2025, 1, 1, tzinfo=UTC)
# Rare ones among many: what makes a plan that walks the whole table dear.
ACTIONS = ("rollback.created", "execution.claimed", "target.synced", "backup.verified")


def event(seq: int, n: int) -> dict[str, Any]:
    """One of many: every thousandth is by zoe, of a target of its own, refused and of a rare kind."""
    rare = n % 1000 == 0
    return {
        "seq": seq,
        "chain": audit.CHAIN,
        "at": audit.stamp(BEGAN + timedelta(minutes=n)),
        "action": "contact.added.denied" if rare else ACTIONS[n % 4],
        "actor": "zoe" if rare else "portal",
        "actor_name": "Zoe",
        "roles": [],
        "request_id": "",
        "facts": {"text": "x" * 100},
        "rollback": f"RB-{100_000 + n // 20}",
        "target": "rare" if rare else "common",
        "incident": f"INC-{100_000 + n // 40}",
    }


@pytest.fixture
def long_trail(committed_world: World, superuser: psycopg.Connection[Any]) -> World:
    """A world with many more events, well linked, written in one go."""
    head = AuditEvent.objects.latest("seq")
    seq, prev = head.seq, bytes(head.hash)
    superuser.execute("ALTER TABLE approvals_auditevent DISABLE TRIGGER audit_link")
    columns = "seq, body, prev, hash"
    with (
        superuser.cursor() as cursor,
        cursor.copy(f"COPY approvals_auditevent ({columns}) FROM STDIN") as copy,
    ):
        for n in range(EVENTS):
            seq += 1
            body = rfc8785.dumps(event(seq, n)).decode()
            link = audit.link(prev, body)
            copy.write_row((seq, body, prev, link))
            prev = link
    superuser.execute("ALTER TABLE approvals_auditevent ENABLE ALWAYS TRIGGER audit_link")
    superuser.execute("VACUUM ANALYZE approvals_auditevent")
    return committed_world


# A whole service is left out: its targets or its incidents are two indexes, and the planner may walk instead.
FILTERS: list[dict[str, Any]] = [
    {},
    {"person": "zoe"},
    {"person": "nobody at all"},
    {"action": "contact"},
    {"action": "contact.added"},
    {"denied": True},
    {"about": "RB-100007"},
    {"about": "INC-100003"},
    {"target": "rare"},
    {
        "since": audit.stamp(BEGAN + timedelta(days=2)),
        "before": audit.stamp(BEGAN + timedelta(days=2, hours=1)),
    },
    {"before": audit.stamp(BEGAN + timedelta(hours=30))},
    {"person": "zoe", "action": "contact", "since": audit.stamp(BEGAN + timedelta(days=3))},
    {"denied": True, "before": audit.stamp(BEGAN + timedelta(days=1))},
]


def test_every_filter_finds_its_page_by_an_index_and_reads_little(long_trail: World) -> None:
    """At most a few hundred rows are looked at for a page of fifty, whatever the filter."""
    for wanted in FILTERS:
        found = audit_filter.events(**wanted).order_by("-seq")[:51]
        plan = found.explain(analyze=True, buffers=True)
        assert "Seq Scan on approvals_auditevent" not in plan, (wanted, plan)
        assert rows_thrown_away(plan) < 500, (wanted, plan)


def rows_thrown_away(plan: str) -> int:
    return sum(int(line.split(":")[1]) for line in plan.splitlines() if "Rows Removed by Filter" in line)


def test_slices_verify_a_long_chain_as_the_whole(long_trail: World) -> None:
    verdict, slices = audit.verify_slice(limit=7_000), 1
    while not verdict.complete:
        verdict, slices = audit.verify_slice(verdict, limit=7_000), slices + 1
    assert slices == 3
    assert verdict == audit.verify()


def test_a_tail_that_is_cut_off_between_two_slices_is_seen(
    long_trail: World, superuser: psycopg.Connection[Any]
) -> None:
    first = audit.verify_slice(limit=7_000)
    superuser.execute("ALTER TABLE approvals_auditevent DISABLE TRIGGER ALL")
    superuser.execute("DELETE FROM approvals_auditevent WHERE seq >= %s", [first.events])
    verdict = audit.verify_slice(first, limit=7_000)
    assert (verdict.holds, verdict.complete, verdict.bad_seq) == (False, True, first.events)
    assert "was changed or taken away while" in verdict.problem
