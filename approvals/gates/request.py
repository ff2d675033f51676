"""Gates that look at what people wrote: why, what else was considered, the checklist, the files."""

from __future__ import annotations

from django.utils.translation import gettext as _

from approvals import checklist
from approvals.known import Known
from approvals.models import FileFate

from .gate import Gate, Needed, judged, requester


def reasons(known: Known) -> Gate:
    rollback = known.rollback
    return judged(
        "reason",
        _("Incident and reason"),
        holds=bool(rollback.reason.strip()) and rollback.incident_id is not None,
        yes=_("%(incident)s, with a reason.")
        % {"incident": rollback.incident.label if rollback.incident else ""},
        no=_("Name the incident and say why the migration must be undone."),
        who=requester(known),
    )


def forward_fix(known: Known) -> Gate:
    return judged(
        "forward_fix",
        _("A forward fix was considered"),
        holds=bool(known.rollback.forward_fix.strip()),
        yes=_("The requester wrote why a forward fix will not do."),
        no=_("Write why a corrective forward migration will not do."),
        who=requester(known),
    )


def checklist_done(known: Known) -> Gate:
    open_points = [point.label for point in checklist.points(known.rollback, known) if not point.done]
    return judged(
        "checklist",
        _("Pre-rollback checklist"),
        holds=not open_points,
        yes=_("All five points are filled."),
        no=_("Open: %(points)s.") % {"points": "; ".join(str(point) for point in open_points)},
        who=_("%(name)s and the worker") % {"name": known.rollback.requester},
        needed=Needed.APPROVE,
    )


def file_settled(known: Known) -> Gate:
    rollback, lacking = known.rollback, []
    if not (rollback.frozen_by and rollback.frozen_until):
        lacking.append(_("who froze deployments and until when"))
    elif rollback.frozen_until <= known.now:
        lacking.append(_("a freeze that is not over yet"))
    if rollback.file_fate == FileFate.UNDECIDED:
        lacking.append(_("what becomes of the migration file"))
    if not rollback.app_version.strip():
        lacking.append(_("the application version that fits the old schema"))
    return judged(
        "file",
        _("Deployments frozen, the file's fate settled"),
        holds=not lacking,
        yes=_("%(who)s froze deployments until %(until)s; the file is %(fate)s.")
        % {
            "who": rollback.frozen_by,
            "until": rollback.frozen_until and f"{rollback.frozen_until:%Y-%m-%d %H:%M} UTC",
            "fate": rollback.get_file_fate_display(),
        },
        no=_("Missing: %(what)s. Without it the next deployment applies the migration again.")
        % {"what": ", ".join(lacking)},
        who=requester(known),
        until=rollback.frozen_until,
    )


def file_taken_care_of(known: Known) -> Gate:
    """Until this holds, the freeze is all that keeps the next deployment from undoing the rollback."""
    settled = known.next_deployment and known.next_deployment.settled
    return judged(
        "release",
        _("The file is taken care of"),
        holds=bool(settled and settled.holds),
        yes=settled.sentence if settled else "",
        no=settled.sentence if settled else _("The request names no target."),
        who=_("the team of %(service)s: settle the file, and import the release")
        % {"service": known.rollback.service},
        needed=Needed.DEPLOY,
        at=settled.at if settled else None,
    )
