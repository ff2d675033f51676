"""What a story about an execution is told from, and what it consists of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.utils import formats, timezone
from django.utils.translation import gettext as _

from approvals.models import Backup, Execution, ExecutionStep


@dataclass(frozen=True)
class Story:
    """One state of an execution. `tone` is ok, run, warn, fail, lost or idle; `todo` are steps in order."""

    tone: str
    state: str
    title: str
    happened: str
    certain: str
    todo: tuple[str, ...] = field(default_factory=tuple)


class Step(NamedTuple):
    """What has to be known of every step of an execution, however many it has."""

    pk: int
    position: int
    says: str
    state: str
    how: str
    claimed_at: datetime | None
    # What clears away, or finishes, what a failure left of it.
    leftover: Sequence[str] = ()


@dataclass(frozen=True)
class Told:
    """What the stories are told from."""

    execution: Execution
    steps: Sequence[Step]
    post_mortem_due: datetime | None
    backups: Sequence[Backup] = ()
    # Its preflight said no-go.
    no_go: bool = False

    @property
    def real(self) -> bool:
        return self.execution.purpose == Execution.Purpose.REAL

    @property
    def in_run(self) -> bool:
        """Is it one of many targets? Then its run decides what follows."""
        return self.execution.run_id is not None

    @property
    def versions(self) -> str:
        return ", ".join(f"V{pin['version']}" for pin in self.execution.rollback_target.pins)

    @property
    def several(self) -> int:
        """How many migrations it is about, for words that count."""
        return len(self.execution.rollback_target.pins)

    @property
    def names(self) -> dict[str, str]:
        return {
            "versions": self.versions,
            "target": self.execution.target.name,
            "execution": str(self.execution),
            "service": self.execution.target.service.name,
        }

    @property
    def asked(self) -> list[dict[str, Any]]:
        """What people signed for where it continues another: what becomes of each step of that."""
        continuation = self.execution.continuation
        return [] if continuation is None else continuation.steps["steps"]

    @property
    def sentence(self) -> str:
        """How it ended, in the executor's words, and who asked for the end where somebody did."""
        said = self.execution.sentence
        if self.execution.cancel_requested_at is None or self.execution.is_open:
            return said
        words = {"who": self.execution.cancel_requested_by, "why": self.execution.cancelled_because}
        return f"{said} " + _("%(who)s cancelled it: “%(why)s”") % words

    @property
    def locking(self) -> bool:
        """Does it try for the locks? The script has not begun then."""
        return "lock" in self.execution.marks and not {"script", "checks"} & self.execution.marks.keys()

    @property
    def alone(self) -> bool:
        """Does a step of it run alone? What one has done stays, whatever becomes of the transaction."""
        return any(step.how == ExecutionStep.How.ALONE for step in self.steps)

    def of_transaction(self, certain: str) -> str:
        """What is certain of the transaction, with what stays beside it where steps run alone."""
        if not self.alone or not self.real:
            return certain
        begun = [step for step in self.steps if step.how == ExecutionStep.How.ALONE and step.claimed_at]
        if not begun:
            return certain + " " + _("Steps that run alone stay done once they ran; none has begun.")
        numbers = ", ".join(str(step.position) for step in begun)
        return _("Begun alone, and not taken back with the transaction: %(steps)s.") % {"steps": numbers} + _(
            " Of the transaction: %(certain)s"
        ) % {"certain": certain}

    def until(self, mark: str, limit: str) -> str:
        """When a limit that began at this mark is over at the latest, for the reader; empty if not known."""
        began, seconds = self.execution.marks.get(mark), self.execution.limits.get(limit)
        if began is None or seconds is None:
            return ""
        return clock(datetime.fromisoformat(began) + timedelta(seconds=seconds))


def clock(at: datetime) -> str:
    """A time of today, to the second."""
    return formats.date_format(timezone.localtime(at), "H:i:s T")
