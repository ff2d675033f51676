"""Incidents: open one, add to its timeline, hand in its post-mortem within 48 hours of the execution.

What follows from one (actions, the corrected migration) is in `approvals.followups`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from . import access, audit
from .errors import Conflict, Denied, Refused
from .models import Incident, IncidentNote, PostMortem, Role, RollbackRequest, Service, User

POST_MORTEM_PERIOD = timedelta(hours=48)
WRITES = frozenset({Role.ENGINEER, Role.SENIOR_DBA, Role.PLATFORM_LEAD, Role.OPS})
# Who may take a handed-in post-mortem back into work: those who answer for rollbacks with their signature.
REOPENS = frozenset({Role.SENIOR_DBA, Role.PLATFORM_LEAD})
# What a post-mortem says, in the order in which people read it; handing it in takes the first three of these.
REQUIRED = ("what_happened", "root_cause", "prevention")
SECTIONS = ("what_happened", "noticed", "root_cause", "went_well", "prevention")


def open_incident(service: Service, *, title: str, reason: str, impact: str, actor: User) -> Incident:
    """Open an incident of a service the actor sees. Raises Refused unless title, reason and impact are
    given."""
    with audit.unit_of_work("incident.opened", actor=actor) as facts:
        require_writer(actor, service)
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
        require_writer(actor, incident.service)
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
    incident: Incident, *, actor: User, submit: bool, revision: int | None = None, **texts: str
) -> PostMortem:
    """Save the post-mortem; with `submit` hand it in, which stops the clock. `texts` are of SECTIONS, one
    that is not given stays.

    Raises Refused where no rollback of the incident was executed, where it was handed in already, or where
    something is missing on handing in; Conflict where it was saved since `revision`.
    """
    action = "post_mortem.submitted" if submit else "post_mortem.saved"
    with audit.unit_of_work(action, actor=actor, incident=incident) as facts:
        require_writer(actor, incident.service)
        found = _locked(incident)
        if found.submitted_at:
            raise Refused(_("The post-mortem was handed in already."))
        _require_revision(found, revision)
        _write(found, texts)
        if submit and not all(getattr(found, name).strip() for name in REQUIRED):
            raise Refused(_("Say what happened, why, and what changes so that it does not happen again."))
        found.saved_at, found.saved_by = timezone.now(), actor
        if submit:
            found.submitted_at, found.submitted_by = found.saved_at, actor
        found.revision += 1
        found.save()
        facts["late"] = submit and found.due_at < found.saved_at
        facts |= audit.digests(found, *SECTIONS)
    return found


def reopen_post_mortem(incident: Incident, *, actor: User, because: str) -> PostMortem:
    """Take a handed-in post-mortem back into work. Its clock goes on where it stood, and what was handed in
    is kept.

    Raises Denied unless the actor signs rollbacks, Refused without a reason or where none is handed in.
    """
    with audit.unit_of_work("post_mortem.reopened", actor=actor, incident=incident) as facts:
        require_writer(actor, incident.service)
        if not actor.roles & REOPENS:
            raise Denied(_("Only a senior DBA or a platform lead can reopen a post-mortem."))
        found = _locked(incident)
        if found.submitted_at is None:
            raise Refused(_("The post-mortem is not handed in, so it is open already."))
        if not because.strip():
            raise Refused(_("Say why it is reopened; whoever handed it in needs to know."))
        kept = {"at": found.submitted_at.isoformat(), "by": str(found.submitted_by)}
        found.earlier = [*found.earlier, kept | {name: getattr(found, name) for name in SECTIONS}]
        found.reopened_at, found.reopened_by = timezone.now(), actor
        found.reopened_because = because.strip()
        found.submitted_at = found.submitted_by = None
        found.revision += 1
        found.save()
        facts |= audit.digests(found, "reopened_because")
    return found


def _locked(incident: Incident) -> PostMortem:
    found = (
        PostMortem.objects.select_for_update(of=("self",), no_key=True)
        .select_related("saved_by", "submitted_by")
        .filter(incident=incident)
        .first()
    )
    if found is None:
        raise Refused(_("No rollback of this incident was executed, so no post-mortem is due."))
    return found


def _require_revision(found: PostMortem, revision: int | None) -> None:
    if revision is not None and revision != found.revision:
        raise Conflict(
            _("%(name)s saved the post-mortem since you opened this page. Nothing of yours was saved.")
            % {"name": found.saved_by or _("Somebody")}
        )


def _write(found: PostMortem, texts: Mapping[str, str]) -> None:
    if unknown := set(texts) - set(SECTIONS):
        raise ValueError(f"a post-mortem has no {', '.join(sorted(unknown))}")
    for name, text in texts.items():
        setattr(found, name, text)


def require_writer(actor: User, service: Service) -> None:
    """Raise Denied unless this person writes to incidents of the service."""
    if not actor.roles & WRITES or not access.services(actor).filter(pk=service.pk).exists():
        raise Denied(_("You may read incidents of this service at most, not write to them."))
