"""What a story about an execution is told from, and what it consists of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from approvals.models import Execution, ExecutionStep


@dataclass(frozen=True)
class Story:
    """One state of an execution. `tone` is ok, run, warn, fail, lost or idle; `todo` are steps in order."""

    tone: str
    state: str
    title: str
    happened: str
    certain: str
    todo: tuple[str, ...] = field(default_factory=tuple)


@dataclass(frozen=True)
class Told:
    """What the stories are told from."""

    execution: Execution
    steps: Sequence[ExecutionStep]
    post_mortem_due: datetime | None

    @property
    def real(self) -> bool:
        return self.execution.purpose == Execution.Purpose.REAL

    @property
    def versions(self) -> str:
        return ", ".join(f"V{pin['version']}" for pin in self.execution.rollback_target.pins)

    @property
    def names(self) -> dict[str, str]:
        return {
            "versions": self.versions,
            "target": self.execution.target.name,
            "execution": str(self.execution),
            "service": self.execution.target.service.name,
        }

    @property
    def sentence(self) -> str:
        return self.execution.sentence
