"""What the rollback strategy demands of every rollback: documented, audited, reviewed, improved. And who did
what, so that one sees that nobody signed their own work."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any

from django.db.models import F, FloatField, Max, Min, QuerySet, Value
from django.db.models.functions import Cast, Extract
from django.utils import timezone
from django.utils.translation import gettext as _

from approvals.models import Approval, Execution, Incident, PostMortem, RollbackRequest, RollbackScript, User

OK, WARN, FAIL, WAIT = "ok", "warn", "fail", "wait"


@dataclass(frozen=True)
class Demand:
    """One of the four demands: its name, how it stands, and the sentence that says so."""

    title: str
    state: str
    detail: str

    @property
    def holds(self) -> bool:
        return self.state == OK

    @property
    def icon(self) -> str:
        return "clock" if self.state in (WARN, FAIL) else self.state

    @property
    def tone(self) -> str:
        return "" if self.state == WAIT else self.state


def demands(incident: Incident) -> list[Demand]:
    """How the four demands stand for an incident whose post_mortem and corrected_by are read already."""
    found = getattr(incident, "post_mortem", None)
    return [_documented(found), _audited(incident), _reviewed(found), _improved(incident, found)]


def _documented(found: PostMortem | None) -> Demand:
    if found is None:
        says = _("Reason and impact are there; approvals and outcome come with an execution.")
        return Demand(_("Documented"), WAIT, says)
    says = _("Report with reason, impact, approvals and outcome; written by the portal from facts.")
    return Demand(_("Documented"), OK, says)


def _audited(incident: Incident) -> Demand:
    if incident.change_record:
        says = _("Entry %(entry)s in the change management system; every step is in the trail.")
        return Demand(_("Audited"), OK, says % {"entry": incident.change_record})
    return Demand(_("Audited"), WAIT, _("No entry of the change management system is named yet."))


def _reviewed(found: PostMortem | None) -> Demand:
    title = _("Reviewed")
    if found is None:
        return Demand(title, WAIT, _("The post-mortem is due 48 hours after an execution."))
    if found.submitted_at:
        late = found.submitted_at > found.due_at
        return Demand(
            title, OK, _("Post-mortem handed in late.") if late else _("Post-mortem handed in in time.")
        )
    if found.due_at < timezone.now():
        return Demand(title, FAIL, _("The post-mortem is overdue."))
    return Demand(title, WARN, _("The post-mortem is due."))


def _improved(incident: Incident, found: PostMortem | None) -> Demand:
    title, migration = _("Improved"), incident.corrected_by
    if migration is not None:
        says = _("%(migration)s prevents that it happens again.") % {"migration": migration}
        return Demand(title, OK, says)
    return Demand(title, WAIT, _("No corrected migration is linked yet."))


@dataclass(frozen=True)
class Doers:
    """Who asked, wrote, approved and started, each as names in the order in which they did."""

    asked: list[str]
    wrote: list[str]
    approved: list[str]
    started: list[str]

    @property
    def doubled(self) -> list[str]:
        """Who approved what they had asked for or written. The database refuses that: always empty."""
        return [name for name in self.approved if name in (*self.asked, *self.wrote)]


def who_did_what(rollbacks: QuerySet[RollbackRequest]) -> Doers:
    """Who did what in these rollbacks; two queries, with one row for a person and what they did."""
    keys = rollbacks.order_by().values("pk")
    approvals = Approval.objects.filter(rollback__in=keys, decision=Approval.Decision.APPROVE, voided_at=None)
    real = Execution.objects.filter(rollback_target__rollback__in=keys, purpose=Execution.Purpose.REAL)
    authors = RollbackScript.objects.filter(items__rollback__in=keys, authors__isnull=False)
    first, *rest = (
        _people("asked", rollbacks, "requester", -Max("id")),
        _people("wrote", authors, "authors", Min("id")),
        _people("approved", approvals, "approver", Min("id")),
        _people("started", real, "requested_by", Extract(Min("queued_at"), "epoch")),
    )
    did: dict[str, list[int]] = {"asked": [], "wrote": [], "approved": [], "started": []}
    for what, person, _when in sorted(first.union(*rest, all=True), key=lambda row: row[2]):
        did[what].append(person)
    people = User.objects.in_bulk({0, *chain.from_iterable(did.values())})
    return Doers(**{what: [str(people[pk]) for pk in keys] for what, keys in did.items()})


def _people(
    what: str, things: QuerySet[Any], person: str, when: Any
) -> QuerySet[Any, tuple[str, int, float]]:
    """The people whom these things name, each once, with what they did and a number to order them by."""
    named = things.order_by().annotate(did=Value(what), by=F(person)).values("did", "by")
    first = Cast(when, FloatField())
    found: QuerySet[Any, Any] = named.annotate(first=first).values_list("did", "by", "first")
    return found
