"""The report of an incident, assembled from facts: its rollbacks, decisions, attempts, duration and loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Prefetch, QuerySet
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from approvals.models import (
    Approval,
    Backup,
    BackupException,
    BreakGlass,
    Execution,
    ExecutionStatus,
    Incident,
    RollbackRequest,
)
from approvals.queries import SUBJECTS, names_of

from .compliance import Demand, Doers, demands, who_did_what
from .incident_page import Moment, Timeline, hours

# After these the target's schema is the earlier one.
DONE = (ExecutionStatus.SUCCEEDED, ExecutionStatus.COMMITTED_CHECK_FAILED)

BACKUPS = 20
"""So many of an incident's backups are named; an attempt takes one."""

# What the report says of rollbacks and attempts, and of the people in them.
SHOWN_OF_ROLLBACKS = (
    "status",
    "forced",
    "excepted",
    "risk",
    "incident_id",
    *names_of("requester"),
)
SHOWN_OF_ATTEMPTS = (
    "status",
    "sentence",
    "queued_at",
    "claimed_at",
    "finished_at",
    "target__name",
    "target__time_zone",
    *names_of("requested_by"),
    "rollback_target__rollback__id",
)


@dataclass(frozen=True)
class Attempt:
    """One execution as the report tells it."""

    execution: Execution

    @property
    def label(self) -> str:
        return self.execution.rollback_target.rollback.label

    @property
    def began(self) -> datetime:
        return self.execution.claimed_at or self.execution.queued_at

    @property
    def seconds(self) -> float | None:
        """From the claim to the end; None while it runs."""
        ended = self.execution.finished_at
        return (ended - self.began).total_seconds() if ended else None


class Report:
    """Everything the report says; each part is read once, when it is asked for."""

    def __init__(self, incident: Incident) -> None:
        self.incident = incident

    @property
    def rollbacks(self) -> QuerySet[RollbackRequest]:
        """The newest first, each with everything that its line says and every decision of a person on it,
        voided ones included, oldest first."""
        decisions = Approval.objects.select_related("approver").order_by("at", "id")
        found = self.incident.rollbacks.select_related("requester").only(*SHOWN_OF_ROLLBACKS).order_by("-id")
        forced = BreakGlass.objects.filter(confirmed_at__isnull=False).select_related(*BreakGlass.PEOPLE)
        return found.prefetch_related(
            *SUBJECTS,
            Prefetch("approvals", decisions),
            Prefetch("break_glass", forced, to_attr="glasses"),
            Prefetch("backup_exceptions", _granted(), to_attr="exceptions"),
        )

    @cached_property
    def _keys(self) -> list[int]:
        """The primary keys of the rollbacks."""
        return list(self.incident.rollbacks.order_by().values_list("pk", flat=True))

    @property
    def attempts(self) -> QuerySet[Execution]:
        """Executions on the targets themselves, the newest first; rehearsals are in the line of time."""
        found = Execution.objects.filter(
            rollback_target__rollback__incident=self.incident, purpose=Execution.Purpose.REAL
        )
        related = found.select_related("target", "requested_by", "rollback_target__rollback")
        return related.only(*SHOWN_OF_ATTEMPTS).order_by("-queued_at", "-id")

    @cached_property
    def timeline(self) -> Timeline:
        """What happened, the newest first."""
        return Timeline(self.incident, self._keys)

    @cached_property
    def demands(self) -> list[Demand]:
        return demands(self.incident)

    @cached_property
    def doers(self) -> Doers:
        return who_did_what(self.incident.rollbacks.order_by("-id"))

    @cached_property
    def recovered(self) -> Attempt | None:
        """The last attempt that took something back."""
        last = self.attempts.filter(status__in=DONE).first()
        return Attempt(last) if last else None

    @property
    def recovered_in(self) -> str:
        """From the opening of the incident to the end of that attempt; empty where nothing was taken back."""
        if self.recovered is None or self.recovered.execution.finished_at is None:
            return ""
        return hours(max(self.recovered.execution.finished_at - self.incident.opened_at, timedelta(0)))

    @cached_property
    def lost(self) -> list[str]:
        """What stays lost, as approvers acknowledged it for what was then executed."""
        ran = self.attempts.order_by().values("rollback_target__rollback")
        found = Approval.objects.filter(rollback__in=ran, voided_at=None).exclude(acknowledged="")
        return list(dict.fromkeys(found.order_by("at", "id").values_list("acknowledged", flat=True)))

    @cached_property
    def backups(self) -> list[Backup]:
        """What was backed up before the attempts, the newest first: what each may be relied on for says its
        word."""
        found = Backup.objects.filter(
            execution__rollback_target__rollback__incident=self.incident,
            execution__purpose=Execution.Purpose.REAL,
        )
        return list(found.select_related("target", "execution").order_by("-pk")[:BACKUPS])

    def as_text(self) -> str:
        """The facts as plain text in UTC, for somebody to take over into the post-mortem."""
        return "\n".join([*_moments(self.timeline[::-1]), *self._ended()])

    def _ended(self) -> Iterator[str]:
        forced = BreakGlass.objects.filter(rollback__in=self._keys, confirmed_at__isnull=False)
        for glass in forced.select_related(*BreakGlass.PEOPLE).order_by("id"):
            yield _(
                "RB-%(rollback)s was forced past %(what)s: %(asked)s asked, %(confirmed)s confirmed it."
            ) % {
                "rollback": glass.rollback_id,
                "what": glass.words,
                "asked": glass.proposed_by,
                "confirmed": glass.confirmed_by,
            }
        for exception in _granted().filter(rollback__in=self._keys).order_by("id"):
            yield f"RB-{exception.rollback_id}: {exception.words}."
        if self.recovered_in:
            yield _("Recovered %(span)s after the incident was opened.") % {"span": self.recovered_in}
        for backup in self.backups:
            yield _("Backup before %(execution)s on %(target)s: %(word)s.") % {
                "execution": backup.execution,
                "target": backup.target,
                "word": backup.word,
            }
        for each in self.lost:
            yield _("Acknowledged as lost: %(what)s.") % {"what": each}


def _granted() -> QuerySet[BackupException]:
    """Exceptions instead of a backup that three people signed."""
    found = BackupException.objects.filter(granted_at__isnull=False).select_related(*BackupException.PEOPLE)
    return found.prefetch_related("signatures__person")


def _moments(moments: Sequence[Moment]) -> Iterator[str]:
    for moment in moments:
        at = moment.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
        parts = (moment.who, moment.says, moment.rollback, moment.text)
        yield f"{at}  {' '.join(part for part in parts if part)}"
