"""Read ALTER TABLE, action by action, as effects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from approvals.analysis import names as sql_names
from approvals.analysis.parser import pb
from executor.schema.reading.said import CHANGED, CREATED, DROPPED, Said
from executor.schema.sql_text import range_parts

_KINDS = {
    pb.OBJECT_INDEX: "index",
    pb.OBJECT_SEQUENCE: "sequence",
    pb.OBJECT_VIEW: "view",
    pb.OBJECT_MATVIEW: "materialized view",
    pb.OBJECT_TYPE: "type",
}
_OF_COLUMN = {
    pb.AT_ColumnDefault: "default",
    pb.AT_DropNotNull: "not null",
    pb.AT_SetNotNull: "not null",
    pb.AT_AlterColumnType: "type",
    pb.AT_SetStatistics: "statistics target",
    pb.AT_SetStorage: "storage",
    pb.AT_SetCompression: "compression",
    pb.AT_SetOptions: "options",
    pb.AT_ResetOptions: "options",
    pb.AT_AddIdentity: "identity",
    pb.AT_SetIdentity: "identity",
    pb.AT_DropIdentity: "identity",
    pb.AT_SetExpression: "expression",
    pb.AT_DropExpression: "expression",
}
_OF_TABLE = {
    pb.AT_EnableRowSecurity: "row security",
    pb.AT_DisableRowSecurity: "row security",
    pb.AT_ForceRowSecurity: "forced row security",
    pb.AT_NoForceRowSecurity: "forced row security",
    pb.AT_SetRelOptions: "options",
    pb.AT_ResetRelOptions: "options",
    pb.AT_ReplaceRelOptions: "options",
    pb.AT_ChangeOwner: "owner",
    pb.AT_ClusterOn: "clustering",
    pb.AT_DropCluster: "clustering",
    pb.AT_SetTableSpace: "tablespace",
    pb.AT_SetLogged: "persistence",
    pb.AT_SetUnLogged: "persistence",
    pb.AT_ReplicaIdentity: "replica identity",
    pb.AT_AddInherit: "inheritance",
    pb.AT_DropInherit: "inheritance",
}
_TRIGGERS = {
    pb.AT_EnableTrig: "ENABLE",
    pb.AT_EnableAlwaysTrig: "ENABLE ALWAYS",
    pb.AT_EnableReplicaTrig: "ENABLE REPLICA",
    pb.AT_DisableTrig: "DISABLE",
}
_CONSTRAINTS = {
    pb.CONSTR_PRIMARY: "pkey",
    pb.CONSTR_UNIQUE: "key",
    pb.CONSTR_FOREIGN: "fkey",
    pb.CONSTR_CHECK: "check",
    pb.CONSTR_EXCLUSION: "excl",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a statement stands, and how names in it are completed."""

    position: int
    line: int
    column: int
    schema: str

    def name(self, parts: Sequence[str]) -> tuple[str, ...]:
        """A qualified name."""
        return tuple(parts[-2:]) if len(parts) > 1 else (self.schema, *parts)

    def said(self, what: str, kind: str, name: tuple[str, ...], **others: Any) -> Said:
        """An effect at this place."""
        return Said(what, kind, name, self.position, self.line, self.column, **others)

    def within_code(self, said: Said) -> Said:
        """An effect of a statement that code may or may not have run."""
        return replace(said, maybe=said.maybe or "in a DO block")


def alter_table(node: Any, place: Place, sql: str) -> Iterator[Said]:
    """The effects of ALTER TABLE, INDEX, SEQUENCE, VIEW or TYPE."""
    table = place.name(range_parts(node.relation))
    kind = _KINDS.get(node.objtype, "table")
    if_exists = "IF EXISTS" if node.missing_ok else ""
    for each in node.cmds:
        for said in _action(each.alter_table_cmd, kind, table, place):
            yield replace(said, sql=said.sql or sql, maybe=said.maybe or if_exists)


def _action(command: Any, kind: str, table: tuple[str, ...], place: Place) -> Iterator[Said]:
    definition = getattr(command, "def")
    subtype = command.subtype
    maybe = "IF EXISTS" if command.missing_ok else ""
    if kind == "type":
        yield place.said(CHANGED, "type", table, attribute="attributes")
    elif subtype == pb.AT_AddColumn:
        name = definition.column_def.colname
        maybe = "IF NOT EXISTS" if command.missing_ok else ""
        yield place.said(CREATED, "column", (*table, name), maybe=maybe)
    elif subtype == pb.AT_DropColumn:
        cascade = command.behavior == pb.DROP_CASCADE
        yield place.said(DROPPED, "column", (*table, command.name), maybe=maybe, cascade=cascade)
    elif subtype in _OF_COLUMN:
        new = _new_value(command, definition)
        yield place.said(CHANGED, "column", (*table, command.name), attribute=_OF_COLUMN[subtype], new=new)
    elif subtype == pb.AT_AddConstraint:
        columns = _columns(definition.constraint)
        name = constraint_name(table[1], definition.constraint, columns)
        yield place.said(CREATED, "constraint", (*table, name), columns=columns)
    elif subtype == pb.AT_AddIndexConstraint:
        index = definition.index_stmt.idxname
        yield place.said(CREATED, "constraint", (*table, index))
    elif subtype == pb.AT_DropConstraint:
        yield place.said(DROPPED, "constraint", (*table, command.name), maybe=maybe)
    elif subtype in (pb.AT_ValidateConstraint, pb.AT_AlterConstraint):
        yield place.said(CHANGED, "constraint", (*table, command.name), attribute="validation")
    elif subtype in _TRIGGERS:
        new = _TRIGGERS[subtype]
        yield place.said(CHANGED, "trigger", (*table, command.name), attribute="state", new=new)
    elif subtype == pb.AT_AttachPartition:
        child = place.name(range_parts(definition.partition_cmd.name))
        yield place.said(CREATED, "partition", child, on=table)
    elif subtype == pb.AT_DetachPartition:
        child = place.name(range_parts(definition.partition_cmd.name))
        yield place.said(DROPPED, "partition", child, on=table)
    else:
        words = sql_names.enum_word(pb.AlterTableType, subtype, "AT_")
        yield place.said(CHANGED, kind, table, attribute=_OF_TABLE.get(subtype, words), new=words)


def _new_value(command: Any, definition: Any) -> str:
    if command.subtype == pb.AT_AlterColumnType:
        return sql_names.type_name(definition.column_def.type_name)
    if command.subtype == pb.AT_ColumnDefault:
        return "SET" if command.HasField("def") else "DROP"
    return sql_names.enum_word(pb.AlterTableType, command.subtype, "AT_")


def _columns(constraint: Any) -> tuple[str, ...]:
    return tuple(sql_names.parts(constraint.keys) or sql_names.parts(constraint.fk_attrs))


def constraint_name(table: str, constraint: Any, columns: Sequence[str]) -> str:
    """Its name, or the one that PostgreSQL gives it as long as that is free and short."""
    if constraint.conname:
        return str(constraint.conname)
    label = _CONSTRAINTS.get(constraint.contype, "check")
    parts = [] if label == "pkey" else list(columns)
    return "_".join([table, *parts, label])
