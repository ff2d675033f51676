"""Is what is stored still what people asked for and signed? Worked out anew, from the bytes."""

from __future__ import annotations

from django.utils.translation import gettext as _

from . import digests, policy
from .models import Execution, RollbackRequest


def unapproved(execution: Execution) -> str:
    """Why what is stored now is not what was asked for and approved, as a sentence; empty if it is."""
    rollback = execution.rollback_target.rollback
    if problem := _other_script(rollback):
        return problem
    if digests.change_digest(rollback) != execution.change_digest:
        return _("The change is not the one that was asked for: its digest differs.")
    if execution.purpose == Execution.Purpose.REHEARSAL:
        return ""
    if rollback.request_digest != execution.request_digest:
        return _("The request is not the one that was approved: its digest differs.")
    if problem := changed(rollback):
        return problem
    if policy.missing_signatures(rollback):
        return _("An approval is missing or no longer counts.")
    return ""


def changed(rollback: RollbackRequest) -> str:
    """How a submitted rollback, worked out anew, differs from what people signed, as a sentence; empty if it
    doesn't.

    Its own records can't have changed, but the service's placeholders or the target's settings can.
    """
    if problem := _other_script(rollback):
        return problem
    if digests.change_digest(rollback) != rollback.change_digest:
        return _("The change is not the one that was approved: its digest differs.")
    if digests.request_digest(rollback) != rollback.request_digest:
        return _("The request is not the one that was approved: its digest differs.")
    return ""


def _other_script(rollback: RollbackRequest) -> str:
    for item in rollback.items.select_related("script", "migration"):
        if item.script is None or digests.text_sha256(item.script.sql) != item.script.sha256:
            return _("The script of %(migration)s is not the one whose digest was recorded.") % {
                "migration": item.migration
            }
    return ""
