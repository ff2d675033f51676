"""What can only be read: rows that a script changes on a scratch server that has none, and settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from executor.schema.archive import ARCHIVE
from executor.schema.complete.result import Fate, Finding, Role
from executor.schema.inverse.from_backup import FROM_BACKUP, FromBackup
from executor.schema.inverse.rows import RowChanges
from executor.schema.names import dotted
from executor.schema.objects import Ref
from executor.schema.reading.said import NOTHING, ROWS, UNREADABLE, Said, written

TAKES_BACK = {
    "INSERT DATA": ("DELETE DATA", "TRUNCATE"),
    "COPY IN": ("DELETE DATA", "TRUNCATE"),
    "UPDATE DATA": ("UPDATE DATA", "MERGE DATA"),
    "ALTER TYPE": ("UPDATE DATA", "MERGE DATA"),
    "DROP COLUMN": ("UPDATE DATA", "MERGE DATA"),
    "MERGE DATA": ("UPDATE DATA", "MERGE DATA", "DELETE DATA"),
    "DELETE DATA": ("INSERT DATA", "COPY IN"),
    "TRUNCATE": ("INSERT DATA", "COPY IN"),
    "DROP TABLE": ("INSERT DATA", "COPY IN"),
}
"""What a script must do to rows of a table so that it may be meant to take back a change there."""


def row_findings(
    changes: RowChanges,
    gone: Sequence[FromBackup],
    script: Sequence[tuple[int, Said]],
    undone: Mapping[Ref, int],
) -> list[Finding]:
    """The effects of a migration on rows. `script` are pairs of step and effect; `undone` are tables from
    which a step was seen to take the added rows."""
    found: dict[str, Finding] = {}
    for deletion in changes.deletions:
        key = f"added rows to table {written('table', deletion.action.ref.path)}"
        step = undone.get(deletion.action.ref)
        fate = Fate.UNDONE if step else Fate.NOT_UNDONE
        found[key] = Finding(key, key, fate, (step,) if step else (), "", deletion.line)
    for gap in [*changes.gaps, *gone]:
        key = f"{gap.change} on table {gap.relation.removeprefix('public.')}"
        steps = tuple(
            dict.fromkeys(
                step
                for step, said in script
                if said.what == ROWS
                and dotted(said.name) == gap.relation
                and said.attribute in TAKES_BACK.get(gap.change, ())
            )
        )
        reason = f"{gap.why}; seen only by reading" if steps else f"{gap.why}. {FROM_BACKUP}"
        fate = Fate.UNDONE if steps else Fate.NOT_UNDONE
        known = found.get(key)
        if known is None or known.fate is Fate.UNDONE:
            found[key] = Finding(key, f"{key}: {gap.why}", fate, steps, reason, gap.line, measured=False)
    return list(found.values())


KEEPS = "it keeps data in place"


def keeps(said: Sequence[Said]) -> bool:
    """Whether a step only has to do with the archive of kept data."""
    return bool(said) and all(each.name[:1] == (ARCHIVE,) for each in said)


def claimed(said: Sequence[Said], touched: Collection[Ref]) -> tuple[Role, str] | None:
    """The role of a step that changed no schema, by its text; None where its text says nothing either."""
    if keeps(said):
        return Role.HELPS, KEEPS
    rows = [each for each in said if each.what == ROWS]
    if rows:
        if all(Ref("table", each.name) in touched for each in rows):
            return Role.HELPS, "it changes rows of what the migration touched"
        return Role.FOREIGN, f"it changes rows: {rows[0]}"
    if any(each.what == UNREADABLE for each in said):
        return Role.UNREADABLE, "; ".join(each.attribute for each in said if each.what == UNREADABLE)
    if said and all(each.what == NOTHING for each in said):
        return Role.HELPS, "it changes nothing that lasts"
    return None
