"""How a rehearsal ends: one story for each outcome. The target itself was only read."""

from __future__ import annotations

from collections.abc import Callable

from django.utils.translation import gettext as _

from approvals.models import ExecutionStatus

from .telling import Story, Told


def _rehearsed(told: Told) -> Story:
    return Story(
        "ok",
        _("Rehearsal passed"),
        _("The rollback of %(versions)s worked on a clone of %(target)s") % told.names,
        told.sentence,
        _("These exact bytes ran, every check passed. %(target)s itself was only read; the clone is dropped.")
        % told.names,
        (_("Go on with the review: the evidence counts for this change digest only."),),
    )


def _not_rehearsed(told: Told) -> Story:
    return Story(
        "fail",
        _("Rehearsal not passed"),
        _("The rollback of %(versions)s did not work on a clone of %(target)s") % told.names,
        told.sentence,
        _("%(target)s itself was only read. The gate for the rehearsal does not hold.") % told.names,
        (
            _("Look at the failed step or check below."),
            _("The requester mends the script or what stood in the way, and rehearses again."),
        ),
    )


def _rehearsal_lost(told: Told) -> Story:
    return Story(
        "lost",
        _("Unresolved"),
        _("We do not know how the rehearsal on a clone of %(target)s ended") % told.names,
        told.sentence or _("The worker stopped answering."),
        _("%(target)s itself was only read.") % told.names,
        (_("Rehearse again once this one has been cleared away."),),
    )


STORIES: dict[ExecutionStatus, Callable[[Told], Story]] = {
    ExecutionStatus.SUCCEEDED: _rehearsed,
    ExecutionStatus.NO_EFFECT: _not_rehearsed,
    ExecutionStatus.ROLLED_BACK: _not_rehearsed,
    ExecutionStatus.COMMITTED_CHECK_FAILED: _not_rehearsed,
    ExecutionStatus.PARTIAL: _not_rehearsed,
    ExecutionStatus.AWAITING_RESTART: _not_rehearsed,
    ExecutionStatus.UNRESOLVED: _rehearsal_lost,
}
