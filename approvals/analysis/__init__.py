"""Reading SQL: statements, their kind, risk, data loss and locks. Plain Python, no Django."""

from __future__ import annotations

from approvals.analysis.hazards import HAZARDS, Hazard
from approvals.analysis.matrix import MATRIX, MatrixRow
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
from approvals.analysis.planning import plan_check, plan_script
from approvals.analysis.rating import automatic_checks, rate
from approvals.analysis.reading import analyze
from approvals.analysis.splitting import split_script

__all__ = [
    "HAZARDS",
    "MATRIX",
    "Analysis",
    "AutomaticCheck",
    "Destroyed",
    "Facts",
    "Hazard",
    "Lock",
    "LockMode",
    "MatrixRow",
    "Plan",
    "Problem",
    "Rating",
    "Reason",
    "Risk",
    "Statement",
    "Step",
    "StepKind",
    "TakenOver",
    "analyze",
    "as_json",
    "automatic_checks",
    "plan_check",
    "plan_script",
    "rate",
    "split_script",
]
