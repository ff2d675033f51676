"""Reads for the page of contacts: everybody who is named, by place, and the path of escalation with them."""

from __future__ import annotations

from dataclasses import dataclass

from approvals.contacts import ESCALATION, Line, Step
from approvals.models import Contact, Role, User


@dataclass(frozen=True)
class Place:
    """The contacts for everybody (no name), a team or a service."""

    name: str
    is_service: bool
    lines: list[Line]

    @property
    def missing(self) -> list[Line]:
        """Duties that nobody has here. Only the general place must have all."""
        return [line for line in self.lines if line.contact is None]


def everybody() -> list[Place]:
    """The general place first, complete with what is missing, then teams and services that have their own."""
    found = Contact.objects.select_related("team", "service")
    own: dict[tuple[str, bool], dict[str, Contact]] = {("", False): {}}
    for contact in sorted(found, key=lambda each: (each.service_id is not None, _name(each))):
        own.setdefault((_name(contact), contact.service_id is not None), {})[contact.duty] = contact
    return [
        Place(name, is_service, _lines(by_duty, everywhere=not name))
        for (name, is_service), by_duty in own.items()
    ]


def _name(contact: Contact) -> str:
    return str(contact.service or contact.team or "")


def _lines(by_duty: dict[str, Contact], *, everywhere: bool) -> list[Line]:
    return [Line(duty, by_duty.get(duty)) for duty in Contact.Duty if everywhere or duty in by_duty]


def path(places: list[Place]) -> list[tuple[Step, list[Line]]]:
    """Each step of the escalation path with the general contacts whose phones ring."""
    general = {line.duty: line for line in places[0].lines}
    return [(step, [general[duty] for duty in step.duties]) for step in ESCALATION]


def admins() -> list[User]:
    """Who can name contacts."""
    return list(User.objects.filter(is_active=True, groups__name=Role.ADMIN).order_by("first_name"))
