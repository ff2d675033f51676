"""The five points before a rollback: the system fills what it can know, a person what it can't."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from . import audit, grades, workflow
from .errors import Refused
from .known import Known
from .models import BreakGlass, ChecklistEntry, Evidence, RollbackRequest, User

# What only a person can say: the application's code and the people to tell are outside any database.
BY_PERSON = (ChecklistEntry.Point.DEPENDENCIES, ChecklistEntry.Point.STAKEHOLDERS)


@dataclass(frozen=True)
class Point:
    """One point as it stands: what the system found, what a person confirmed, and whether that is enough.
    `spared`: it is enough because the policy does not ask for it, or not yet, so the point itself need not be
    true."""

    point: ChecklistEntry.Point
    found: str
    entry: ChecklistEntry | None
    by_person: bool
    done: bool
    spared: bool = False

    @property
    def label(self) -> str:
        return str(self.point.label)


def points(rollback: RollbackRequest, known: Known | None = None) -> list[Point]:
    """The five points in their order, with what the latest facts and the backup say.

    `known` spares reading its records again.
    """
    known = known or Known(rollback)
    facts = known.evidence(Evidence.Kind.FACTS)
    data = facts.data if facts and facts.holds else {}
    found = {
        ChecklistEntry.Point.BACKUP: _backup(known),
        ChecklistEntry.Point.SCHEMA_VERSION: _version(data),
        ChecklistEntry.Point.TABLES: _tables(data),
        ChecklistEntry.Point.DEPENDENCIES: _dependents(data),
        ChecklistEntry.Point.STAKEHOLDERS: "",
    }
    # A confirmation for another change says nothing about this one.
    entries = known.confirmations
    return [
        Point(
            point,
            found[point],
            entries.get(point),
            point in BY_PERSON,
            done=(point in entries) if point in BY_PERSON else bool(found[point]),
            spared=point == ChecklistEntry.Point.BACKUP and not _is_backed_up(known),
        )
        for point in ChecklistEntry.Point
    ]


def _is_backed_up(known: Known) -> bool:
    """Whether a backup holds, or has to by now."""
    backup = known.evidence(Evidence.Kind.BACKUP)
    if backup and backup.holds:
        return True
    return known.rule.backup_required and not _comes_later(known) and known.excepted_by is None


def _comes_later(known: Known) -> bool:
    """Is there no rehearsal that would take one, since that is skipped?"""
    rehearsal = BreakGlass.Skip.REHEARSAL
    return known.evidence(Evidence.Kind.BACKUP) is None and known.forced_by(rehearsal) is not None


def _backup(known: Known) -> str:
    backup = known.evidence(Evidence.Kind.BACKUP)
    if backup and backup.holds:
        return backup.sentence
    if not known.rule.backup_required:
        return _("The policy asks for none here.")
    if exception := known.excepted_by:
        return exception.words
    return grades.later() if _comes_later(known) else ""


def _version(data: dict[str, Any]) -> str:
    return (
        _("Schema version %(version)s.") % {"version": data["schema_version"]}
        if data.get("schema_version")
        else ""
    )


def _tables(data: dict[str, Any]) -> str:
    if "tables" not in data:
        return ""
    if not data["tables"]:
        return _("No table with rows is touched.")
    return "; ".join(_table(table) for table in data["tables"])


def _table(table: dict[str, Any]) -> str:
    rows, size = table["rows"], table["bytes"]
    if rows is None or size is None:
        return _("%(name)s (rows not counted)") % {"name": table["relation"]}
    return ngettext("%(name)s (%(rows)s row, %(size)s)", "%(name)s (%(rows)s rows, %(size)s)", rows) % {
        "name": table["relation"],
        "rows": f"{'' if table['exact'] else '≈ '}{rows:,}",
        "size": filesizeformat(size),
    }


def _dependents(data: dict[str, Any]) -> str:
    if "dependents" not in data:
        return ""
    if not data["dependents"]:
        return _("No view, key or function depends on it.")
    return _("Found on the target: %(dependents)s.") % {"dependents": ", ".join(data["dependents"])}


def confirm(rollback: RollbackRequest, point: ChecklistEntry.Point, *, note: str, actor: User) -> None:
    """Record that `actor` vouches for a point that only a person can know. Raises Refused without a note."""
    with audit.unit_of_work("rollback.checklist_confirmed", actor=actor, rollback=rollback) as facts:
        fresh = workflow.locked(rollback)
        workflow.require_party(fresh, actor, workflow.Party.REQUESTER)
        workflow.require(fresh, workflow.EDITABLE)
        if point not in BY_PERSON:
            raise Refused(_("The system fills this point itself."))
        if not note.strip():
            raise Refused(_("Write what you made sure of, and how."))
        ChecklistEntry.objects.update_or_create(
            rollback=fresh,
            point=point,
            defaults={
                "note": note.strip(),
                "change_digest": fresh.change_digest,
                "confirmed_by": actor,
                "confirmed_at": timezone.now(),
            },
        )
        facts |= {"point": point.value, "note_sha256": audit.digest_of(note.strip())}
