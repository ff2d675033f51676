"""Load the demo: people, services, targets, and rollbacks in every status.

Everything that people decide goes through the domain functions, and everything that touches a target through
a real worker, so the audit trail tells what happened.
"""

from __future__ import annotations

from collections.abc import Iterable

from approvals import catalog, scripts
from approvals.models import Check, Migration, Service, Target, Team
from waqiti_rollback.embedded import HOST, Estate
from waqiti_rollback.embedded.server import Say

from . import excepted, journey, shards, stories, ways_back
from .calendars import fill_calendars
from .checks import CHECKS
from .forced import force
from .interrupted import interrupt
from .no_go import stop_at_locks, stop_at_preflight
from .people import create_contacts, user
from .services import BY_NAME, SERVICES, TARGETS, DemoTarget

AUTHORS = {"wallet-service": "amina", "ledger-service": "chidi", "notification-service": "amina"}


def read_histories() -> None:
    """Let the worker read the history of every target. Raises journey.Stuck."""
    journey.sync(list(Target.objects.all()), by="ines")


def load_stories(servers: Estate, *, say: Say) -> None:
    """Rollbacks in every status. Raises journey.Stuck."""
    read_histories()
    create_contacts()
    ways_back.ask_for_some()
    say("A rollback on production: rehearsed on a clone, approved, backed up, carried out …")
    stories.production()
    say("On staging: one carried out, one whose check failed, one approved …")
    stop_at_locks(servers, stories.staging())
    say("Some that were withdrawn, sent back, rejected or forgotten …")
    stories.ended_early()
    say("Six shards: a canary, a wave, and one that fails …")
    shards.carry_out_on_some(servers)
    say("Server settings on staging: partly done, gone on with, and waiting for a restart …")
    stories.settings(servers)
    say("Two that wait for approvals, each rehearsed on a clone …")
    stories.waiting()
    say("Two on an archive too large to be dumped: one runs by exception, one waits for signatures …")
    excepted.ask_for_both(servers)
    force()
    fill_calendars()
    killed = stories.preview()
    say("One that a dump keeps from starting, and one whose process is killed in the middle …")
    stop_at_preflight(servers, stories.not_yet_scheduled())
    interrupt(servers, killed)


def create_catalog(servers: Estate, targets: Iterable[DemoTarget] = TARGETS) -> None:
    """Services with their migrations and scripts, and targets where their servers answer. Needs no worker."""
    for service in SERVICES:
        owner = user(AUTHORS[service.name])
        stored = Service.objects.create(
            name=service.name, team=Team.objects.get_or_create(name=service.team)[0]
        )
        catalog.import_directory(stored, service.migrations, actor=owner)
        for (name, version), checks in CHECKS.items():
            if name == service.name:
                _add_checks(Migration.objects.get(service=stored, kind="V", version=version), checks)
    for target in targets:
        limit = target.backup_limit_bytes
        Target.objects.create(
            name=target.name,
            service=Service.objects.get(name=target.service.name),
            environment=target.environment,
            host=HOST,
            port=servers.clusters[target.environment].port,
            dbname=target.database,
            owner_role=target.service.owner_role,
            rehearsal_target=Target.objects.filter(name=target.rehearses_on).first(),
            **({} if limit is None else {"backup_limit_bytes": limit}),
        )


def follow_ports(servers: Estate) -> list[str]:
    """Write down where the targets' servers answer now, if that changed; returns the targets concerned."""
    moved = []
    for target in Target.objects.filter(name__in=BY_NAME):
        port = servers.clusters[target.environment].port
        if target.port != port:
            Target.objects.filter(pk=target.pk).update(port=port)
            moved.append(target.name)
    return moved


def _add_checks(migration: Migration, checks: list[Check]) -> None:
    """An imported file has no checks; with them it is a revision of its own."""
    newest = migration.scripts.order_by("-number")[:1].get()
    scripts.add_script(migration, sql=newest.sql, checks=checks, actor=user(AUTHORS[migration.service.name]))
