"""Which events somebody means: by person, what it is about, place, kind, time, and whether it was refused.

Every way of asking leads to an index: what people type is made into labels as events carry them.
"""

from __future__ import annotations

import re
import uuid

from django.db.models import Max, Min, Q, QuerySet, Value
from django.db.models.functions import Concat

from approvals.models import AuditEvent, Execution, Incident, Service, Target, User
from approvals.models.audit import DENIED, family

# What an event is about, as people call it; a bare number is a rollback's.
OBJECT = re.compile(r"(?i)^(?:(?:(RB|INC)-)?([0-9]{1,18})|EX-([0-9a-f]{8}))\Z")


def events(
    *,
    person: str = "",
    about: str = "",
    target: str = "",
    action: str = "",
    denied: bool = False,
    since: str = "",
    before: str = "",
) -> QuerySet[AuditEvent]:
    """Events that match everything given. Times are ISO texts in UTC, as events keep theirs."""
    found = AuditEvent.objects.all()
    if person:
        found = found.filter(actor__in=_people(person))
    if about:
        found = _about(found, about)
    if target:
        found = _at(found, target)
    if action:
        found = _doing(found, action)
    if denied:
        found = found.filter(action__endswith=DENIED)
    return _during(found, since, before) if since or before else found


def _during(found: QuerySet[AuditEvent], since: str, before: str) -> QuerySet[AuditEvent]:
    """Events of a span of time. The first and last number in it are asked for first: times follow the numbers
    only as well as the clocks of the portal's machines do, but a list is walked by its numbers."""
    span = {"at__gte": since, "at__lt": before}
    within = {name: text for name, text in span.items() if text}
    ends = AuditEvent.objects.filter(**within).aggregate(first=Min("seq"), last=Max("seq"))
    if ends["last"] is None:
        return found.none()
    return found.filter(**within, seq__gte=ends["first"], seq__lte=ends["last"])


def _people(text: str) -> list[str]:
    """User names that somebody means by a user name or a part of a name; the text itself where nobody has
    it: an event still reads when its person is gone."""
    known = User.objects.annotate(full=Concat("first_name", Value(" "), "last_name"))
    return [text, *known.filter(full__icontains=text).values_list("username", flat=True)]


def _about(found: QuerySet[AuditEvent], label: str) -> QuerySet[AuditEvent]:
    match = OBJECT.fullmatch(label)
    if match is None:
        return found.none()
    kind, number, execution = match.groups()
    if execution:
        return _of_execution(found, execution.lower())
    if (kind or "").upper() == "INC":
        return found.filter(incident=f"INC-{int(number)}")
    return found.filter(rollback=f"RB-{int(number)}")


def _of_execution(found: QuerySet[AuditEvent], begins: str) -> QuerySet[AuditEvent]:
    """The events of executions whose id begins so: those of their rollbacks whose body says so."""
    first, last = uuid.UUID(begins.ljust(32, "0")), uuid.UUID(begins.ljust(32, "f"))
    same = Execution.objects.filter(pk__gte=first, pk__lte=last)
    about = Q(pk__in=[])
    for key, rollback in same.values_list("pk", "rollback_target__rollback"):
        about |= Q(rollback=f"RB-{rollback}", body__contains=f'"execution":"{key}"')
    return found.filter(about)


def _at(found: QuerySet[AuditEvent], text: str) -> QuerySet[AuditEvent]:
    """Events at targets that are called so or belong to a service called so, and of its incidents."""
    targets = Target.objects.filter(Q(name__icontains=text) | Q(service__name=text))
    place = Q(target__in=[text, *targets.values_list("name", flat=True)])
    service = Service.objects.filter(name=text).first()
    if service:
        keys = Incident.objects.filter(service=service).values_list("pk", flat=True)
        place |= Q(incident__in=[f"INC-{key}" for key in keys])
    return found.filter(place)


def _doing(found: QuerySet[AuditEvent], action: str) -> QuerySet[AuditEvent]:
    """Events of one action, refused attempts at it included, or of everything that is about the same."""
    if "." in action:
        return found.filter(action__in=[action, action + DENIED])
    return found.alias(family=family()).filter(family=action)
