"""Is what is stored still what people asked for and signed? Worked out anew, from the bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from . import digests, policy
from .models import Execution, PolicyRule, RollbackItem, RollbackRequest


@dataclass
class Reading:
    """What was read to answer `unapproved`, so that what is done next is done with the very rows that were
    hashed; `rule` is there only where signatures were asked for."""

    items: list[RollbackItem] = field(default_factory=list)
    rule: PolicyRule | None = None


def unapproved(execution: Execution, reading: Reading | None = None) -> str:
    """Why what is stored now is not what was asked for and approved, as a sentence; empty if it is. What was
    read for it is left in `reading`."""
    reading = reading or Reading()
    rollback = execution.rollback_target.rollback
    reading.items = items = digests.items_of(rollback)
    if problem := _other_script(items):
        return problem
    if digests.change_digest(rollback, items) != execution.change_digest:
        return _("The change is not the one that was asked for: its digest differs.")
    if execution.purpose == Execution.Purpose.REHEARSAL:
        return ""
    if rollback.request_digest != execution.request_digest:
        return _("The request is not the one that was approved: its digest differs.")
    if problem := changed(rollback, items):
        return problem
    # The way back has signatures of its own, and must not be shut with somebody's account.
    if execution.course == Execution.Course.TAKE_BACK:
        return ""
    reading.rule = policy.rule_for(rollback)
    if policy.missing_signatures(rollback, reading.rule):
        return _("An approval is missing or no longer counts.")
    return ""


def changed(rollback: RollbackRequest, items: Sequence[RollbackItem] | None = None) -> str:
    """How a submitted rollback, worked out anew, differs from what people signed, as a sentence; empty if it
    doesn't. `items` (of `digests.items_of`, just read) spares reading them.

    Its own records can't have changed, but the service's placeholders or the target's settings can.
    """
    items = digests.items_of(rollback) if items is None else items
    if problem := _other_script(items):
        return problem
    change = digests.change_digest(rollback, items)
    if change != rollback.change_digest:
        return _("The change is not the one that was approved: its digest differs.")
    if digests.request_digest(rollback, change=change) != rollback.request_digest:
        return _("The request is not the one that was approved: its digest differs.")
    return ""


def _other_script(items: Sequence[RollbackItem]) -> str:
    for item in items:
        if item.script is None or digests.text_sha256(item.script.sql) != item.script.sha256:
            return _("The script of %(migration)s is not the one whose digest was recorded.") % {
                "migration": item.migration
            }
    return ""
