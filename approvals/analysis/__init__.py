"""Reading SQL: statements, their kind, risk, data loss and locks. Plain Python, no Django."""

from __future__ import annotations

from approvals.analysis.model import (
    Analysis,
    AutomaticCheck,
    Destroyed,
    Facts,
    Lock,
    LockMode,
    Plan,
    Problem,
    Rating,
    Reason,
    Risk,
    Statement,
    Step,
    StepKind,
    TakenOver,
    as_json,
)

__all__ = [
    "Analysis",
    "AutomaticCheck",
    "Destroyed",
    "Facts",
    "Lock",
    "LockMode",
    "Plan",
    "Problem",
    "Rating",
    "Reason",
    "Risk",
    "Statement",
    "Step",
    "StepKind",
    "TakenOver",
    "as_json",
]
