"""What pages of targets and rollbacks say of alarms that nobody has answered for."""

from __future__ import annotations

from typing import Any

from django import template
from django.core.paginator import Page

from approvals import alarms
from approvals.models import Execution, RollbackRequest, Target
from approvals.pages import paging

register = template.Library()

# So many alarms stand above a page: below them it must still be found.
FEW = 5
# What the line of an alarm says.
SHOWN = ("reappeared_at", "target__name", "target__time_zone", "rollback_target__rollback__id")


@register.simple_tag(takes_context=True)
def alarms_of(context: dict[str, Any], subject: Target | RollbackRequest) -> Page[Execution]:
    """Executions on this target, or of this rollback, whose alarm rings, the newest first, in pages; two
    queries."""
    ringing = alarms.ringing().select_related("target", "rollback_target__rollback").only(*SHOWN)
    about = "target" if isinstance(subject, Target) else "rollback_target__rollback"
    found = ringing.filter(**{about: subject})
    return paging.page(context["request"], found, per_page=FEW, parameter="alarms")
