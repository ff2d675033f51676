"""Columns: ADD, DROP and ALTER COLUMN."""

from __future__ import annotations

from typing import Any

from approvals.analysis import names
from approvals.analysis.hazards import hazard
from approvals.analysis.kinds.common import Action
from approvals.analysis.model import Destroyed, Lock
from approvals.analysis.parser import pb, walk
from approvals.analysis.registry import (
    ACCESS_EXCLUSIVE,
    CASCADE,
    SHARE_ROW,
    SHARE_UPDATE,
    bare,
    registered,
    strongest,
)

_SERIAL = frozenset({"serial", "serial2", "serial4", "serial8", "bigserial", "smallserial"})
# Functions that give every row the same value, so that adding a column with them rewrites nothing.
_STEADY = frozenset(
    (
        *("now", "transaction_timestamp", "statement_timestamp", "current_database", "current_schema"),
        *("current_setting", "to_timestamp", "to_date", "to_char", "make_date", "make_interval", "md5"),
        *("date_trunc", "timezone", "lower", "upper", "jsonb_build_object", "jsonb_build_array"),
    )
)
REWRITES = "rewrites the table"
MAY_REWRITE = "may rewrite the table"


@registered("alter_table_cmd", pb.AT_AddColumn)
class AddColumn(Action):
    """ADD COLUMN: instant, unless it needs a value of its own in every row, a scan or an index."""

    @property
    def name(self) -> str:
        return "ADD ATTRIBUTE" if self.statement.objtype == pb.OBJECT_TYPE else "ADD COLUMN"

    @property
    def change(self) -> str:
        return "ALTER COMPOSITE TYPE" if self.statement.objtype == pb.OBJECT_TYPE else "ADD COLUMN"

    @property
    def constraints(self) -> list[Any]:
        """The constraints written with the column."""
        return [each.constraint for each in self.definition.constraints]

    @property
    def default(self) -> Any:
        """Its default expression, or None (also for DEFAULT NULL)."""
        for constraint in self.constraints:
            if constraint.contype == pb.CONSTR_DEFAULT:
                expression = constraint.raw_expr
                return None if expression.HasField("a_const") and expression.a_const.isnull else expression
        return None

    @property
    def fills_itself(self) -> bool:
        """Whether every row gets a value of its own: serial, identity, generated."""
        made = (pb.CONSTR_IDENTITY, pb.CONSTR_GENERATED)
        return self.is_serial or any(constraint.contype in made for constraint in self.constraints)

    @property
    def is_serial(self) -> bool:
        """Whether the type is one of the serial types, which bring a sequence."""
        words = names.parts(self.definition.type_name.names)
        return len(words) == 1 and words[0] in _SERIAL

    @property
    def cost(self) -> str:
        costs = [self._rewrite]
        for constraint in self.constraints:
            if constraint.contype in (pb.CONSTR_UNIQUE, pb.CONSTR_PRIMARY):
                costs.append("builds an index")
            if constraint.contype == pb.CONSTR_CHECK:
                costs.append("scans the table")
        return ", ".join(dict.fromkeys(cost for cost in costs if cost))

    @property
    def _rewrite(self) -> str:
        for constraint in self.constraints:
            stored = constraint.contype == pb.CONSTR_GENERATED and constraint.generated_kind != "v"
            if stored or constraint.contype == pb.CONSTR_IDENTITY:
                return REWRITES
        if self.is_serial:
            return REWRITES
        called = _functions(self.default) if self.default is not None else frozenset()
        return MAY_REWRITE if called - _STEADY else ""

    @property
    def hazard(self) -> str:
        return max(self.hazards, key=lambda each: hazard(each).risk)

    @property
    def hazards(self) -> tuple[str, ...]:
        found = ["rewrite-table" if self._rewrite else "add-column"]
        kinds = {constraint.contype for constraint in self.constraints}
        valued = self.default is not None or self.fills_itself
        if pb.CONSTR_NOTNULL in kinds and not valued:
            found.append("validate-not-null")
        if pb.CONSTR_PRIMARY in kinds or (pb.CONSTR_UNIQUE in kinds and valued):
            found.append("build-unique")
        if pb.CONSTR_CHECK in kinds and valued:
            found.append("validate-check")
        if pb.CONSTR_FOREIGN in kinds and valued:
            found.append("validate-foreign-key")
        return tuple(found)

    @property
    def locks(self) -> tuple[Lock, ...]:
        own = Lock(self.relation, ACCESS_EXCLUSIVE, self.cost)
        parents = [
            Lock(names.relation(constraint.pktable), SHARE_ROW, "referenced by the new key")
            for constraint in self.constraints
            if constraint.contype == pb.CONSTR_FOREIGN
        ]
        return strongest([own, *parents])

    @property
    def says(self) -> str:
        column, kind = names.quoted(self.definition.colname), names.type_name(self.definition.type_name)
        missing = " if it is missing" if self.node.missing_ok else ""
        return f"Adds column {column} ({kind}) to {self.relation}{missing}."


def _functions(expression: Any) -> frozenset[str]:
    """The bare names of the functions that an expression calls."""
    calls = (each for each in walk(expression) if isinstance(each, pb.FuncCall))
    return frozenset(names.parts(call.funcname)[-1] for call in calls)


@registered("alter_table_cmd", pb.AT_DropColumn)
class DropColumn(Action):
    """DROP COLUMN: the values go; a foreign key of the column locks the referenced table too."""

    @property
    def name(self) -> str:
        return "DROP ATTRIBUTE" if self.statement.objtype == pb.OBJECT_TYPE else "DROP COLUMN"

    @property
    def change(self) -> str:
        return "ALTER COMPOSITE TYPE" if self.statement.objtype == pb.OBJECT_TYPE else "DROP COLUMN"

    hazard = "drop-column"

    @property
    def locks(self) -> tuple[Lock, ...]:
        parent = self.context.key_columns.get((bare(self.relation), self.column))
        own = Lock(self.relation, ACCESS_EXCLUSIVE)
        return (own, Lock(parent, ACCESS_EXCLUSIVE, "its foreign key goes")) if parent else (own,)

    @property
    def destroys(self) -> tuple[Destroyed, ...]:
        return (Destroyed(self.relation, self.column),)

    @property
    def notes(self) -> tuple[str, ...]:
        return (CASCADE,) if self.node.behavior == pb.DROP_CASCADE else ()

    @property
    def says(self) -> str:
        condition = " if it exists" if self.node.missing_ok else ""
        return f"Drops column {self.column} of {self.relation}{condition}, with its values."


@registered("alter_table_cmd", pb.AT_AlterColumnType)
class AlterColumnType(Action):
    """ALTER COLUMN TYPE: widening is instant, anything else rewrites; the text does not tell which."""

    change = "ALTER TYPE"

    @property
    def name(self) -> str:
        return "ALTER ATTRIBUTE TYPE" if self.statement.objtype == pb.OBJECT_TYPE else "ALTER COLUMN TYPE"

    @property
    def hazard(self) -> str:
        return "convert-values" if self.definition.HasField("raw_default") else "change-type"

    cost = MAY_REWRITE

    @property
    def says(self) -> str:
        kind = names.type_name(self.definition.type_name)
        how = ", converted by an expression" if self.definition.HasField("raw_default") else ""
        return f"Changes the type of {self.relation}.{self.column} to {kind}{how}."


@registered("alter_table_cmd", pb.AT_ColumnDefault)
class AlterDefault(Action):
    """SET DEFAULT and DROP DEFAULT: only rows written later notice."""

    change = "ALTER DEFAULT"

    @property
    def name(self) -> str:
        return "SET DEFAULT" if self.has_definition else "DROP DEFAULT"

    @property
    def says(self) -> str:
        place = f"{self.relation}.{self.column}"
        return f"Gives {place} a default." if self.has_definition else f"Takes the default of {place} away."


@registered("alter_table_cmd", pb.AT_SetNotNull)
class SetNotNull(Action):
    """SET NOT NULL: looks at every row under ACCESS EXCLUSIVE."""

    name = "SET NOT NULL"
    change = "SET NOT NULL"
    hazard = "validate-not-null"
    cost = "scans the table"

    @property
    def says(self) -> str:
        return f"Forbids NULL in {self.relation}.{self.column}."


@registered("alter_table_cmd", pb.AT_DropNotNull)
class DropNotNull(Action):
    """DROP NOT NULL: catalog only."""

    name = "DROP NOT NULL"
    change = "DROP NOT NULL"

    @property
    def says(self) -> str:
        return f"Allows NULL in {self.relation}.{self.column}."


@registered("alter_table_cmd", pb.AT_AddIdentity, pb.AT_SetIdentity, pb.AT_DropIdentity)
class AlterIdentity(Action):
    """ADD, SET and DROP of GENERATED … AS IDENTITY."""

    change = "ALTER IDENTITY"

    @property
    def _verb(self) -> str:
        return {pb.AT_AddIdentity: "ADD", pb.AT_SetIdentity: "SET"}.get(self.node.subtype, "DROP")

    @property
    def name(self) -> str:
        return f"{self._verb} IDENTITY"

    @property
    def hazard(self) -> str:
        return "drop-sequence" if self._verb == "DROP" else "catalog-change"

    @property
    def says(self) -> str:
        verb = {"ADD": "Makes", "SET": "Changes how", "DROP": "Stops"}[self._verb]
        what = {"ADD": "count by itself", "SET": "counts by itself", "DROP": "counting by itself"}[self._verb]
        return f"{verb} {self.relation}.{self.column} {what}."


@registered("alter_table_cmd", pb.AT_DropExpression, pb.AT_SetExpression)
class AlterExpression(Action):
    """DROP EXPRESSION and SET EXPRESSION of a generated column; SET computes every value anew."""

    change = "DROP EXPRESSION"

    @property
    def _sets(self) -> bool:
        return bool(self.node.subtype == pb.AT_SetExpression)

    @property
    def name(self) -> str:
        return "SET EXPRESSION" if self._sets else "DROP EXPRESSION"

    @property
    def cost(self) -> str:
        return REWRITES if self._sets else ""

    @property
    def hazard(self) -> str:
        return "convert-values" if self._sets else "catalog-change"

    @property
    def says(self) -> str:
        what = "computes anew" if self._sets else "no longer computes"
        return f"PostgreSQL {what} the generated column {self.relation}.{self.column}."


@registered("alter_table_cmd", pb.AT_SetStorage, pb.AT_SetCompression)
class ColumnStorage(Action):
    """SET STORAGE and SET COMPRESSION: for values written later."""

    change = "ALTER COLUMN STORAGE"

    @property
    def name(self) -> str:
        return "SET STORAGE" if self.node.subtype == pb.AT_SetStorage else "SET COMPRESSION"

    @property
    def says(self) -> str:
        return f"Changes how later values of {self.relation}.{self.column} are stored."


@registered("alter_table_cmd", pb.AT_SetStatistics, pb.AT_SetOptions, pb.AT_ResetOptions)
class ColumnStatistics(Action):
    """SET STATISTICS and column options: how exactly ANALYZE looks."""

    name = "SET STATISTICS"
    change = "STATISTICS"
    hazard = "harmless"
    mode = SHARE_UPDATE

    @property
    def says(self) -> str:
        return f"Changes how exactly ANALYZE looks at {self.relation}.{self.column}."
