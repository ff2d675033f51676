"""What follows from an incident: actions with owner and day, the corrected migration, the change record."""

from __future__ import annotations

from datetime import date

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from . import audit
from .access import SEES_ALL
from .errors import Conflict, Refused
from .incidents import WRITES, require_writer
from .models import Incident, IncidentAction, Migration, Role, Service, User


def owners(service: Service) -> QuerySet[User]:
    """Who can be given an action of this service: everybody who writes to its incidents, by name."""
    spanning = Q(groups__name__in=WRITES & SEES_ALL)
    team = Q(groups__name=Role.ENGINEER, teams=service.team_id)
    return User.objects.filter(spanning | team, is_active=True).distinct().order_by("first_name", "last_name")


def add_action(incident: Incident, *, text: str, owner: User, due_on: date, actor: User) -> IncidentAction:
    """Give somebody something to do until a day. Raises Refused where the text is empty, the day is past or
    the owner does not write to this incident."""
    with audit.unit_of_work("incident.action_added", actor=actor, incident=incident) as facts:
        require_writer(actor, incident.service)
        _require(incident, text=text, owner=owner)
        if due_on < timezone.localdate():
            raise Refused(_("The day it is due on is past."))
        action = IncidentAction(
            incident=incident, text=text.strip(), owner=owner, due_on=due_on, added_by=actor
        )
        action.save()
        facts |= _facts_of(action)
    return action


def change_action(
    action: IncidentAction, *, text: str, owner: User, due_on: date, actor: User
) -> IncidentAction:
    """Say it better, give it to somebody else, or move its day. Raises Refused as `add_action` does (a day
    that is past may stay), Conflict where it was done meanwhile."""
    with audit.unit_of_work("incident.action_changed", actor=actor, incident=action.incident) as facts:
        require_writer(actor, action.incident.service)
        action = _locked(action)
        if action.done_at:
            raise Conflict(_("%(name)s marked it as done meanwhile.") % {"name": action.done_by})
        _require(action.incident, text=text, owner=owner)
        if due_on != action.due_on and due_on < timezone.localdate():
            raise Refused(_("The day it is due on is past."))
        facts["was"] = {"owner": action.owner.username, "due_on": action.due_on.isoformat()}
        action.text, action.owner, action.due_on = text.strip(), owner, due_on
        action.save()
        facts |= _facts_of(action)
    return action


def set_done(action: IncidentAction, done: bool, *, actor: User) -> IncidentAction:
    """Mark an action as done, or as open again. Raises Conflict where somebody was faster."""
    verb = "incident.action_done" if done else "incident.action_reopened"
    with audit.unit_of_work(verb, actor=actor, incident=action.incident) as facts:
        require_writer(actor, action.incident.service)
        action = _locked(action)
        if done and action.done_at:
            raise Conflict(_("%(name)s marked it as done already.") % {"name": action.done_by})
        if not done and action.done_at is None:
            raise Conflict(_("It is open already."))
        action.done_at, action.done_by = (timezone.now(), actor) if done else (None, None)
        action.save()
        facts |= _facts_of(action)
    return action


def set_references(
    incident: Incident, *, change_record: str, corrected_by: Migration | None, actor: User
) -> None:
    """Name the entry in the change management system and the migration that prevents a recurrence. Either
    may come long after the post-mortem. Raises Refused for a migration of another service."""
    with audit.unit_of_work("incident.references_set", actor=actor, incident=incident) as facts:
        require_writer(actor, incident.service)
        if corrected_by is not None and corrected_by.service_id != incident.service_id:
            raise Refused(_("This migration belongs to another service."))
        incident.change_record, incident.corrected_by = change_record.strip(), corrected_by
        incident.save(update_fields=["change_record", "corrected_by"])
        facts |= audit.digests(incident, "change_record")
        facts["corrected_by"] = str(corrected_by) if corrected_by else ""


def _locked(action: IncidentAction) -> IncidentAction:
    found = IncidentAction.objects.select_for_update(of=("self",), no_key=True)
    return found.select_related("incident__service", "owner", "done_by").get(pk=action.pk)


def _require(incident: Incident, *, text: str, owner: User) -> None:
    if not text.strip():
        raise Refused(_("Say what will be done."))
    if not owners(incident.service).filter(pk=owner.pk).exists():
        raise Refused(
            _("%(name)s does not work on incidents of %(service)s.")
            % {"name": owner, "service": incident.service}
        )


def _facts_of(action: IncidentAction) -> dict[str, object]:
    owner, due_on = action.owner.username, action.due_on.isoformat()
    return {"action": action.pk, "owner": owner, "due_on": due_on} | audit.digests(action, "text")
