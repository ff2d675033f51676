"""How an execution on a target ends: one story for each outcome."""

from __future__ import annotations

from collections.abc import Callable

from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from approvals import halfway
from approvals.models import Execution, ExecutionStatus, ExecutionStep, FileFate

from . import nothing_changed
from .telling import Story, Told


def _came_back(told: Told) -> Story:
    """Committed, and undone since by somebody else: what counts now is that it is applied."""
    return Story(
        "fail",
        _("Came back"),
        ngettext(
            "%(versions)s is applied on %(target)s again",
            "%(versions)s are applied on %(target)s again",
            told.several,
        )
        % told.names,
        _(
            "This execution was committed. Since then somebody applied the migration again, most likely a "
            "deployment or a start-up migration."
        )
        + _answered(told),
        _("The history of %(target)s shows %(versions)s. The rollback is undone.") % told.names,
        (
            _("Stop deployments and start-up migrations of %(service)s.") % told.names,
            _("Take the file out of the release."),
            _("Ask for the rollback anew: this approval is used up."),
        ),
    )


def _answered(told: Told) -> str:
    """What was said to be done about the alarm."""
    if told.execution.alarm_answered_at is None:
        return ""
    words = {"who": told.execution.alarm_answered_by, "why": told.execution.alarm_answer}
    return " " + _("%(who)s answered for the alarm: “%(why)s”") % words


def _succeeded(told: Told) -> Story:
    if told.execution.course == Execution.Course.TAKE_BACK:
        return _taken_back(told)
    if told.execution.reappeared_at:
        return _came_back(told)
    rollback = told.execution.rollback_target.rollback
    certain = _(
        "%(target)s has said that it is committed, every check passed, and its history no longer counts "
        "%(versions)s as applied."
    )
    if not told.execution.target.has_marker:
        certain += " " + _("It ran with a reduced guarantee: this target refuses the marker.")
    return Story(
        "ok",
        _("Committed and verified"),
        ngettext(
            "%(versions)s is undone on %(target)s", "%(versions)s are undone on %(target)s", told.several
        )
        % told.names,
        told.sentence,
        certain % told.names,
        (
            *_pools(told),
            _file(FileFate(rollback.file_fate)) % told.names,
            *_post_mortem(told),
        ),
    )


def _pools(told: Told) -> tuple[str, ...]:
    """What has to be done about open sessions; nothing where the worker saw that there was none."""
    if told.execution.pools == []:
        return ()
    words = _("Recycle the connection pools of %(service)s: prepared statements fail with 0A000 otherwise.")
    return (words % told.names,)


def _file(fate: FileFate) -> str:
    if fate == FileFate.REPLACED:
        return _("Release %(service)s with the corrected file only; the old one would be applied again.")
    if fate == FileFate.SUPERSEDED:
        return _("Keep deployments frozen until the correcting version is in the release of %(service)s.")
    return _("Keep the file out of the next release of %(service)s, or Flyway applies it again.")


def _post_mortem(told: Told) -> tuple[str, ...]:
    if told.post_mortem_due is None:
        return ()
    due = {"due": formats.date_format(timezone.localtime(told.post_mortem_due), "D j M Y, H:i T")}
    if told.post_mortem_due <= timezone.now():
        return (_("Write the post-mortem: it was due %(due)s and is overdue.") % due,)
    return (_("Write the post-mortem: it is due %(due)s.") % due,)


def _unresolved(told: Told) -> Story:
    return Story(
        "lost",
        _("Unresolved"),
        ngettext(
            "We do not know yet whether %(versions)s is undone on %(target)s",
            "We do not know yet whether %(versions)s are undone on %(target)s",
            told.several,
        )
        % told.names,
        told.sentence
        or _("The worker stopped answering, and the target has not been asked successfully since."),
        told.of_transaction(
            _(
                "Either all of it is committed or none of it. It can't run twice. Nothing else can start on "
                "%(target)s."
            )
            % told.names
        ),
        (
            _(
                "See to what it says above: mostly, bring %(target)s back within reach. The outcome then "
                "shows here by itself."
            )
            % told.names,
            _("Do not deploy %(service)s, and do not run the script by hand.") % told.names,
        ),
    )


def _awaiting_restart(told: Told) -> Story:
    waiting = (told.execution.restart or {}).get("settings", [])
    names = {**told.names, "settings": ", ".join(setting["name"] for setting in waiting)}
    certain = _("Everything ran, and what ran in the transaction is committed.")
    if waiting:
        certain += (
            " "
            + ngettext(
                "%(settings)s still has its old value, and keeps it until the restart.",
                "%(settings)s still have their old values, and keep them until the restart.",
                len(waiting),
            )
            % names
        )
    return Story(
        "warn",
        _("Awaiting restart"),
        _("%(target)s needs a restart of PostgreSQL to finish %(versions)s") % names,
        told.sentence,
        certain,
        (
            _("Restart PostgreSQL of %(target)s: nothing else puts these values in force.") % names,
            _("Say so below. A worker sees the restart by itself, asks the checks after it, and ends this."),
        ),
    )


def _committed_check_failed(told: Told) -> Story:
    if told.execution.reappeared_at:
        return _came_back(told)
    return Story(
        "warn",
        _("Committed, a check failed"),
        ngettext(
            "%(versions)s is undone on %(target)s, but a check after the commit failed",
            "%(versions)s are undone on %(target)s, but a check after the commit failed",
            told.several,
        )
        % told.names,
        told.sentence,
        _(
            "It is committed: it neither failed nor was rolled back. The history no longer counts "
            "%(versions)s as applied. The checks before the commit had passed."
        )
        % told.names,
        (
            _("Look at the check below, and at what it found, on %(target)s itself.") % told.names,
            _("Decide: mend forward with a new migration, or accept it and say so in the post-mortem."),
            *_pools(told),
            *_post_mortem(told),
        ),
    )


def _partial(told: Told) -> Story:
    certain = _steps_named(told)
    if told.execution.settled_at is not None:
        settled = (_("Nothing here: it was settled, see below how."),)
        certain = _("As this attempt ended: %(certain)s") % {"certain": certain}
        return Story("warn", _("Partly done"), _partial_title(told), told.sentence, certain, settled)
    alone = any(step.how == ExecutionStep.How.ALONE for step in told.steps)
    todo = [_("Do not run the script again, and do not deploy %(service)s.") % told.names]
    if any(step.state in NOT_KNOWN for step in told.steps):
        todo.append(_("Look at the step whose state is not known, on %(target)s itself.") % told.names)
    if alone:
        todo.append(_("Decide below: go on with the rest, or take back what is done. It is signed for anew."))
    todo.append(_("What is done by hand belongs into the incident; then call it settled by hand."))
    return Story("fail", _("Partly done"), _partial_title(told), told.sentence, certain, tuple(todo))


NOT_KNOWN = (ExecutionStep.State.UNKNOWN, ExecutionStep.State.CLAIMED)


def _partial_title(told: Told) -> str:
    if told.execution.course == Execution.Course.TAKE_BACK:
        return _("Only a part was taken back again on %(target)s") % told.names
    return _("Only a part of %(versions)s is undone on %(target)s") % told.names


def _steps_named(told: Told) -> str:
    """Which steps are done, left in between, not done, and which nobody knows, by number."""
    committed = halfway.COMMITTED in told.execution.marks
    done, between, open_ones, unknown = [], [], [], []
    for step in told.steps:
        if step.state in NOT_KNOWN:
            unknown.append(step.position)
        elif step.state in ENDED and (step.how == ExecutionStep.How.ALONE or committed):
            done.append(step.position)
        elif step.how == ExecutionStep.How.ALONE and step.leftover:
            between.append(step.position)
        else:
            open_ones.append(step.position)
    words = [_("Done, and stays done: %(steps)s.") % {"steps": _numbers(done)}]
    if between:
        words.append(_("Begun, and left in between: %(steps)s.") % {"steps": _numbers(between)})
    words.append(_("Not done: %(steps)s.") % {"steps": _numbers(open_ones)})
    if unknown:
        words.append(_("Not known: %(steps)s.") % {"steps": _numbers(unknown)})
    if committed:
        words.append(_("The history no longer counts %(versions)s as applied.") % told.names)
    else:
        words.append(_("The history counts %(versions)s as applied.") % told.names)
    return " ".join(words)


ENDED = (ExecutionStep.State.DONE, ExecutionStep.State.UNDONE)


def _numbers(positions: list[int]) -> str:
    """`steps 1–3, 5`, or that there is none."""
    if not positions:
        return _("nothing")
    runs: list[list[int]] = []
    for position in positions:
        if runs and position == runs[-1][-1] + 1:
            runs[-1].append(position)
        else:
            runs.append([position])
    shown = ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
    return ngettext("step %(steps)s", "steps %(steps)s", len(positions)) % {"steps": shown}


def _taken_back(told: Told) -> Story:
    """One that took back what was partly done, and came to its end; an added enum value stays for good."""
    title = _("%(target)s is as it was before the rollback of %(versions)s") % told.names
    certain = _(
        "Each statement was answered, and the target was asked: every step that had run is undone. The "
        "history counts %(versions)s as applied."
    )
    if stays := [entry["says"] for entry in told.asked if entry["does"] == "stays"]:
        names = told.names | {"stays": "; ".join(stays)}
        title = _("%(target)s is as it was before the rollback of %(versions)s, but for what stays") % names
        certain += " " + _("For good stays, since PostgreSQL has no way back from it: %(stays)s.")
    else:
        names = told.names
    return Story(
        "ok",
        _("Taken back"),
        title,
        told.sentence,
        certain % names,
        (
            _("This target counts as failed. See on the run's page what becomes of the others.")
            if told.in_run
            else _(
                "The rollback counts as failed. Its requester mends the script, or looks for another way."
            ),
        ),
    )


STORIES: dict[ExecutionStatus, Callable[[Told], Story]] = {
    ExecutionStatus.SUCCEEDED: _succeeded,
    ExecutionStatus.NO_EFFECT: nothing_changed.no_effect,
    ExecutionStatus.ROLLED_BACK: nothing_changed.rolled_back,
    ExecutionStatus.UNRESOLVED: _unresolved,
    ExecutionStatus.AWAITING_RESTART: _awaiting_restart,
    ExecutionStatus.COMMITTED_CHECK_FAILED: _committed_check_failed,
    ExecutionStatus.PARTIAL: _partial,
}
