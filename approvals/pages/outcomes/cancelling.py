"""What cancelling does: not the same at every moment."""

from __future__ import annotations

from django.utils.translation import gettext as _

from approvals import halfway
from approvals.attempts import ATTEMPTS
from approvals.models import Execution, ExecutionStatus, ExecutionStep

from .telling import Told


def cancelling(execution: Execution) -> str:
    """What happens if this execution is cancelled now, and what becomes of the approvals."""
    told = Told(execution, (), None)
    status = ExecutionStatus(execution.status)
    if not told.real:
        said = _(
            "The rehearsal ends and its clone is dropped. %(target)s is only read. Nothing is proven, and it "
            "can be asked for again."
        )
    elif status == ExecutionStatus.QUEUED:
        said = _("No worker has taken it yet, so it ends at once and nothing runs on %(target)s.") + _kept(
            told
        )
    elif status == ExecutionStatus.BACKUP and not told.locking:
        said = _("The dump ends, the script never begins, and nothing changes on %(target)s.") + _kept(told)
    elif execution.steps.filter(how=ExecutionStep.How.ALONE).exclude(claimed_at=None).exists():
        said = _(
            "The worker ends its own session on %(target)s. Steps that ran alone stay done: the execution is "
            "partly done then, and what becomes of that is asked and signed for anew."
        )
    elif told.locking or status in (ExecutionStatus.CLAIMED, ExecutionStatus.PREFLIGHT):
        said = _(
            "The worker ends before the script begins and lets go of every lock it has. Nothing changes on "
            "%(target)s."
        ) + _kept(told)
    else:
        said = " ".join(
            (
                _(
                    "The worker ends its own session on %(target)s, and PostgreSQL takes every statement of "
                    "the script back."
                ),
                _in_run() if told.in_run else _("Every approval is void then."),
                _(
                    "If COMMIT is sent before the worker hears of it, it is too late: the page says how it "
                    "ended only after the target has said so."
                ),
            )
        )
    return said % told.names


def _in_run() -> str:
    return _("The target counts as failed then; as many failures as were set stop the run.")


def _kept(told: Told) -> str:
    """Without effect the approvals stay, but not for ever; one of many targets counts as failed."""
    continues = told.execution.continues_id is not None
    if told.in_run and not continues:
        return " " + _in_run()
    made = told.execution.rollback_target.rollback.attempts
    if continues:
        made = halfway.attempt(told.execution)
    if continues and made >= ATTEMPTS:
        said = _("It is the last of %(most)d attempts: the signatures for it are used up then.")
    elif continues:
        said = _("The signatures for it still count; it was attempt %(made)d of %(most)d.")
    elif made >= ATTEMPTS:
        said = _("It is the last of %(most)d attempts: every approval is void then.")
    else:
        said = _("The approvals still count; it was attempt %(made)d of %(most)d.")
    return " " + said % {"made": made, "most": ATTEMPTS}
