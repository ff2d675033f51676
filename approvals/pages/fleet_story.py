"""A run over many targets in words: what happened, what is certain of its targets, what to do now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from approvals import fleet_progress
from approvals.models import Execution, ExecutionStatus, FleetRun, Status

if TYPE_CHECKING:
    from .fleet_cells import Cell
    from .fleet_page import View

State = FleetRun.State
UNCHANGED = (ExecutionStatus.QUEUED, ExecutionStatus.NO_EFFECT, ExecutionStatus.ROLLED_BACK)


def happened(view: View) -> str:
    """Why the run stands as it does, in a sentence."""
    run = view.run
    if run is None and view.starts:
        return _(
            "Nothing has begun: it is scheduled. The canary %(canary)s begins %(at)s, each other target in "
            "its own window."
        ) % {"canary": view.canary.name, "at": view.starts}
    if run is None:
        return _("Nothing has begun. The canary is %(canary)s.") % {"canary": view.canary.name}
    if run.sentence:
        return run.sentence
    if run.state == State.FINISHED:
        return _("All targets came to an end.")
    if run.state != State.RUNNING:
        return str(run.get_state_display())
    if (cell := view.next_opening) is not None:
        return _("Nothing is under way: the rest waits for its windows. Next is %(name)s; it %(word)s.") % {
            "name": cell.name,
            "word": cell.word,
        }
    if run.wave == 0:
        return _("The canary %(canary)s runs, alone.") % {"canary": view.canary.name}
    return _("Wave %(number)d runs. What comes next is decided when all of it have ended.") % {
        "number": run.wave
    }


def certain(view: View) -> list[str]:
    """What the records say for sure of how many targets, one sentence each; together they are all of them."""
    committed = sum(_is_committed(cell) for cell in view.cells)
    unchanged = sum(_is_unchanged(cell) for cell in view.cells)
    open_ones = view.counts["open"]
    rest = len(view.cells) - committed - unchanged - open_ones
    told = [
        (committed, _("Committed on %(count)d of %(total)d targets, and stays so.")),
        (unchanged, _("Nothing has changed on %(count)d.")),
        (
            open_ones,
            ngettext(
                "%(count)d is under way, and tells by itself how it ends.",
                "%(count)d are under way, and tell by themselves how they end.",
                open_ones,
            ),
        ),
        (rest, _("Of %(count)d it is not known, or only a part is done: named below.")),
    ]
    found = [text % {"count": count, "total": len(view.cells)} for count, text in told if count]
    return found if committed else [_("Committed on none."), *found]


def _is_committed(cell: Cell) -> bool:
    return cell.execution is not None and fleet_progress.is_committed([cell.execution])


def _is_unchanged(cell: Cell) -> bool:
    execution = cell.execution
    if execution is None or (execution.continues_id is None and execution.status in UNCHANGED):
        return True
    return execution.course == Execution.Course.TAKE_BACK and execution.status == ExecutionStatus.SUCCEEDED


def todo(view: View) -> list[str]:
    """What people do now, in order; nothing where it is enough to watch."""
    run, names = view.run, {"service": view.rollback.service.name}
    if run is None and view.starts:
        return [
            _("Nothing: it starts by itself. Until then the start can be cancelled on the page of %(label)s.")
            % {"label": view.rollback.label}
        ]
    if run is None:
        return []
    if view.rollback.status == Status.EXECUTED:
        return [
            _("Keep the file out of the next release of %(service)s, or Flyway applies it again.") % names
        ]
    if view.rollback.status in (Status.PARTLY_EXECUTED, Status.FAILED):
        return _afterwards(view, names)
    if view.counts["unsure"]:
        return [
            _("See to the targets named below: each page says how it stands and what to do."),
            _("Then go on with the run, or end it."),
        ]
    if run.state == State.STOPPED:
        return [
            _("Find out why it failed: the page of each failed target says it."),
            _("Go on if the others will not fail for the same reason; else end the run."),
        ]
    if run.state == State.HELD:
        return [_("Go on with the run when the reason is gone; or end it.")]
    return _meanwhile(view, run)


def _meanwhile(view: View, run: FleetRun) -> list[str]:
    """While it runs: nothing, unless some have failed already."""
    if failed := view.counts["failed"]:
        left = max(run.stop_after - (failed - run.accepted), 1)
        more = ngettext(
            "It stops by itself after %(count)d more failure; hold it now if others will fail for it, too.",
            "It stops by itself after %(count)d more failures; hold it now if others will fail for it, too.",
            left,
        )
        return [_("Find out why it failed: the page of each failed target says it."), more % {"count": left}]
    if view.next_opening is not None:
        return [_("Nothing: each begins by itself when its window opens, also if nobody watches.")]
    return []


def _afterwards(view: View, names: dict[str, str]) -> list[str]:
    """The rollback is over, and not everywhere: the shards differ until somebody sees to it."""
    found = []
    if view.counts["failed"]:
        found.append(_("Find out why it failed: the page of each failed target says it."))
    if view.counts["missed"]:
        found.append(_("See why so many missed their windows: too few workers, or too short a window."))
    if view.rollback.status == Status.PARTLY_EXECUTED:
        found.append(
            _("Do not deploy %(service)s: it is undone on some targets and applied on the others.") % names
        )
    found.append(_("Ask anew for what is left; this approval is used up."))
    return found
