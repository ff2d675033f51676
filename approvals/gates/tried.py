"""Gates that look at what the worker tried: the rehearsal, and the backup that it took."""

from __future__ import annotations

from datetime import timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from approvals import grades
from approvals.known import Known
from approvals.models import BreakGlass, Evidence

from .gate import Gate, Needed, judged, or_excepted, or_forced


def rehearsed(known: Known) -> Gate:
    rule = known.rule
    rehearsal = known.evidence(Evidence.Kind.REHEARSAL)
    limit = timedelta(hours=rule.rehearsal_max_age_hours) if rule.rehearsal_max_age_hours else None
    too_old = rehearsal is not None and limit is not None and known.now - rehearsal.at > limit
    if not rule.rehearsal_required:
        yes, no = _("The policy asks for none here."), ""
    elif rehearsal is None:
        yes, no = "", _("These exact bytes have not been rehearsed.")
    elif too_old:
        hours = rule.rehearsal_max_age_hours or 0
        yes, no = (
            "",
            ngettext(
                "The rehearsal is older than the %(hours)d hour the policy allows.",
                "The rehearsal is older than the %(hours)d hours the policy allows.",
                hours,
            )
            % {"hours": hours},
        )
    else:
        yes = no = rehearsal.sentence
    found = judged(
        "rehearsal",
        _("Rehearsal passed with these exact bytes"),
        holds=not rule.rehearsal_required or (rehearsal is not None and rehearsal.holds and not too_old),
        yes=yes,
        no=no,
        who=_("the worker; ask for a rehearsal on this page"),
        needed=Needed.APPROVE,
        at=rehearsal.at if rehearsal else None,
        until=rehearsal.at + limit if rehearsal and rehearsal.holds and limit else None,
    )
    failed = rehearsal.at if rehearsal and not rehearsal.holds else None
    return or_forced(known, found, BreakGlass.Skip.REHEARSAL, since=failed)


def backup_evidence(known: Known) -> Gate:
    rule = known.rule
    backup = known.evidence(Evidence.Kind.BACKUP)
    lacking = grades.lacking(rule, backup, known.now)
    found = judged(
        "backup",
        _("There is the backup that the policy asks for"),
        holds=not lacking,
        yes=backup.sentence if backup else _("The policy asks for none here."),
        no=lacking,
        who=_("the worker; ask for a rehearsal on this page"),
        needed=Needed.APPROVE,
        at=backup.at if backup else None,
        until=grades.holds_until(rule, backup),
    )
    found = or_excepted(found, known.excepted_by if lacking else None)
    if backup is not None or found.forced:
        return found
    # It is not skipped: it comes later than people would see it.
    return or_forced(known, found, BreakGlass.Skip.REHEARSAL, lacks=grades.later())
