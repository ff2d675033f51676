"""`make demo`: everything answers, every status is there, Ctrl-C stops it, a second start keeps the data."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import psycopg
import pytest

from approvals import audit
from approvals.models import Role, Status
from tests.environment import ESTATE
from waqiti_rollback.demo.estate import PortalEstate
from waqiti_rollback.embedded import Estate, free_port

ROOT = Path(__file__).resolve().parents[2]
DIRECTORY = ESTATE.directory / "demo"
PATIENCE = 400

pytestmark = pytest.mark.integration


class Demo:
    """`python -m waqiti_rollback.demo` as a person at a terminal sees it."""

    def __init__(self, *arguments: str) -> None:
        argv = [sys.executable, "-m", "waqiti_rollback.demo", "--directory", str(DIRECTORY), *arguments]
        self.process = subprocess.Popen(
            argv, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.output = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as lines:
            for line in lines:
                self.output += line

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.output or self.process.poll() is not None, lambda: self.output)
        assert text in self.output, self.output

    def ctrl_c(self) -> int:
        """Pressed twice, as impatient people do."""
        self.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(60)
        self._reader.join(10)
        return code

    @property
    def address(self) -> str:
        found = re.search(r"http://\S+", self.output)
        assert found, self.output
        return found[0]

    def logins(self) -> list[tuple[str, str, str]]:
        return re.findall(r"^  (\w+) +([0-9a-f]{4}(?:-[0-9a-f]{4}){2}) +(.+)$", self.output, re.MULTILINE)


def wait_until(fact: Callable[[], object], say: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < deadline, say()
        time.sleep(0.1)


def portal() -> PortalEstate:
    return PortalEstate(Estate(DIRECTORY))


def ask(query: str, cluster: str = "portal", database: str = "portal") -> list[tuple[Any, ...]]:
    dsn = portal().servers.clusters[cluster].superuser_dsn(database)
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """The first start, from scratch, with a hundredth of the rows."""
    started = Demo("--reset", "--size", "small", "--port", str(free_port()))
    try:
        started.wait_for("Ctrl-C stops everything")
        yield started
    finally:
        if started.process.poll() is None:
            started.ctrl_c()


def test_one_login_per_role_signs_in(demo: Demo) -> None:
    roles = {role for _, _, names in demo.logins() for role in names.split(", ")}
    assert roles == {str(role.label) for role in Role}
    for username, password, _ in demo.logins():
        assert sign_in(demo.address, username, password), f"{username} can't sign in"
    assert not sign_in(demo.address, username, password + "!")


def sign_in(address: str, username: str, password: str) -> bool:
    """Whether the sign-in page lets this person in, cookies and CSRF token as in a browser."""
    cookies = CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
    url = address + "accounts/login/"
    page = browser.open(url).read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert token, page
    form = {"login": username, "password": password, "csrfmiddlewaretoken": token[1]}
    browser.open(urllib.request.Request(url, urllib.parse.urlencode(form).encode(), {"Referer": url}))
    return any(cookie.name == "sessionid" for cookie in cookies)


def test_there_is_a_rollback_in_every_status(demo: Demo) -> None:
    found = {row[0] for row in ask("SELECT DISTINCT status FROM approvals_rollbackrequest")}
    assert found == set(Status.values)


def test_one_was_carried_out_on_some_shards_and_stopped_at_the_one_that_failed(demo: Demo) -> None:
    query = """SELECT right(t.name, 1), e.status FROM approvals_execution e JOIN approvals_target t
                 ON t.id = e.target_id WHERE e.run_id IS NOT NULL ORDER BY 1"""
    ended = ["succeeded", "succeeded", "succeeded", "rolled_back", "succeeded"]
    assert ask(query) == [(str(number), status) for number, status in enumerate(ended, start=1)]
    assert ask("SELECT state, wave FROM approvals_fleetrun") == [("cancelled", 2)]


def test_one_post_mortem_is_handed_in_and_one_is_overdue(demo: Demo) -> None:
    handed_in = "SELECT count(*) FROM approvals_postmortem WHERE submitted_at IS NOT NULL"
    overdue = "SELECT count(*) FROM approvals_postmortem WHERE submitted_at IS NULL AND due_at < now()"
    assert ask(handed_in) == [(1,)]
    assert ask(overdue) == [(1,)]


def test_one_was_forced_past_its_rehearsal_and_waits_for_its_review(demo: Demo) -> None:
    query = """SELECT g.skips, r.forced, r.status FROM approvals_breakglass g
                 JOIN approvals_rollbackrequest r ON r.id = g.rollback_id
                WHERE g.confirmed_at IS NOT NULL AND g.closed_at IS NULL"""
    assert ask(query) == [(["rehearsal"], True, "approved")]


def test_one_may_run_by_exception_instead_of_a_backup_and_one_waits_for_two_signatures(demo: Demo) -> None:
    query = """SELECT r.status, r.excepted, array_agg(s.role ORDER BY s.role), v.sentence
                 FROM approvals_backupexception e
                 JOIN approvals_rollbackrequest r ON r.id = e.rollback_id
                 JOIN approvals_exceptionsignature s ON s.exception_id = e.id
                 JOIN approvals_evidence v ON v.id = e.evidence_id GROUP BY r.id, v.id ORDER BY r.id"""
    in_force, waits = ask(query)
    assert in_force[:3] == ("approved", True, ["platform_lead", "senior_dba", "senior_dba"])
    assert waits[:3] == ("in_review", False, ["senior_dba"])
    for said in (in_force[3], waits[3]):
        assert "above the 0.4 MB" in said
        assert "No physical backup of its server with a tested restore is on record" in said
    taken = """SELECT b.state, b.sentence FROM approvals_backup b
                 JOIN approvals_execution e ON e.id = b.execution_id
                WHERE b.exception_id IS NOT NULL AND e.purpose = 'rehearsal' AND e.status = 'succeeded'"""
    ((state, sentence),) = ask(taken)
    assert state == "verified"
    assert "What the script destroys is in a dump that was restored and compared: 2 tables" in sentence


def test_two_attempts_were_stopped_by_what_others_did_on_their_target(demo: Demo) -> None:
    query = """SELECT e.sentence, e.blocker ->> 'application' FROM approvals_execution e
                 JOIN approvals_target t ON t.id = e.target_id
                WHERE t.name = 'wallet-staging' AND e.status = 'no_effect' ORDER BY e.queued_at"""
    (locked, by), (no_go, _) = ask(query)
    assert (by, "was still held by" in locked) == ("nightly-clean-up", True)
    assert no_go.startswith("No-go. A dump of what the plan touches runs")


def test_the_seed_documents_migrations_are_rated_as_it_rates_them(demo: Demo) -> None:
    query = """SELECT DISTINCT m.version, r.risk FROM approvals_rollbackrequest r
                 JOIN approvals_rollbackitem i ON i.rollback_id = r.id
                 JOIN approvals_migration m ON m.id = i.migration_id
                WHERE m.version IN ('999', '2025.11.22.001', '001')
                  AND EXISTS (SELECT FROM approvals_evidence e
                               WHERE e.rollback_id = r.id AND e.kind = 'facts')"""
    low, high, critical = 2, 4, 5
    assert dict(ask(query)) == {"999": low, "2025.11.22.001": high, "001": critical}


def test_the_audit_trail_verifies_and_holds_the_refused_attempt(demo: Demo) -> None:
    assert audit.verify(ask("SELECT seq, body, prev, hash FROM approvals_auditevent ORDER BY seq")).holds
    denied = "SELECT actor FROM approvals_auditevent WHERE action = 'rollback.approved.denied'"
    assert ask(denied) == [("kwame",)]


def test_only_we_can_read_its_secrets(demo: Demo) -> None:
    for name in ("credentials.json", "logins.json", "secret-key"):
        assert (DIRECTORY / name).stat().st_mode & 0o077 == 0, name


def test_the_unresolved_execution_is_resolved_when_its_target_answers_again(demo: Demo) -> None:
    query = """SELECT e.status, r.status FROM approvals_execution e
                 JOIN approvals_target t ON t.id = e.target_id
                 JOIN approvals_rollbacktarget rt ON rt.id = e.rollback_target_id
                 JOIN approvals_rollbackrequest r ON r.id = rt.rollback_id
                WHERE t.name = 'ledger-preview'"""
    wait_until(lambda: ask(query) == [("unresolved", "executing")], lambda: ask(query))
    ask("ALTER DATABASE ledger_preview ALLOW_CONNECTIONS true", "staging", "postgres")
    wait_until(lambda: ask(query) == [("no_effect", "approved")], lambda: ask(query))
    kept = "SELECT count(*) FROM flyway_schema_history WHERE version = '001'"
    assert ask(kept, "staging", "ledger_preview") == [(1,)]


def test_a_second_demo_beside_it_is_told_who_uses_the_servers(demo: Demo) -> None:
    second = Demo()
    assert second.process.wait(PATIENCE) == 1
    second.wait_for(f"in use by process {demo.process.pid}")
    assert "Traceback" not in second.output


def test_ctrl_c_stops_everything_and_the_next_start_keeps_the_data(demo: Demo) -> None:
    rollbacks = "SELECT id, status FROM approvals_rollbackrequest ORDER BY id"
    before = ask(rollbacks)
    web, staging = int(urllib.parse.urlsplit(demo.address).port or 0), portal().servers.staging.port
    assert demo.ctrl_c() == 0
    assert not any(cluster.running for cluster in portal().servers.clusters.values())
    assert "Traceback" not in demo.output
    with listening(web), listening(staging):
        again = Demo("--port", str(web))
        try:
            again.wait_for("Ctrl-C stops everything")
            assert f"Port {web} is in use" in again.output
            # One waited for a restart of its target's server, and that is what a stop and a start are.
            assert [
                (number, "executed" if status == "executing" else status) for number, status in ask(rollbacks)
            ] == [(number, "executed" if status == "executing" else status) for number, status in before]
            assert again.logins() == demo.logins()
            assert sign_in(again.address, *again.logins()[0][:2])
            ports = dict(ask("SELECT name, port FROM approvals_target"))
            assert ports["wallet-staging"] == portal().servers.staging.port != staging
        finally:
            code = again.ctrl_c()
    assert code == 0
    assert "Traceback" not in again.output


def test_data_of_a_portal_with_other_migrations_are_not_touched(demo: Demo) -> None:
    if demo.process.poll() is None:
        demo.ctrl_c()
    loaded = DIRECTORY / "loaded"
    noted = loaded.read_text()
    loaded.write_text(
        re.sub(r'("approvals/migrations/0001_initial.py": ")[0-9a-f]{8}', r"\g<1>deadbeef", noted)
    )
    assert loaded.read_text() != noted
    again = Demo()
    assert again.process.wait(PATIENCE) == 1
    again.wait_for("make demo-reset")
    assert "Traceback" not in again.output
    loaded.write_text(noted)


@contextmanager
def listening(port: int) -> Iterator[None]:
    """Some other program on this port."""
    with socket.socket() as occupied:
        occupied.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        occupied.bind(("127.0.0.1", port))
        occupied.listen()
        yield
