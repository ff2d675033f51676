"""The sentence at the head of a rollback's page: how it stands, and what that means for whoever reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from approvals.gates import Needed
from approvals.models import Approval, Execution, ExecutionStatus, Status

from . import fleet_page
from .review import Sheet


@dataclass(frozen=True)
class Verdict:
    """`sentence` says how it stands, `more` what is at stake; `tone` is ok, run, warn, fail, lost or idle."""

    sentence: str
    more: str = ""
    tone: str = "idle"


def verdict(page: Sheet) -> Verdict:
    """The verdict on a rollback as its page shows it."""
    if page.fleet is not None and page.fleet.run is not None and page.rollback.status in WITH_A_RUN:
        return _run(page, page.fleet)
    return VERDICTS[Status(page.rollback.status)](page)


WITH_A_RUN = (Status.EXECUTING, Status.EXECUTED, Status.PARTLY_EXECUTED, Status.FAILED)


def _run(page: Sheet, fleet: fleet_page.View) -> Verdict:
    """How many of the targets stand how, and what the run does."""
    said = fleet.happened if fleet.run else ""
    tone = "fail" if page.rollback.status == Status.FAILED else fleet.tone
    return Verdict(fleet.sentence, said, tone)


def at_stake(page: Sheet) -> str:
    """What the rollback does and what it costs, in figures."""
    count = page.statements
    what = ngettext(
        "It takes %(migrations)s back on %(target)s with %(count)d statement.",
        "It takes %(migrations)s back on %(target)s with %(count)d statements.",
        count,
    ) % {
        "migrations": ", ".join(str(item.item.migration) for item in page.items) or _("nothing"),
        "target": page.target.target.name if page.target else _("no target"),
        "count": count,
    }
    goes = (
        _("This data goes: %(losses)s.") % {"losses": "; ".join(page.losses)}
        if page.losses
        else _("No data goes, as far as the script says.")
    )
    return f"{what} {goes}"


def _draft(page: Sheet) -> Verdict:
    # Where the policy asks nobody, submitting approves it, so more must hold.
    needed = Needed.SUBMIT if page.signatures else Needed.APPROVE
    missing = [gate for gate in page.missing if gate.needed <= needed]
    if not missing:
        return Verdict(_("A draft that can be submitted for review."), at_stake(page))
    sentence = ngettext(
        "A draft: %(count)d thing is missing before it can be submitted.",
        "A draft: %(count)d things are missing before it can be submitted.",
        len(missing),
    ) % {"count": len(missing)}
    return Verdict(sentence, at_stake(page), "warn")


def _in_review(page: Sheet) -> Verdict:
    missing = [gate for gate in page.missing if gate.needed <= Needed.APPROVE]
    if missing:
        sentence = ngettext(
            "It can't be approved yet: %(count)d condition is missing.",
            "It can't be approved yet: %(count)d conditions are missing.",
            len(missing),
        ) % {"count": len(missing)}
        return Verdict(sentence, at_stake(page), "warn")
    count = sum(1 for line in page.signatures if line.approval is None)
    approve = page.actions.get("approve")
    if approve is not None and approve.allowed:
        sentence = ngettext(
            "One approval is missing, and it can be yours.",
            "%(count)d approvals are missing, and one can be yours.",
            count,
        ) % {"count": count}
    else:
        sentence = ngettext("One approval is missing.", "%(count)d approvals are missing.", count) % {
            "count": count
        }
    return Verdict(sentence, at_stake(page), "run")


def _approved(page: Sheet) -> Verdict:
    failed = page.real if page.real and page.real.status == ExecutionStatus.NO_EFFECT else None
    if failed:
        return Verdict(
            _("Still approved: attempt %(number)d had no effect.") % {"number": page.rollback.attempts},
            failed.sentence,
            "warn",
        )
    missing = [gate for gate in page.missing if gate.needed <= Needed.EXECUTE]
    # What is scheduled waits for its window on purpose.
    if page.known.schedule is not None and all(gate.key == "window" for gate in missing):
        return Verdict(_("Approved, and scheduled: it starts by itself."), at_stake(page), "run")
    if missing:
        return Verdict(
            _("Approved, but it can't start: %(what)s.")
            % {"what": "; ".join(gate.title for gate in missing)},
            at_stake(page),
            "warn",
        )
    if page.forced:
        lacking = "; ".join(_("“%(title)s”") % {"title": gate.title} for gate in page.forced)
        said = _("Approved, though this does not hold: %(what)s") % {"what": lacking}
        return Verdict(said, at_stake(page), "fail")
    return Verdict(_("Approved. Nothing runs until ops start it."), at_stake(page), "run")


def _executing(page: Sheet) -> Verdict:
    execution = page.real
    if execution is not None and execution.status == ExecutionStatus.UNRESOLVED:
        return Verdict(
            _("We do not know yet whether %(execution)s was committed.") % {"execution": execution},
            execution.sentence,
            "lost",
        )
    if execution is not None and execution.status == ExecutionStatus.PARTIAL:
        return Verdict(
            _("%(execution)s is partly done: it is to be gone on with, or taken back.")
            % {"execution": execution},
            execution.sentence,
            "fail",
        )
    return Verdict(
        _("%(execution)s is under way: %(status)s.")
        % {
            "execution": execution or _("An execution"),
            "status": execution.get_status_display().lower() if execution else "",
        },
        at_stake(page),
        "run",
    )


def _executed(page: Sheet) -> Verdict:
    execution = page.real
    if execution is not None and execution.reappeared_at:
        return Verdict(
            _("It was taken back, and it has come back: the target's history shows it again."),
            execution.sentence,
            "fail",
        )
    if execution is not None and execution.status == ExecutionStatus.COMMITTED_CHECK_FAILED:
        return Verdict(_("It is committed, but a check after the commit failed."), execution.sentence, "warn")
    more = execution.sentence if execution else ""
    if any(gate.is_for_later for gate in page.missing):
        more += " " + _("See to its file before the next deployment, or the migration comes back.")
    return Verdict(_("It is taken back, committed and verified."), more.strip(), "ok")


def _partly(_page: Sheet) -> Verdict:
    return Verdict(
        _("It is taken back on some of its targets, and not on the others. Every approval is void."),
        _("What is not done takes a new request."),
        "warn",
    )


def _decided(decision: Approval.Decision, sentence: str, tone: str) -> Callable[[Sheet], Verdict]:
    def found(page: Sheet) -> Verdict:
        last = next((d for d in reversed(page.decisions) if d.decision == decision), None)
        who = str(last.approver) if last else _("An approver")
        return Verdict(_(sentence) % {"who": who}, last.comment if last else "", tone)

    return found


def _cancelled(page: Sheet) -> Verdict:
    return Verdict(
        _("%(who)s withdrew it: “%(why)s” Nothing ran.")
        % {"who": page.rollback.requester, "why": page.rollback.withdrawn_because}
    )


def _expired(page: Sheet) -> Verdict:
    return Verdict(
        _("It expired: the time to decide or to execute was over. Nothing ran."),
        _("Opened again as a draft, it needs its approvals anew."),
    )


def _failed(page: Sheet) -> Verdict:
    execution: Execution | None = page.real
    sentence = _("The execution failed, and every approval is void.")
    if execution is not None and execution.status == ExecutionStatus.ROLLED_BACK:
        sentence = _("Nothing changed on the target: the execution was rolled back.")
        if page.signatures:
            sentence += " " + _("Every approval is void.")
    if execution is not None and execution.status == ExecutionStatus.PARTIAL:
        sentence = _("The execution was partly done, and every approval is void.")
    return Verdict(sentence, execution.sentence if execution else "", "fail")


VERDICTS: dict[Status, Callable[[Sheet], Verdict]] = {
    Status.DRAFT: _draft,
    Status.IN_REVIEW: _in_review,
    Status.APPROVED: _approved,
    Status.EXECUTING: _executing,
    Status.EXECUTED: _executed,
    Status.PARTLY_EXECUTED: _partly,
    Status.CHANGES_REQUESTED: _decided(
        Approval.Decision.REQUEST_CHANGES, gettext_noop("%(who)s asked for changes."), "warn"
    ),
    Status.REJECTED: _decided(
        Approval.Decision.REJECT, gettext_noop("%(who)s rejected it. Nothing ran."), "idle"
    ),
    Status.CANCELLED: _cancelled,
    Status.EXPIRED: _expired,
    Status.FAILED: _failed,
}
