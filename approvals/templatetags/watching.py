"""What pages of targets and rollbacks say of alarms that nobody has answered for."""

from __future__ import annotations

from django import template

from approvals import alarms
from approvals.models import Execution, RollbackRequest, Target

register = template.Library()


@register.simple_tag
def alarms_of(subject: Target | RollbackRequest) -> list[Execution]:
    """Executions on this target, or of this rollback, whose alarm rings; one query."""
    ringing = alarms.ringing().select_related("target", "rollback_target__rollback")
    if isinstance(subject, Target):
        return list(ringing.filter(target=subject))
    return list(ringing.filter(rollback_target__rollback=subject))
