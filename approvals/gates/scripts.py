"""Gates that look at the scripts: can each be read, does a check decide, can the portal run every step."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from approvals import filling, halfway
from approvals.known import Known

from .gate import Gate, Needed, judged, requester


def script_readable(known: Known) -> Gate:
    lacking, refused = [], []
    for item in known.items:
        if item.script is None:
            lacking.append(str(item.migration))
        elif problems := filling.plan_of(item).get("problems"):
            first = problems[0]
            refused.append(
                f"{item.migration}, line {first['line']}, column {first['column']}: {first['message']}"
            )
    if not known.items:
        no = _("The request names no migration.")
    elif refused:
        no = _("Refused: %(first)s") % {"first": refused[0]}
    else:
        no = _("No rollback script for %(migrations)s.") % {"migrations": ", ".join(lacking)}
    return judged(
        "script",
        _("Scripts are readable"),
        holds=bool(known.items) and not lacking and not refused,
        yes=_("Every statement was read and may run."),
        no=no,
        who=requester(known),
    )


def checks_present(known: Known) -> Gate:
    without = [
        str(item.migration)
        for item in known.items
        if item.script is None or not any(check["stage"] == "before commit" for check in item.script.checks)
    ]
    return judged(
        "checks",
        _("Checks decide the commit"),
        holds=bool(known.items) and not without,
        yes=_("Every script has at least one check that runs before commit."),
        no=_("No check before commit for %(migrations)s.")
        % {"migrations": ", ".join(without) or _("any migration")},
        who=requester(known),
    )


def runnable(known: Known) -> Gate:
    """What PostgreSQL refuses inside a transaction runs alone; some of it a person has to do."""
    steps = halfway.planned(known.items)
    cut = halfway.parts_of(steps)
    problems = list(cut.problems)
    if cut.alone:
        problems += [
            _("%(target)s refuses the marker, and without it nobody could tell whether a step had begun.")
            % {"target": rollback_target.target}
            for rollback_target in known.rollback_targets
            if not rollback_target.target.has_marker
        ]
    alone = ngettext(
        "%(count)d of %(all)d steps runs alone, since PostgreSQL refuses it inside a transaction; the others "
        "run in one transaction.",
        "%(count)d of %(all)d steps run alone, since PostgreSQL refuses them inside a transaction; the "
        "others run in one transaction.",
        len(cut.alone),
    ) % {"count": len(cut.alone), "all": len(steps)}
    return judged(
        "transactional",
        _("The portal can run every step"),
        holds=not problems,
        yes=alone if cut.alone else _("All of it runs in one transaction."),
        no=" ".join(problems),
        who=_("%(name)s; or a DBA, by hand, outside the portal") % {"name": known.rollback.requester},
        needed=Needed.EXECUTE,
    )
