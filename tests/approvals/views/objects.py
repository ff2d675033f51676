"""One object of each kind that a URL can be about, per team, and the arguments by which URLs name them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from django.utils import timezone

from approvals import (
    catalog,
    comments,
    executions,
    followups,
    generations,
    import_tokens,
    imports,
    incidents,
    masking,
    rollbacks,
    scripts,
    windows,
)
from approvals.models import (
    AuditEvent,
    CalendarEntry,
    Contact,
    Generation,
    Incident,
    IncidentAction,
    MaskingRule,
    Migration,
    Role,
    RollbackRequest,
    Service,
    Target,
    User,
)
from tests.approvals import answers, factories
from tests.approvals.factories import World

Objects = dict[str, dict[str, Any]]

# Arguments beside the object, by name, such as Django would take them from a URL.
BESIDES: dict[str, Any] = {
    "form": "csv",
    "position": 1,
    "number": 1,
    "part": "sql",
    "point": "dependencies",
    "decision": "approve",
    "step": "reason",
    "field": "reason",
    "kind": "undo",
    "entry_kind": "freeze",
}


def wallet(world: World) -> Objects:
    """What alice's team has."""
    rollback = factories.draft(world, where=world.staging)
    return _arguments(world.service, world.staging, rollback, rollback.incident, world.alice)


def ledger(world: World, directory: Path) -> Objects:
    """What eve's team has."""
    factories.write_files(directory, {"V1__entries.sql": "CREATE TABLE entries (id bigint);\n"})
    catalog.import_directory(world.foreign, directory, actor=None)
    where = factories.target(world.foreign, "staging")
    migration = world.foreign.migrations.get()
    factories.sync(where, [factories.history_row(1, migration)])
    check = factories.CHECK["5"]
    scripts.add_script(migration, sql="DROP TABLE entries;\n", checks=[check], actor=world.eve)
    incident = incidents.open_incident(
        world.foreign, title="Entries twice", reason="Unknown.", impact="Nobody.", actor=world.eve
    )
    rollback = rollbacks.create(where, [migration], actor=world.eve, incident=incident, reason="It must go.")
    return _arguments(world.foreign, where, rollback, incident, world.eve)


def _arguments(
    service: Service, target: Target, rollback: RollbackRequest, incident: Incident | None, requester: User
) -> Objects:
    assert incident is not None
    incidents.post_mortem_due(rollback)
    execution = executions.ask_for_rehearsal(rollback, actor=requester)
    thread = comments.open_thread(rollback, actor=requester, text="Who told support?")
    generate(rollback.items.get().migration, requester)
    return {
        "": {},
        "service": {"name": service.name},
        "target": {"name": target.name},
        "migration": {"pk": rollback.items.get().migration_id},
        "rollback": {"pk": rollback.pk, "thread": thread.pk},
        "execution": {"pk": execution.pk},
        "incident": {"pk": incident.pk},
        "action": {"pk": _action(incident, requester).pk},
        "contact": {"pk": _contact(service).pk},
        "calendar entry": {"pk": calendar_entry(target).pk},
        "masking rule": {"pk": masking_rule(service).pk},
        **_imports(service, requester),
        # of the whole portal, and so for either team
        "person": {"username": "dora"},
        "event": {"seq": AuditEvent.objects.latest("seq").seq},
    }


def generate(migration: Migration, actor: User) -> Generation:
    """A generation that found a forward fix and wrote no script."""
    asked = generations.ask(migration, options={}, target=None, actor=actor)
    return answers.answer(asked, answers.generated(sql=""))


def _action(incident: Incident, owner: User) -> IncidentAction:
    day = timezone.localdate()
    return followups.add_action(incident, text="Try it first.", owner=owner, due_on=day, actor=owner)


def _imports(service: Service, importer: User) -> Objects:
    """An import, one that is asked for, and a pipeline's token."""
    asked = imports.ask(service, actor=importer, archive=b"none", source="x.zip")
    token, _text = import_tokens.make(service, name="on every push", actor=importer)
    found = {"import": service.import_runs.latest("at"), "import request": asked, "import token": token}
    return {about: {"name": service.name, "pk": each.pk} for about, each in found.items()}


def _contact(service: Service) -> Contact:
    reached = {"name": "Dora", "email": "dora@waqiti.example", "phone": "+254 20 123 4567"}
    return Contact.objects.create(duty=Contact.Duty.PRIMARY_DBA, service=service, **reached)


def masking_rule(service: Service) -> MaskingRule:
    """A rule that waits for a second person."""
    admin = User.objects.get(username="adam")
    name = f"public.things.kind_{service.masking_rules.count()}"
    return masking.propose(service, columns=name, method="keep", reason="Of no person.", actor=admin)


def calendar_entry(target: Target) -> CalendarEntry:
    """A window that an admin asked for, on a day of next year."""
    begins = timezone.now() + timedelta(days=300)
    admin = User.objects.get(username="adam")
    dates = {"begins_at": begins, "ends_at": begins + timedelta(hours=2)}
    return windows.propose(target, CalendarEntry.Kind.DATED, actor=admin, **dates)


def sees(person: User | None, team: str) -> bool:
    """Whether this person sees what the team of this name owns."""
    from approvals.access import SEES_ALL

    if person is None or not person.is_active:
        return False
    owners = {"wallet": "wallets", "ledger": "ledger"}
    member = person.teams.filter(name=owners[team]).exists() and Role.ENGINEER in person.roles
    return bool(person.roles & SEES_ALL) or member
