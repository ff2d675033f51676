"""Reads for the page of contacts: everybody who is named, by place, and the path of escalation with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce

from approvals import contacts
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


def everywhere() -> Place:
    """The contacts for everything, complete with what is missing."""
    return Place("", False, contacts.general())


Own = tuple[int | None, int | None, str, bool]  # keys of team and service, the name, whether it is a service


def having_own(text: str = "") -> QuerySet[Contact, Own]:
    """The teams with contacts of their own, then the services, by name; those with this text in it."""
    found = Contact.objects.annotate(
        name_of=Coalesce("service__name", "team__name"), of_service=Q(service__isnull=False)
    ).filter(name_of__icontains=text)
    places = found.values_list("team", "service", "name_of", "of_service")
    return places.order_by("of_service", "name_of").distinct()


def places(own: Iterable[Own]) -> list[Place]:
    """These places with their contacts; one query."""
    own = list(own)
    teams, services = [0, *(each[0] for each in own if each[0])], [0, *(each[1] for each in own if each[1])]
    found: dict[tuple[int | None, int | None], dict[str, Contact]] = defaultdict(dict)
    for contact in Contact.objects.filter(Q(team__in=teams) | Q(service__in=services)):
        found[contact.team_id, contact.service_id][contact.duty] = contact
    return [Place(name, of_service, _lines(found[team, service])) for team, service, name, of_service in own]


def _lines(by_duty: dict[str, Contact]) -> list[Line]:
    return [Line(duty, by_duty[duty]) for duty in Contact.Duty if duty in by_duty]


def path(general: Place) -> list[tuple[Step, list[Line]]]:
    """Each step of the escalation path with the general contacts whose phones ring."""
    ringing = {line.duty: line for line in general.lines}
    return [(step, [ringing[duty] for duty in step.duties]) for step in ESCALATION]


def admins() -> list[User]:
    """Who can name contacts."""
    return list(User.objects.filter(is_active=True, groups__name=Role.ADMIN).order_by("first_name"))
