"""Constraints: ADD, DROP, VALIDATE and ALTER CONSTRAINT."""

from __future__ import annotations

from approvals.analysis import names
from approvals.analysis.kinds.common import Action
from approvals.analysis.model import Lock, LockMode
from approvals.analysis.parser import pb
from approvals.analysis.registry import (
    ACCESS_EXCLUSIVE,
    CASCADE,
    ROW_SHARE,
    SHARE_ROW,
    SHARE_UPDATE,
    bare,
    registered,
)

_KEYS = (pb.CONSTR_UNIQUE, pb.CONSTR_PRIMARY, pb.CONSTR_EXCLUSION)
_WORDS = {
    pb.CONSTR_FOREIGN: "FOREIGN KEY",
    pb.CONSTR_CHECK: "CHECK",
    pb.CONSTR_UNIQUE: "UNIQUE",
    pb.CONSTR_PRIMARY: "PRIMARY KEY",
    pb.CONSTR_EXCLUSION: "EXCLUDE",
    pb.CONSTR_NOTNULL: "NOT NULL",
}
_CHECKED_BY = {
    pb.CONSTR_FOREIGN: "validate-foreign-key",
    pb.CONSTR_CHECK: "validate-check",
    pb.CONSTR_NOTNULL: "validate-not-null",
}


@registered("alter_table_cmd", pb.AT_AddConstraint)
class AddConstraint(Action):
    """ADD CONSTRAINT: looks at every row, unless NOT VALID or built on a ready index."""

    change = "ADD CONSTRAINT"

    @property
    def _unchecked(self) -> bool:
        return bool(self.definition.skip_validation)

    @property
    def name(self) -> str:
        word = _WORDS.get(self.definition.contype, "CONSTRAINT")
        return f"ADD {word}" + (" NOT VALID" if self._unchecked else "")

    @property
    def hazard(self) -> str:
        if self._unchecked:
            return "constraint-not-valid"
        if self.definition.contype in _KEYS:
            return "catalog-change" if self.definition.indexname else "build-unique"
        return _CHECKED_BY.get(self.definition.contype, "unreadable")

    @property
    def mode(self) -> LockMode:
        return SHARE_ROW if self.definition.contype == pb.CONSTR_FOREIGN else ACCESS_EXCLUSIVE

    @property
    def cost(self) -> str:
        if self._unchecked or self.definition.indexname:
            return ""
        return "builds an index" if self.definition.contype in _KEYS else "scans the table"

    @property
    def locks(self) -> tuple[Lock, ...]:
        own = Lock(self.relation, self.mode, self.cost)
        if self.definition.contype != pb.CONSTR_FOREIGN:
            return (own,)
        parent = names.relation(self.definition.pktable)
        return (own,) if parent == self.relation else (own, Lock(parent, SHARE_ROW, "referenced by the key"))

    @property
    def says(self) -> str:
        what, own = self.definition.contype, self.definition.conname
        named = f" {names.quoted(own)}" if own else ""
        unchecked = ", without looking at the existing rows" if self._unchecked else ""
        if what == pb.CONSTR_FOREIGN:
            columns = names.columns(names.parts(self.definition.fk_attrs))
            parent = names.relation(self.definition.pktable)
            return f"Adds foreign key{named} from {self.relation} ({columns}) to {parent}{unchecked}."
        if what in _KEYS and not self.definition.indexname:
            columns = names.columns(names.parts(self.definition.keys))
            word = {pb.CONSTR_PRIMARY: "primary key", pb.CONSTR_UNIQUE: "unique constraint"}.get(what)
            return f"Adds {word or 'exclusion constraint'}{named} to {self.relation}" + (
                f" ({columns})." if columns else "."
            )
        word = {pb.CONSTR_CHECK: "check", pb.CONSTR_NOTNULL: "NOT NULL"}.get(what, "index-based")
        return f"Adds {word} constraint{named} to {self.relation}{unchecked}."


@registered("alter_table_cmd", pb.AT_DropConstraint)
class DropConstraint(Action):
    """DROP CONSTRAINT: for a foreign key the referenced table is locked too, where the file tells which."""

    name = "DROP CONSTRAINT"
    change = "DROP CONSTRAINT"
    hazard = "drop-constraint"

    @property
    def locks(self) -> tuple[Lock, ...]:
        own = Lock(self.relation, ACCESS_EXCLUSIVE)
        parent = self.context.foreign_keys.get((bare(self.relation), self.column))
        if parent is None or parent == self.relation:
            return (own,)
        return own, Lock(parent, ACCESS_EXCLUSIVE, "its foreign key goes")

    @property
    def notes(self) -> tuple[str, ...]:
        return (CASCADE,) if self.node.behavior == pb.DROP_CASCADE else ()

    @property
    def says(self) -> str:
        condition = " if it exists" if self.node.missing_ok else ""
        return f"Drops constraint {self.column} of {self.relation}{condition}."


@registered("alter_table_cmd", pb.AT_ValidateConstraint)
class ValidateConstraint(Action):
    """VALIDATE CONSTRAINT: looks at every row while reads and writes go on."""

    name = "VALIDATE CONSTRAINT"
    change = "VALIDATE CONSTRAINT"
    hazard = "validate-later"
    mode = SHARE_UPDATE
    cost = "scans the table"

    @property
    def locks(self) -> tuple[Lock, ...]:
        own = Lock(self.relation, self.mode, self.cost)
        parent = self.context.foreign_keys.get((bare(self.relation), self.column))
        return (own, Lock(parent, ROW_SHARE, "referenced by the key")) if parent else (own,)

    @property
    def says(self) -> str:
        return f"Checks constraint {self.column} of {self.relation} against all its rows."


@registered("alter_table_cmd", pb.AT_AlterConstraint)
class AlterConstraint(Action):
    """ALTER CONSTRAINT: when and whether a key is checked."""

    name = "ALTER CONSTRAINT"
    change = "ALTER CONSTRAINT"
    hazard = "drop-constraint"

    @property
    def column(self) -> str:
        return names.quoted(self.definition.conname)

    @property
    def says(self) -> str:
        return f"Changes when constraint {self.column} of {self.relation} is checked."
