"""Whom to call at night, and the path of escalation: readable by everybody, kept by an admin.

A duty may have a contact for everybody, one for a team and one for a single service; the closest one counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from . import audit
from .errors import Denied, Refused
from .models import Contact, Role, Service, Team, User

Duty = Contact.Duty


@dataclass(frozen=True)
class Step:
    """One step of the escalation path: when it is taken, what it is, and whose phone rings."""

    when: str | Promise
    what: str | Promise
    how: str | Promise
    duties: tuple[Duty, ...] = ()


# The four steps of the rollback strategy that this portal carries out, in its order.
ESCALATION: tuple[Step, ...] = (
    Step(
        lazy("First, for 30 minutes"),
        lazy("Attempt a forward fix"),
        lazy("A corrective migration loses nothing and needs no way back. Go on after 30 minutes."),
    ),
    Step(
        lazy("If it is critical"),
        lazy("Page the DBA team"),
        lazy("Call the primary DBA; without an answer within a few minutes, the backup DBA."),
        (Duty.PRIMARY_DBA, Duty.BACKUP_DBA),
    ),
    Step(
        lazy("If data is corrupted"),
        lazy("Stop. Full restore from backup"),
        lazy("A rollback of the schema brings no data back. Leave the database as it is and call a DBA."),
        (Duty.PRIMARY_DBA, Duty.BACKUP_DBA),
    ),
    Step(
        lazy("If the service is down"),
        lazy("Rollback with approval"),
        lazy("Ask for it here; the policy says who signs. A CRITICAL one takes the platform lead."),
        (Duty.PLATFORM_LEAD,),
    ),
)


@dataclass(frozen=True)
class Line:
    """Who has a duty. `contact` is None where nobody was named: that is said, not hidden."""

    duty: Duty
    contact: Contact | None

    @property
    def word(self) -> str:
        return str(self.duty.label)


def general() -> list[Line]:
    """Whom to call where no service is meant; one query."""
    return _lines(Contact.objects.filter(team=None, service=None))


def for_service(service: Service) -> list[Line]:
    """Whom to call about this service: its own contacts before its team's before everybody's; one query."""
    close = Q(service=service) | Q(team=service.team_id) | Q(team=None, service=None)
    return _lines(Contact.objects.filter(close))


def _lines(found: Iterable[Contact]) -> list[Line]:
    closest = {contact.duty: contact for contact in sorted(found, key=_closeness)}
    return [Line(duty, closest.get(duty)) for duty in Duty]


def _closeness(contact: Contact) -> int:
    return 2 if contact.service_id else 1 if contact.team_id else 0


def save(
    contact: Contact | None,
    *,
    duty: str,
    team: Team | None,
    service: Service | None,
    name: str,
    email: str,
    phone: str,
    actor: User,
) -> Contact:
    """Name a contact, or change one. Raises Denied unless the actor is an admin, Refused where the duty is
    taken or both a team and a service are given."""
    with audit.unit_of_work("contact.changed" if contact else "contact.added", actor=actor) as facts:
        _require_admin(actor)
        if team and service:
            raise Refused(_("A contact is for a team or for a service, not for both."))
        other = Contact.objects.filter(duty=duty, team=team, service=service)
        if contact:
            other = other.exclude(pk=contact.pk)
        if taken := other.first():
            raise Refused(
                _("%(name)s is %(duty)s there already; change that contact instead.")
                % {"name": taken.name, "duty": Duty(duty).label}
            )
        saved = contact or Contact()
        saved.duty, saved.team, saved.service = duty, team, service
        saved.name, saved.email, saved.phone = name.strip(), email.strip(), phone.strip()
        saved.save()
        facts |= _facts_of(saved)
    return saved


def remove(contact: Contact, *, actor: User) -> None:
    """Take a contact away. Raises Denied unless the actor is an admin."""
    with audit.unit_of_work("contact.removed", actor=actor) as facts:
        _require_admin(actor)
        facts |= _facts_of(contact)
        contact.delete()


def _facts_of(contact: Contact) -> dict[str, Any]:
    """Names and numbers of people by their digests, so that they can be forgotten."""
    place = {"team": contact.team, "service": contact.service}
    where = {word: str(each) for word, each in place.items() if each}
    return {"duty": contact.duty} | where | audit.digests(contact, "name", "email", "phone")


def _require_admin(actor: User) -> None:
    if Role.ADMIN not in actor.roles:
        raise Denied(_("Only an admin changes contacts."))
