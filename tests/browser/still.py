"""A portal at rest: something of everything to read, a web server, no worker. People change how they read.

Each URL of the table of permissions is opened by somebody who may, about an object that has much to show;
beside them stand the pages whose content depends on how something ended.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.apps import apps
from django.contrib.auth.hashers import make_password
from django.urls import reverse
from django.utils import timezone

from approvals import break_glass, permissions, windows
from approvals.models import BreakGlass, CalendarEntry, ExecutionStatus, RollbackRequest, Status, Target, User
from approvals.pages.packed_keys import packed
from tests.approvals import factories, many
from tests.approvals.factories import World
from tests.approvals.test_backup_exceptions import asked, beyond_reach, lesser, signed
from tests.approvals.views.visits import as_

PASSWORD = "correct horse battery staple"
READERS = ("alice", "dora", "olga", "axel", "adam")
# Who visits nothing: a test may change how she reads.
LEA = "lea"
# What nobody reads as a page: parts of pages, streams, files.
NO_PAGES = frozenset(
    {
        "audit_export",
        "audit_report",
        "audit_verifier",
        "execution_live",
        "fleet_live",
        "import_hook_state",
        "migration_fix_file",
        "rollback_files",
        "rollback_field",
        "rollback_preflight",
        "rollback_trial",
        "target_setup",
        "target_sync",
    }
)
# A draft's form opens at a step, which has a page of its own.
MOVED = frozenset({"rollback_edit"})
# How a rollback may stand, where its page differs; first what expired: time passes for all that waits, too.
STATUSES = (
    Status.EXPIRED,
    Status.DRAFT,
    Status.APPROVED,
    Status.EXECUTED,
    Status.CHANGES_REQUESTED,
    Status.FAILED,
)
# How an execution may have ended; each has a page state of its own.
OUTCOMES = (
    ExecutionStatus.SUCCEEDED,
    ExecutionStatus.NO_EFFECT,
    ExecutionStatus.ROLLED_BACK,
    ExecutionStatus.AWAITING_RESTART,
    ExecutionStatus.PARTIAL,
    ExecutionStatus.COMMITTED_CHECK_FAILED,
    ExecutionStatus.UNRESOLVED,
)


@dataclass(frozen=True)
class Visit:
    """One page, and who opens it ("" is nobody)."""

    name: str
    address: str
    reader: str
    status: int = 200
    # A page that is visited already, in another state.
    again: bool = False


@dataclass(frozen=True)
class Still:
    """Where the portal answers and where it does in pseudo-language, the session of each person, what there
    is to visit, and a function that reads every text which the database holds by now."""

    address: str
    pseudo: str
    sessions: dict[str, str]
    visits: list[Visit]
    stored: Callable[[], frozenset[str]]

    def cookie(self, reader: str) -> list[dict[str, str]]:
        """What a browser needs to be this person, as Playwright takes cookies."""
        return [{"name": "sessionid", "value": self.sessions[reader], "url": self.address}] if reader else []


def fill(directory: Path) -> tuple[dict[str, str], list[Visit]]:
    """Fill an empty, migrated portal; returns a session for each person and the visits.

    A session is signed with SECRET_KEY, which must be that of the web server.
    """
    factories.make_world(directory)
    extra = _endings(factories.load_world())
    extra += _forced(factories.load_world())
    extra += _excepted(factories.load_world())
    world = factories.load_world()
    factories.prepare(world)
    User.objects.update(password=make_password(PASSWORD))
    world = factories.load_world(world.prepared)
    grown = many.begin(world)
    many.grow(grown, 10)
    sessions = {name: _session(world, name) for name in (*READERS, LEA)}
    extra += _choosing(grown.fleets["fleet_start"])
    return sessions, [*_table(many.addresses(grown)), *extra, *_lists()]


def _session(world: World, name: str) -> str:
    """A session in which the proof of identity is good for the time that a slow machine takes."""
    client = as_(world.people[name], confirmed=timezone.now() + timedelta(hours=1))
    return client.cookies["sessionid"].value


def _table(addresses: dict[str, str]) -> list[Visit]:
    found = [Visit("account_login", reverse("account_login"), "")]
    for name, rule in permissions.TABLE.items():
        if rule.read and name not in NO_PAGES | MOVED | {"account_login"} and not name.endswith("_changes"):
            asked = rule.read & frozenset({permissions.SIGNED_IN})
            reader = next(r for r in READERS if asked or rule.read & set(factories.ROLES[r]))
            found.append(Visit(name, addresses[name], reader))
    return found


def _forced(world: World) -> list[Visit]:
    """A rollback that was forced past a freeze, its review still open; and one that waits for a second
    person."""
    now, day = timezone.now(), timedelta(days=3)
    pages = []
    for name in ("forced", "to-force"):
        _target(world, name)
        fresh = factories.load_world()
        rollback = factories.rollback_in(fresh, Status.APPROVED, name)
        times = {"begins_at": now - day, "ends_at": now + day}
        windows.propose(
            fresh.targets[name], CalendarEntry.Kind.FREEZE, actor=fresh.lea, reason="Month end.", **times
        )
        digest, skips = rollback.request_digest, [BreakGlass.Skip.WINDOW]
        glass = break_glass.ask(
            rollback, skips=skips, reason="It can't wait.", digest=digest, actor=fresh.olga
        )
        pages.append(reverse("rollback_break_glass", args=[rollback.pk]))
        if name == "forced":
            break_glass.confirm(glass, actor=fresh.dan, confirmed_at=timezone.now())
            forced = Visit("rollback forced", _page(rollback), "dora", again=True)
    return [
        forced,
        Visit("break-glass to review", pages[0], "dora", again=True),
        Visit("break-glass to confirm", pages[1], "dora", again=True),
        Visit("break-glass to take back", pages[1], "olga", again=True),
    ]


def _excepted(world: World) -> list[Visit]:
    """A rollback that drops a table and waits for the last of three signatures to go without its backup; and
    one that has them, was carried out, and what was taken in its name."""
    pages = []
    for name in ("to-except", "excepted"):
        _target(world, name, "12345")
        fresh = factories.load_world()
        rollback = factories.rollback_in(fresh, Status.IN_REVIEW, name)
        beyond_reach(fresh, rollback)
        signed(asked(fresh, rollback), fresh.dan, fresh.lea)
        pages.append(reverse("rollback_backup_exception", args=[rollback.pk]))
    signed(rollback.backup_exceptions.get(), fresh.dora)
    execution = factories.claimed(
        factories.start(fresh, factories.approved(fresh, factories.again(rollback)))
    )
    lesser(execution)
    factories.end(execution, ExecutionStatus.NO_EFFECT)
    ran = reverse("execution_detail", kwargs={"pk": execution.pk})
    return [
        Visit("exception to sign", pages[0], "dora", again=True),
        Visit("exception to take back", pages[0], "olga", again=True),
        Visit("exception in force", pages[1], "axel", again=True),
        Visit("rollback excepted", _page(rollback), "dora", again=True),
        Visit("execution by exception", ran, "olga", again=True),
    ]


def _lists() -> list[Visit]:
    """Dashboards of everybody, results of a search, and a page that is not there."""
    dashboards = [Visit(f"dashboard of {name}", "/", name, again=True) for name in READERS[1:]]
    return [
        *dashboards,
        Visit("search results", "/search/?q=wallet", "dora"),
        Visit("404", "/no/such/page/", "dora", 404),
        Visit("403", "/rollbacks/1/edit/", "axel", 403),
    ]


def _choosing(fleet: RollbackRequest) -> list[Visit]:
    """A draft whose targets are still being chosen, among more than a page of them."""
    world, canary = factories.load_world(), fleet.rollback_targets.all()[0].target
    draft = factories.draft(world, "4", where=canary)
    cells = Target.objects.bulk_create(_cells(canary, 60))
    kept = packed(each.pk for each in cells)
    where = reverse("rollback_targets", args=[draft.pk])
    return [
        Visit("targets to choose", where, "alice", again=True),
        Visit("targets that the filter finds not", f"{where}?q=nowhere", "alice", again=True),
        Visit("targets chosen", f"{where}?do=review&kept={kept}&canary={canary.pk}", "alice", again=True),
    ]


def _cells(like: Target, count: int) -> list[Target]:
    """So many targets that are set up like this one."""
    found = []
    for number in range(1, count + 1):
        cell = deepcopy(like)
        cell.pk, cell.name, cell.database_oid = None, f"wallet-service-cell-{number:02}", 30_000 + number
        cell.dbname = f"cell_{number:02}"
        cell._state.adding = True
        found.append(cell)
    return found


def _endings(world: World) -> list[Visit]:
    """One rollback in every status and one execution of every outcome, on targets of their own."""
    found = []
    for status in STATUSES:
        name = f"{status}-end".replace("_", "-")
        _target(world, name)
        rollback = factories.rollback_in(factories.load_world(), status, name)
        found.append(Visit(f"rollback {status}", _page(rollback), "dora", again=True))
    for status in OUTCOMES:
        name = f"{status}-outcome".replace("_", "-")
        _target(world, name)
        fresh = factories.load_world()
        execution = factories.executed(fresh, factories.rollback_in(fresh, Status.APPROVED, name), status)
        address = reverse("execution_detail", kwargs={"pk": execution.pk})
        found.append(Visit(f"execution {status}", address, "olga", again=True))
    return found


def _target(world: World, name: str, applied: str = "123") -> None:
    made = factories.target(
        world.service, name, environment="production", rehearsal_target=world.targets["staging"]
    )
    factories.apply(world, made, applied)


def _page(rollback: RollbackRequest) -> str:
    return reverse("rollback_detail", kwargs={"pk": rollback.pk})


def stored_words() -> frozenset[str]:
    """Every text in the portal's tables, those inside JSON on their own."""
    found: set[str] = set()
    for model in apps.get_app_config("approvals").get_models():
        for row in model.objects.values_list():
            for value in row:
                _collect(value, found)
    return frozenset(found)


def _collect(value: Any, found: set[str]) -> None:
    if isinstance(value, str):
        # The whole, and its lines: pages show long texts line by line.
        found.update(" ".join(part.split()) for part in (value, *value.splitlines()))
        if value.startswith("{"):
            with contextlib.suppress(ValueError):
                _collect(json.loads(value), found)
    elif isinstance(value, dict):
        for key, each in value.items():
            found.add(str(key))
            _collect(each, found)
    elif isinstance(value, list | tuple):
        for each in value:
            _collect(each, found)
