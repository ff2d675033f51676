"""Data that a migration took away or changed, and that no statement gives back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from executor.schema.inverse.conversions import Conversion
from executor.schema.lost import may_change
from executor.schema.names import dotted, quoted
from executor.schema.objects import Ref, Snapshot

FROM_BACKUP = "Restore from backup"


@dataclass(frozen=True, slots=True)
class FromBackup:
    """Data that the migration took away or changed and that no statement gives back. `line` and `column` are
    the statement's place in the file (None: found by comparing the schemas); `change` is its row in the
    decision matrix; `why` is one sentence. `invertible`: each value of before can be computed back, so that
    rows can show whether a script does that."""

    relation: str
    change: str
    why: str
    line: int | None = None
    column: int | None = None
    advice: str = FROM_BACKUP
    invertible: bool = False

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line else ""
        return f"{place}{self.change} on {self.relation}: {self.why}. {self.advice}."


def data_gone(
    before: Snapshot, after: Snapshot, conversions: Mapping[Ref, Conversion]
) -> Iterator[FromBackup]:
    """Tables and columns whose data the migration dropped, and columns whose values it may have changed.
    Both snapshots are of one database, so that renames are seen."""
    for table in before.of_kind("table"):
        if table["form"] != "f" and table.address not in after.by_address:
            yield FromBackup(dotted(table.ref.path), "DROP TABLE", "it comes back without its rows")
    for column in before.of_kind("column"):
        owner = before.get(Ref("table", column.ref.relation))
        inherited = column["inherited"] and not column["local"]
        if owner is None or owner["form"] == "f" or owner.address not in after.by_address:
            continue
        if column["generated"] or inherited:
            continue
        name, relation = quoted(column.ref.name), dotted(column.ref.relation)
        now = after.by_address.get(column.address)
        computed = conversions.get(column.ref)
        if computed is not None and (now is not None or computed.back):
            change = "ALTER TYPE" if now is not None else "DROP COLUMN"
            why = (
                f"values of {name} were {'computed by an expression' if now else 'brought to another column'}"
            )
            why += f": {computed.why}" if computed.why else ""
            place = (computed.line, computed.column)
            yield FromBackup(relation, change, why, *place, invertible=computed.exact)
        elif now is None:
            yield FromBackup(relation, "DROP COLUMN", f"{name} comes back without its values")
        elif may_change(column["type"], after[now]["type"]):
            into = f"the conversion to {after[now]['type']}"
            yield FromBackup(relation, "ALTER TYPE", f"values of {name} may have been changed by {into}")
