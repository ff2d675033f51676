"""Incidents: open one, add to its timeline, hand in its post-mortem within 48 hours of the execution."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from . import access, audit
from .errors import Denied, Refused
from .models import Incident, IncidentNote, PostMortem, Role, RollbackRequest, Service, User

POST_MORTEM_PERIOD = timedelta(hours=48)
WRITES = frozenset({Role.ENGINEER, Role.SENIOR_DBA, Role.PLATFORM_LEAD, Role.OPS})


def open_incident(service: Service, *, title: str, reason: str, impact: str, actor: User) -> Incident:
    """Open an incident of a service the actor sees. Raises Refused unless title, reason and impact are
    given."""
    with audit.unit_of_work("incident.opened", actor=actor) as facts:
        _require_writer(actor, service)
        if not (title.strip() and reason.strip() and impact.strip()):
            raise Refused(_("An incident needs a title, a reason and its impact."))
        incident = Incident.objects.create(
            service=service,
            title=title.strip(),
            reason=reason.strip(),
            impact=impact.strip(),
            opened_by=actor,
        )
        facts.about(incident=incident)
        facts["service"] = service.name
        facts |= audit.digests(incident, "title", "reason", "impact")
    return incident


def add_note(incident: Incident, *, text: str, actor: User) -> IncidentNote:
    """Add an entry to the incident's timeline."""
    with audit.unit_of_work("incident.note_added", actor=actor, incident=incident) as facts:
        _require_writer(actor, incident.service)
        if not text.strip():
            raise Refused(_("The note is empty."))
        facts["text_sha256"] = audit.digest_of(text.strip())
        return IncidentNote.objects.create(incident=incident, author=actor, text=text.strip())


def post_mortem_due(rollback: RollbackRequest) -> PostMortem | None:
    """Start the 48-hour clock of the rollback's incident; one that runs already is left alone."""
    if rollback.incident is None:
        return None
    due = timezone.now() + POST_MORTEM_PERIOD
    return PostMortem.objects.get_or_create(incident=rollback.incident, defaults={"due_at": due})[0]


def save_post_mortem(
    incident: Incident, *, actor: User, what_happened: str, root_cause: str, prevention: str, submit: bool
) -> PostMortem:
    """Save the post-mortem; with `submit` hand it in, which stops the clock and can't be taken back.

    Raises Refused where no rollback of the incident was executed, where it was handed in already, or where
    something is missing on handing in.
    """
    action = "post_mortem.submitted" if submit else "post_mortem.saved"
    with audit.unit_of_work(action, actor=actor, incident=incident) as facts:
        _require_writer(actor, incident.service)
        found = PostMortem.objects.select_for_update(no_key=True).filter(incident=incident).first()
        if found is None:
            raise Refused(_("No rollback of this incident was executed, so no post-mortem is due."))
        if found.submitted_at:
            raise Refused(_("The post-mortem was handed in already."))
        if submit and not (what_happened.strip() and root_cause.strip() and prevention.strip()):
            raise Refused(_("Say what happened, why, and what changes so that it does not happen again."))
        found.what_happened, found.root_cause, found.prevention = what_happened, root_cause, prevention
        if submit:
            found.submitted_at, found.submitted_by = timezone.now(), actor
        found.save()
        facts["late"] = submit and found.due_at < timezone.now()
        facts |= audit.digests(found, "what_happened", "root_cause", "prevention")
    return found


def _require_writer(actor: User, service: Service) -> None:
    if not actor.roles & WRITES or not access.services(actor).filter(pk=service.pk).exists():
        raise Denied(_("You may read incidents of this service at most, not write to them."))
