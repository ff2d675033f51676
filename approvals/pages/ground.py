"""What a rehearsal stood on, as people read it: backup and age, clone, what was masked, the tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _

from approvals.masks import Method
from approvals.models import Evidence, Grade
from approvals.pages.incident_page import hours

# A backup this much older than the rehearsal was there before it.
AT_ONCE = timedelta(minutes=30)


@dataclass(frozen=True)
class Ground:
    """Empty where a rehearsal said nothing about it, as those before masking did."""

    service: str
    backup_at: datetime
    grade: str
    age_then: str
    older: bool
    clone: str
    with_rows: bool
    masked_columns: int = 0
    masked_values: int = 0
    masked: list[dict[str, str]] = field(default_factory=list)
    unruled: list[dict[str, str]] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    large_objects: int = 0
    tests: dict[str, Any] | None = None


def read(evidence: Evidence | None, service: str) -> Ground | None:
    """What the evidence of a rehearsal says; no query."""
    if evidence is None or "filled" not in evidence.data:
        return None
    data, filled = evidence.data, evidence.data["filled"]
    at = datetime.fromisoformat(data["backup"]["at"])
    age = evidence.at - at
    return Ground(
        service=service,
        backup_at=at,
        grade=_grade(data["backup"]),
        age_then=hours(age) if age >= timedelta(hours=1) else _("less than an hour"),
        older=age > AT_ONCE,
        clone=_clone(data),
        with_rows=filled["with_rows"],
        masked_columns=filled["masked_columns"],
        masked_values=filled["masked_values"],
        masked=[{"column": each["column"], "how": _how(each)} for each in filled["masked"]],
        unruled=filled["unruled"],
        unused=filled["unused"],
        large_objects=filled["large_objects"],
        tests=data.get("tests"),
    )


def _clone(data: dict[str, Any]) -> str:
    if not data["clone"]:
        return _("restored on a server of its own, thrown away afterwards")
    if data["reused"]:
        return _("a copy of one that was there, since nothing had changed")
    return _("made for it, and kept for the next one")


def _how(each: dict[str, Any]) -> str:
    """By which rule a column was masked, and how many values."""
    by = {
        "name": _("%(rule)s, by its name"),
        "content": _("%(rule)s, by what it holds"),
        "key": _("%(rule)s, over a foreign key"),
        "rule": _("the service’s rule %(rule)s"),
    }[each["by"]] % {"rule": each["rule"]}
    return _("%(values)d values: %(method)s (%(by)s)") % {
        "values": each["values"],
        "method": Method(each["method"]).label,
        "by": by,
    }


def _grade(backup: dict[str, Any]) -> str:
    """What the backup was worth that the clone was made of."""
    return _("by exception") if backup.get("by_exception") else str(Grade(backup["grade"]).label)
