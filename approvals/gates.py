"""The conditions a rollback must meet: each says whether it holds, what is missing and who can supply it."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from . import alike, checklist, filling, grades, halfway, history, policy, proofs, rating, windows
from .errors import Refused
from .known import Known
from .models import BreakGlass, Evidence, FileFate, Proof, Role, RollbackItem, RollbackRequest


class Needed(enum.IntEnum):
    """From when on a gate must hold; it must keep holding from there on."""

    SUBMIT = 1
    APPROVE = 2
    EXECUTE = 3
    DEPLOY = 4
    """not for the rollback itself, but before anything is deployed again"""


@dataclass(frozen=True)
class Gate:
    """One condition. `detail` says what holds or what is missing; `who` can supply it (empty when it
    holds).

    `at` is when its evidence was taken, `until` when it stops to hold by itself, where that is known.
    `forced`: it lets pass because two people broke the glass, and is never to be shown as one that holds.
    """

    key: str
    title: str
    holds: bool
    detail: str
    who: str
    needed: Needed
    at: datetime | None = None
    until: datetime | None = None
    forced: bool = False

    @property
    def is_for_later(self) -> bool:
        """True if the rollback itself does not wait for it, only the next deployment does."""
        return self.needed is Needed.DEPLOY


Judge = Callable[[Known], Gate]
# So many names are told; of more, how many.
NAMES = 4
LONGEST_WHY = 400


def gates(rollback: RollbackRequest, known: Known | None = None) -> list[Gate]:
    """Every gate of this rollback, judged from the records as they are now; what is missing, and needed
    soonest, comes first, then what is forced.

    A fixed number of queries; `known` spares those for what was read already.
    """
    known = known or Known(rollback)
    if known.judged is None:
        judges = (*JUDGES, _alike) if known.is_fleet else JUDGES
        judged = (judge(known) for judge in judges)
        known.judged = sorted(judged, key=lambda gate: (gate.holds, not gate.forced, gate.needed))
    return known.judged


def missing(rollback: RollbackRequest, needed: Needed) -> list[Gate]:
    """The gates that must hold at this point and do not."""
    return [gate for gate in gates(rollback) if gate.needed <= needed and not gate.holds]


def _gate(
    key: str,
    title: str,
    *,
    holds: bool,
    yes: str,
    no: str,
    who: str,
    needed: Needed = Needed.SUBMIT,
    at: datetime | None = None,
    until: datetime | None = None,
) -> Gate:
    return Gate(key, title, holds, yes if holds else no, "" if holds else who, needed, at, until)


def _or_forced(
    known: Known, gate: Gate, skip: BreakGlass.Skip, *, since: datetime | None = None, lacks: str = ""
) -> Gate:
    """The gate as it is; or, where it does not hold and a break-glass skips it, as forced, with what is
    lacking. `since` is when came up what would have had to be known to confirm that."""
    if gate.holds or (glass := known.forced_by(skip, since=since)) is None:
        return gate
    said = _("Forced: %(asked)s asked, %(confirmed)s confirmed it. %(lacks)s") % {
        "asked": glass.proposed_by,
        "confirmed": glass.confirmed_by,
        "lacks": lacks or gate.detail,
    }
    return replace(gate, holds=True, forced=True, detail=said, who="", until=glass.expires_at)


def _requester(known: Known) -> str:
    return _("%(name)s, who asks for it") % {"name": known.rollback.requester}


def _script_readable(known: Known) -> Gate:
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
    return _gate(
        "script",
        _("Scripts are readable"),
        holds=bool(known.items) and not lacking and not refused,
        yes=_("Every statement was read and may run."),
        no=no,
        who=_requester(known),
    )


def _checks_present(known: Known) -> Gate:
    without = [
        str(item.migration)
        for item in known.items
        if item.script is None or not any(check["stage"] == "before commit" for check in item.script.checks)
    ]
    return _gate(
        "checks",
        _("Checks decide the commit"),
        holds=bool(known.items) and not without,
        yes=_("Every script has at least one check that runs before commit."),
        no=_("No check before commit for %(migrations)s.")
        % {"migrations": ", ".join(without) or _("any migration")},
        who=_requester(known),
    )


def _examined(known: Known) -> list[tuple[RollbackItem, Proof | None, str]]:
    """Each item with a script, once for each target: the answered proof of exactly that script, that file and
    the files below it, or why there is none."""
    found: list[tuple[RollbackItem, Proof | None, str]] = []
    for item in known.items:
        for where in known.proven_on if item.script_id is not None else ():
            answered = known.proofs.get((item.script_id or 0, where.target_id))
            newest = known.newest_proofs.get(item.script_id or 0)
            why = proofs.why_none(item, where.target, answered, newest, known.present)
            found.append((item, None if why else answered, why))
    return found


def _all_examined(known: Known, examined: list[tuple[RollbackItem, Proof | None, str]]) -> bool:
    return bool(examined) and len(examined) == len(known.items) * len(known.proven_on)


def _complete(known: Known) -> Gate:
    lacking, examined = [], _examined(known)
    for item, proof, why in examined:
        left = proofs.not_undone(proof, item.script.left) if proof and item.script else []
        if left:
            told = "; ".join(effect["text"] for effect in left[:NAMES])
            more = len(left) - NAMES
            lacking.append(
                _("%(migration)s: not undone: %(effects)s")
                % {"migration": item.migration, "effects": f"{told}; …(+{more})" if more > 0 else told}
            )
        elif why:
            lacking.append(why)
    return _gate(
        "completeness",
        _("Everything is undone or declared"),
        holds=_all_examined(known, examined) and not lacking,
        yes=_("Each effect of the migrations is undone by a step, or left on purpose with a reason."),
        no=" ".join(dict.fromkeys(lacking)) or _("No script that could be examined."),
        who=_("%(name)s: undo it, or declare that it stays, with the reason")
        % {"name": known.rollback.requester},
        at=min((proof.at for _item, proof, _why in examined if proof and proof.at), default=None),
    )


def _proven(known: Known) -> Gate:
    said, lacking, examined = [], [], _examined(known)
    for item, proof, why in examined:
        if proof is None:
            lacking.append(why)
            continue
        words = {"migration": item.migration, "verdict": proof.get_verdict_display(), "why": ""}
        unproven = item.script.unproven if item.script else ""
        if proof.holds or (proof.verdict == Proof.Verdict.NOT_PROVABLE and unproven):
            said.append(_("%(migration)s: %(verdict)s.") % words)
        else:
            words["why"] = proof.proof.get("reason", "")[:LONGEST_WHY]
            lacking.append(_("%(migration)s: %(verdict)s. %(why)s") % words)
    needed = known.rule.rehearsal_required
    return _gate(
        "proof",
        _("The way back is proven"),
        holds=not needed or (_all_examined(known, examined) and not lacking),
        yes=" ".join(dict.fromkeys(said)) if said and not lacking else _("The policy asks for none here."),
        no=" ".join(dict.fromkeys(lacking)) or _("No script that could be proven."),
        who=_("%(name)s: mend the script, or say why it may go without a proof where none is possible")
        % {"name": known.rollback.requester},
        needed=Needed.APPROVE,
        at=min((proof.at for _item, proof, _why in examined if proof and proof.at), default=None),
    )


def _reasons(known: Known) -> Gate:
    rollback = known.rollback
    return _gate(
        "reason",
        _("Incident and reason"),
        holds=bool(rollback.reason.strip()) and rollback.incident_id is not None,
        yes=_("%(incident)s, with a reason.")
        % {"incident": rollback.incident.label if rollback.incident else ""},
        no=_("Name the incident and say why the migration must be undone."),
        who=_requester(known),
    )


def _forward_fix(known: Known) -> Gate:
    return _gate(
        "forward_fix",
        _("A forward fix was considered"),
        holds=bool(known.rollback.forward_fix.strip()),
        yes=_("The requester wrote why a forward fix will not do."),
        no=_("Write why a corrective forward migration will not do."),
        who=_requester(known),
    )


def _facts_read(known: Known) -> Gate:
    facts = known.evidence(Evidence.Kind.FACTS)
    return _gate(
        "facts",
        _("Facts were read from the target"),
        holds=facts is not None and facts.holds,
        yes=facts.sentence if facts else "",
        no=facts.sentence if facts else _("The worker has not read the target for this change yet."),
        who=_("the worker; ask for it on this page"),
        at=facts.at if facts else None,
    )


def _history_pinned(known: Known) -> Gate:
    """Asked again before every step: a deployment between approval and execution must not go unnoticed."""
    no = ""
    try:
        for rollback_target in known.concerned:
            history.require_pinned(known.rows[rollback_target.target_id], rollback_target.pins)
    except Refused as refused:
        no = f"{rollback_target}: {refused}" if known.is_fleet else str(refused)
    return _gate(
        "history",
        _("The history is as it was pinned"),
        holds=bool(known.rollback_targets) and not no,
        yes=_("The pinned rows are there unchanged, and nothing newer is applied above them."),
        no=no or _("The request names no target."),
        who=_("%(name)s; newer migrations have to go along") % {"name": known.rollback.requester},
        needed=Needed.APPROVE,
    )


def _checklist_done(known: Known) -> Gate:
    open_points = [point.label for point in checklist.points(known.rollback, known) if not point.done]
    return _gate(
        "checklist",
        _("Pre-rollback checklist"),
        holds=not open_points,
        yes=_("All five points are filled."),
        no=_("Open: %(points)s.") % {"points": "; ".join(str(point) for point in open_points)},
        who=_("%(name)s and the worker") % {"name": known.rollback.requester},
        needed=Needed.APPROVE,
    )


def _file_settled(known: Known) -> Gate:
    rollback, lacking = known.rollback, []
    if not (rollback.frozen_by and rollback.frozen_until):
        lacking.append(_("who froze deployments and until when"))
    elif rollback.frozen_until <= known.now:
        lacking.append(_("a freeze that is not over yet"))
    if rollback.file_fate == FileFate.UNDECIDED:
        lacking.append(_("what becomes of the migration file"))
    if not rollback.app_version.strip():
        lacking.append(_("the application version that fits the old schema"))
    return _gate(
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
        who=_requester(known),
        until=rollback.frozen_until,
    )


def _file_taken_care_of(known: Known) -> Gate:
    """Until this holds, the freeze is all that keeps the next deployment from undoing the rollback."""
    settled = known.next_deployment and known.next_deployment.settled
    return _gate(
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


def _rehearsed(known: Known) -> Gate:
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
    found = _gate(
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
    return _or_forced(known, found, BreakGlass.Skip.REHEARSAL, since=failed)


def _backup_evidence(known: Known) -> Gate:
    rule = known.rule
    backup = known.evidence(Evidence.Kind.BACKUP)
    lacking = grades.lacking(rule, backup, known.now)
    found = _gate(
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
    if backup is not None:
        return found
    # It is not skipped: it comes later than people would see it.
    return _or_forced(known, found, BreakGlass.Skip.REHEARSAL, lacks=grades.later())


def _approved(known: Known) -> Gate:
    lacking = Counter(str(role.label) for role in known.missing_roles)
    return _gate(
        "approvals",
        _("Approved by enough people"),
        holds=not lacking,
        yes=_("Every signature that the policy asks for was given."),
        no=_("Missing: %(roles)s.")
        % {"roles": ", ".join(f"{n} × {role}" if n > 1 else role for role, n in lacking.items())},
        who=_signers(known) if lacking else "",
        needed=Needed.EXECUTE,
    )


def _signers(known: Known) -> str:
    """Who can sign, by role: `Senior DBA: Dunya, Emeka; Platform lead: Fatou`."""
    return "; ".join(
        f"{role.label}: {_names(known, role)}"
        for role in (Role.SENIOR_DBA, Role.PLATFORM_LEAD)
        if role in known.missing_roles
    )


def _names(known: Known, role: Role) -> str:
    people = known.signers[role]
    if not people:
        return _("nobody who neither asked nor wrote")
    told = ", ".join(str(person) for person in people[:NAMES])
    if (more := len(people) - NAMES) <= 0:
        return told
    return ngettext("%(names)s and %(more)d more", "%(names)s and %(more)d more", more) % {
        "names": told,
        "more": more,
    }


def _window_ahead(known: Known) -> Gate:
    """Nobody signs what can't run before its time to execute is over."""
    rollback, opens = known.rollback, bool(known.rollback_targets)
    by = rollback.expires_at if rollback.approved_at else None
    by = by or known.now + policy.execution_period(known.rule)
    for each in known.concerned:
        opens = opens and windows.opens_before(each.target, known.calendars[each.target_id], known.now, by)
    says = known.standing.sentence if known.standing else _("The request names no target.")
    late = _("No window opens in the time to execute. %(says)s") % {"says": says}
    found = _gate(
        "window_ahead",
        _("The target opens in time"),
        holds=opens,
        yes=says,
        no=late,
        who=_("an admin and a second person, on the page of the target"),
        needed=Needed.APPROVE,
    )
    return _or_forced(known, found, BreakGlass.Skip.WINDOW, since=_frozen_since(known))


def _window(known: Known) -> Gate:
    """Asked when it is started, and by the worker right before it runs."""
    standing = known.standing
    found = _gate(
        "window",
        _("The target is open now"),
        holds=standing is not None and standing.is_open,
        yes=standing.sentence if standing else "",
        no=standing.sentence if standing else _("The request names no target."),
        who=_("ops, who can schedule it into the next window"),
        needed=Needed.EXECUTE,
        until=standing.until if standing else None,
    )
    return _or_forced(known, found, BreakGlass.Skip.WINDOW, since=_frozen_since(known))


def _frozen_since(known: Known) -> datetime | None:
    """When the newest freeze in force was declared, on any target: it stops what was forced before it."""
    found = (windows.frozen_since(known.calendars[each.target_id], known.now) for each in known.concerned)
    return max((at for at in found if at is not None), default=None)


def _runnable(known: Known) -> Gate:
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
    return _gate(
        "transactional",
        _("The portal can run every step"),
        holds=not problems,
        yes=alone if cut.alone else _("All of it runs in one transaction."),
        no=" ".join(problems),
        who=_("%(name)s; or a DBA, by hand, outside the portal") % {"name": known.rollback.requester},
        needed=Needed.EXECUTE,
    )


def _alike(known: Known) -> Gate:
    """Of fleets only: what is rehearsed and proven on the canary must speak for every target."""
    canary = known.rollback_targets[0]
    found = alike.problems(known.concerned, known.facts, known.items, canary=canary)
    more = len(found) - NAMES
    no = " ".join(found[:NAMES]) + (_(" And %(more)d more.") % {"more": more} if more > 0 else "")
    return _gate(
        "alike",
        _("The targets are alike"),
        holds=not found,
        yes=_("Set up alike, different databases, with the schema of %(canary)s to the last object.")
        % {"canary": canary.target},
        no=no,
        who=_("%(name)s: leave out those that differ, they take a request of their own")
        % {"name": known.rollback.requester},
        needed=Needed.APPROVE,
        at=min((each.at for each in known.facts.values()), default=None),
    )


def risk(known: Known) -> Gate:
    """Rated again with the newest facts: people sign for a risk. Not among the judges that pages ask, because
    it reads every script."""
    rollback = known.rollback
    now = rating.rate(rollback, known.evidence(Evidence.Kind.FACTS), known.items)
    why = now.reasons[0]["text"] if now.reasons else ""
    return _gate(
        "risk",
        _("The risk is what was approved"),
        holds=now.risk <= (rollback.risk or 0),
        yes=_("The newest facts make it no higher."),
        no=_("The risk is %(now)s now, more than was approved: %(why)s") % {"now": now.risk.name, "why": why},
        who=_requester(known),
        needed=Needed.EXECUTE,
    )


def latest_evidence(rollback: RollbackRequest, kind: Evidence.Kind) -> Evidence | None:
    """The newest evidence of this kind for the change as it is now; older bytes prove nothing."""
    return Known(rollback).evidence(kind)


JUDGES: tuple[Judge, ...] = (
    _script_readable,
    _checks_present,
    _complete,
    _proven,
    _reasons,
    _forward_fix,
    _facts_read,
    _history_pinned,
    _file_settled,
    _file_taken_care_of,
    _checklist_done,
    _rehearsed,
    _backup_evidence,
    _approved,
    _window_ahead,
    _window,
    _runnable,
)

# What is asked again before what is partly done is gone on with: while its transaction is still to come, and
# once that is committed; and before it is taken back. What only the first start can have (a rehearsal that is
# young enough) is not among them: nothing that is half done can be rehearsed.
TO_GO_ON: tuple[Judge, ...] = (_facts_read, _history_pinned, _file_settled, _approved, _window, _runnable)
TO_GO_ON_COMMITTED: tuple[Judge, ...] = (_approved, _window, _runnable)
TO_TAKE_BACK: tuple[Judge, ...] = (_history_pinned,)

# Those that a list can ask of each rollback on it: they need the rollback, its items with their scripts and
# its targets, and no query.
AT_A_GLANCE: tuple[Judge, ...] = (_file_settled, _runnable)


def at_a_glance(known: Known) -> list[Gate]:
    """What is in the way of an execution as far as the records of a list tell."""
    return [gate for gate in (judge(known) for judge in AT_A_GLANCE) if not gate.holds]
