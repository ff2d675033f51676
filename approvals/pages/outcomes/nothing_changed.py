"""How an execution ends without having changed anything, and why: one story for each cause."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from approvals import attempts, halfway
from approvals.models import Backup, Status

from .telling import Story, Told

# SQLSTATEs that people meet at night, in words.
WHY = {
    "40P01": gettext_noop("Nothing changed on %(target)s: PostgreSQL broke a deadlock at our cost"),
    "57014": gettext_noop("Nothing changed on %(target)s: a time limit was over"),
    "55P03": gettext_noop("Nothing changed on %(target)s: a lock was not granted in time"),
}
# A backup that ended in one of these is why the script never began.
NOT_BACKED_UP = (Backup.State.FAILED, Backup.State.REFUSED, Backup.State.DUMPED)


def _why_no_effect(told: Told) -> tuple[str, str]:
    """What it was that kept it from having an effect, and what to do about that."""
    execution = told.execution
    if execution.missed:
        return _("Not begun on %(target)s: it missed its window"), _(
            "Nothing here. It does not begin any more in this run: ask anew for it once the run is over."
        )
    if told.in_run and execution.claimed_at is None:
        return _("Not begun on %(target)s"), _("Nothing here. Whoever goes on with the run begins it anew.")
    if execution.cancel_requested_at is not None:
        return _("Nothing changed on %(target)s: it was cancelled"), _(
            "Say in the incident why it was ended."
        )
    if execution.blocker:
        return (
            _("Nothing changed on %(target)s: session %(pid)s did not let go of a lock"),
            _("Ask whoever owns that session to finish, or end it."),
        )
    if told.no_go:
        return (
            _("Nothing changed on %(target)s: the preflight said no-go"),
            _("Clear what stood in the way; the preflight below names it."),
        )
    if told.backups and told.backups[-1].state in NOT_BACKED_UP:
        return (
            _("Nothing changed on %(target)s: there was no verified backup"),
            _("Mend what kept the backup from being taken; its result is below."),
        )
    if "resolved" in execution.marks:
        return (
            _("Nothing changed on %(target)s: the worker was lost before the script began"),
            _("See why worker %(worker)s ended."),
        )
    if execution.sqlstate in WHY:
        return _(WHY[execution.sqlstate]), _("Clear what stood in the way; it is named here.")
    return _("Nothing changed on %(target)s"), _("Clear what stood in the way; it is named here.")


def no_effect(told: Told) -> Story:
    """It ended before the script began, and keeps its approvals for a while."""
    rollback = told.execution.rollback_target.rollback
    kept = rollback.status == Status.APPROVED
    title, first = _why_no_effect(told)
    names = told.names | {"pid": (told.execution.blocker or {}).get("pid"), "worker": told.execution.worker}
    todo = [first % names]
    certain = _("Nothing was committed.") + " " + as_before(told)
    if told.execution.continues_id is not None:
        todo.append(_of_continuing(told))
        certain = _("It sent nothing that stays: %(target)s is as partly done as it was before.") % names
    elif told.in_run:
        if told.execution.claimed_at is not None:
            todo.append(_("Go on with the run, and let it try once more what had no effect; or end the run."))
    elif kept:
        todo.append(
            _("Start it again: the approvals still count. %(made)d of %(most)d attempts are made.")
            % {"made": rollback.attempts, "most": attempts.ATTEMPTS}
        )
    elif rollback.status == Status.FAILED:
        todo.append(
            _("After %(most)d attempts without effect every approval is void: open it again as a draft.")
            % {"most": attempts.ATTEMPTS}
        )
    return Story(
        "idle",
        _("No effect"),
        title % names,
        told.sentence,
        certain,
        tuple(todo),
    )


def _of_continuing(told: Told) -> str:
    """What is to be done on the page of what is partly done: start it again, or ask anew."""
    execution = told.execution
    made = halfway.attempt(execution)
    words = {"partly": execution.continues, "made": made, "most": attempts.ATTEMPTS}
    if made < attempts.ATTEMPTS:
        said = _(
            "Start it again on the page of %(partly)s: the signatures still count. %(made)d of %(most)d "
            "attempts are made."
        )
    else:
        said = _(
            "After %(most)d attempts without effect the signatures are used up: ask anew on the page of "
            "%(partly)s."
        )
    return said % words


def as_before(told: Told) -> str:
    """That the migrations are what they were before: somebody else's psql may have been the cause of it."""
    return (
        ngettext(
            "%(versions)s is on %(target)s as it was before this attempt.",
            "%(versions)s are on %(target)s as they were before this attempt.",
            told.several,
        )
        % told.names
    )


def _why_rolled_back(told: Told) -> str:
    if told.execution.cancel_requested_at is not None:
        return _("Nothing changed on %(target)s: it was cancelled, and all of it was taken back")
    if any(not check["passed"] for check in told.execution.checks):
        return _("Nothing changed on %(target)s: a check did not pass, and all of it was taken back")
    if told.execution.sqlstate == "40P01":
        return _("Nothing changed on %(target)s: a deadlock was broken, and all of it was taken back")
    if told.execution.sqlstate in ("57014", "55P03", "25P04"):
        return _("Nothing changed on %(target)s: a time limit was over, and all of it was taken back")
    if "resolved" in told.execution.marks:
        return _("Nothing changed on %(target)s: the worker was lost, and all of it was taken back")
    return _("Nothing changed on %(target)s: all of it was taken back")


def rolled_back(told: Told) -> Story:
    """The script had begun, and PostgreSQL took all of it back."""
    return Story(
        "fail",
        _("Rolled back"),
        _why_rolled_back(told) % told.names,
        told.sentence,
        _("PostgreSQL took every statement back.") + " " + as_before(told),
        (
            _("Say in the incident why it was ended.")
            if told.execution.cancel_requested_at
            else _("Find out why: the failed step or check is marked below."),
            _failed_in_run()
            if told.in_run
            else _(
                "Every approval is void. The requester opens it again as a draft, mends the script or the "
                "check, and it is rehearsed and approved anew."
            ),
        ),
    )


def _failed_in_run() -> str:
    return _(
        "This run does not try it here again: this target takes a request of its own. The page of the run "
        "says whether the others go on."
    )
