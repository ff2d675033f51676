"""Rules of masking of a service: who makes one, who confirms it, and which are in force.

One that masks is in force at once, since waiting for a second person could be what leaks; taking it away
takes two. One that keeps values as they are is the other way round.
"""

from __future__ import annotations

import re

from django.utils import timezone
from django.utils.translation import gettext as _

from . import audit, second_person
from .errors import Refused
from .masks import Masking, Method, Rule
from .models import MaskingRule, Role, Service, User

PROPOSES = frozenset({Role.ADMIN})
# The second person.
CONFIRMS = frozenset({Role.ADMIN, Role.SENIOR_DBA, Role.PLATFORM_LEAD})
# So many rules may a service have: each is compared with every column.
MOST = 500
_COLUMNS = re.compile(r"[^.\s]+\.[^.\s]+\.[^.\s]+")


def in_force(service: Service) -> tuple[Rule, ...]:
    """The rules that count, always in the same order; one query."""
    found = MaskingRule.objects.filter(service=service, removed_at=None).order_by("columns", "method", "id")
    return tuple(Rule(rule.columns, rule.method) for rule in found if rule.in_force)


def masking_for(service: Service, *, with_rows: bool = True) -> Masking:
    """How clones of this service's targets are filled now."""
    return Masking(in_force(service) if with_rows else (), with_rows)


def propose(service: Service, *, columns: str, method: str, reason: str = "", actor: User) -> MaskingRule:
    """Make a rule: in force at once if it masks, else once somebody confirms it. Raises Denied unless the
    actor is an admin, Refused for what names no columns, has one already, or keeps without a reason."""
    with audit.unit_of_work("masking.proposed", actor=actor) as facts:
        second_person.require(actor, PROPOSES)
        columns, reason = columns.strip(), reason.strip()
        if not _COLUMNS.fullmatch(columns):
            raise Refused(_("Name columns as schema.table.column; * and ? stand for any."))
        if method not in Method.values:
            raise Refused(_("Choose what becomes of the values."))
        if method == Method.KEEP and not reason:
            raise Refused(_("Say why these values may be seen as they are; the second person reads that."))
        Service.objects.select_for_update(no_key=True).get(pk=service.pk)
        standing = MaskingRule.objects.filter(service=service, removed_at=None)
        if standing.filter(columns=columns).exists():
            raise Refused(_("There is a rule for exactly these columns; take that away first."))
        if standing.count() >= MOST:
            raise Refused(_("%(service)s has %(most)d rules already.") % {"service": service, "most": MOST})
        rule = MaskingRule.objects.create(
            service=service, columns=columns, method=method, reason=reason, proposed_by=actor
        )
        facts |= _facts_of(rule)
    return rule


def confirm(rule: MaskingRule, *, actor: User) -> MaskingRule:
    """The second person: it is in force, or it is gone. Raises Denied for whoever asked, and Refused where
    nothing waits."""
    removes = rule.removal_at is not None
    with audit.unit_of_work(f"masking.{'removed' if removes else 'confirmed'}", actor=actor) as facts:
        rule = _locked(rule)
        second_person.confirm(rule, actor, CONFIRMS, removes=removes)
        rule.save()
        facts |= _facts_of(rule)
    return rule


def remove(rule: MaskingRule, *, actor: User) -> MaskingRule:
    """Ask for a rule that masks to be taken away, which somebody else confirms; take one that keeps away.
    Raises Denied or Refused."""
    at_once = rule.keeps
    with audit.unit_of_work(f"masking.{'removed' if at_once else 'removal_asked'}", actor=actor) as facts:
        rule = _locked(rule)
        second_person.require(actor, CONFIRMS if at_once else PROPOSES)
        if rule.removed_at is not None or rule.removal_at is not None:
            raise Refused(_("It is gone, or somebody asked for that already."))
        if at_once:
            rule.removed_by, rule.removed_at = actor, timezone.now()
        else:
            rule.removal_by, rule.removal_at = actor, timezone.now()
        rule.save()
        facts |= _facts_of(rule)
    return rule


def dismiss(rule: MaskingRule, *, actor: User) -> MaskingRule:
    """Say no: a rule that keeps comes to nothing, one that masks stays. Raises Denied or Refused."""
    with audit.unit_of_work("masking.dismissed", actor=actor) as facts:
        rule = _locked(rule)
        facts["what"] = second_person.dismiss(rule, actor, CONFIRMS)
        rule.save()
        facts |= _facts_of(rule)
    return rule


def why_not_confirm(rule: MaskingRule, actor: User) -> str:
    """Why this person can't be the second one, as a sentence; empty if they can."""
    return second_person.why_not_confirm(rule, actor, CONFIRMS)


def _locked(rule: MaskingRule) -> MaskingRule:
    locked = MaskingRule.objects.select_for_update(of=("self",), no_key=True)
    return locked.select_related("service").get(pk=rule.pk)


def _facts_of(rule: MaskingRule) -> dict[str, object]:
    """What a rule says, as events keep it: free text by its digest."""
    return {
        "rule": rule.pk,
        "service": rule.service.name,
        "columns": rule.columns,
        "method": rule.method,
        **audit.digests(rule, "reason"),
    }
