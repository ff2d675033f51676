"""What the text of a step says of its use, where nothing of it is seen in the schema."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from executor.schema.archive import ARCHIVE
from executor.schema.complete.result import Role
from executor.schema.objects import Ref
from executor.schema.reading.said import NOTHING, ROWS, UNREADABLE, Said

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
