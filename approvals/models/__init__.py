"""Every record of what people decide, one module per concept."""

from .audit import AuditEvent
from .backup_exceptions import BackupException, ExceptionSignature
from .backups import BaseBackup, Grade, Scope
from .break_glass import BreakGlass
from .calendar import CalendarEntry, Schedule
from .catalog import (
    Environment,
    HistoryRow,
    Migration,
    MigrationRevision,
    Service,
    Target,
)
from .clones import MaskingRule, RehearsalClone
from .comments import Comment, Look, Thread
from .contacts import Contact
from .executions import (
    BUSY,
    OPEN,
    Backup,
    Continuation,
    ContinuationApproval,
    Execution,
    ExecutionLog,
    ExecutionStatus,
    ExecutionStep,
)
from .fleets import FleetRun
from .imports import ImportRequest, ImportRun, ImportToken
from .incidents import Incident, IncidentAction, IncidentNote, PostMortem
from .jobs import Job
from .people import Role, Team, User
from .policy import PolicyRule, PolicyVersion
from .proofs import Generation, Proof
from .rollbacks import (
    Approval,
    ChecklistEntry,
    Evidence,
    FileFate,
    HistoryTreatment,
    RollbackItem,
    RollbackRequest,
    RollbackTarget,
    Status,
    Urgency,
)
from .scripts import SETS_PARAMETERS, Check, RollbackScript, Stage
from .trials import Trial

__all__ = [
    "BUSY",
    "OPEN",
    "SETS_PARAMETERS",
    "Approval",
    "AuditEvent",
    "Backup",
    "BackupException",
    "BaseBackup",
    "BreakGlass",
    "CalendarEntry",
    "Check",
    "ChecklistEntry",
    "Comment",
    "Contact",
    "Continuation",
    "ContinuationApproval",
    "Environment",
    "Evidence",
    "ExceptionSignature",
    "Execution",
    "ExecutionLog",
    "ExecutionStatus",
    "ExecutionStep",
    "FileFate",
    "FleetRun",
    "Generation",
    "Grade",
    "HistoryRow",
    "HistoryTreatment",
    "ImportRequest",
    "ImportRun",
    "ImportToken",
    "Incident",
    "IncidentAction",
    "IncidentNote",
    "Job",
    "Look",
    "MaskingRule",
    "Migration",
    "MigrationRevision",
    "PolicyRule",
    "PolicyVersion",
    "PostMortem",
    "Proof",
    "RehearsalClone",
    "Role",
    "RollbackItem",
    "RollbackRequest",
    "RollbackScript",
    "RollbackTarget",
    "Schedule",
    "Scope",
    "Service",
    "Stage",
    "Status",
    "Target",
    "Team",
    "Thread",
    "Trial",
    "Urgency",
    "User",
]
