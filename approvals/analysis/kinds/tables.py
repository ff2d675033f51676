"""Tables: CREATE, DROP, TRUNCATE, and what ALTER TABLE does to a table as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from approvals.analysis import names
from approvals.analysis.kinds.common import Action, DropRelation
from approvals.analysis.kinds.queries import read_locks
from approvals.analysis.model import Destroyed, Lock
from approvals.analysis.parser import pb
from approvals.analysis.registry import (
    ACCESS_EXCLUSIVE,
    ACCESS_SHARE,
    CASCADE,
    SHARE_ROW,
    SHARE_UPDATE,
    Kind,
    bare,
    registered,
    strongest,
)


def foreign_keys(statement: Any) -> Iterator[tuple[str, Any]]:
    """The foreign keys of a CREATE TABLE: the column written with it (or '') and the constraint's node."""
    for each in statement.table_elts:
        which = each.WhichOneof("node")
        if which == "constraint" and each.constraint.contype == pb.CONSTR_FOREIGN:
            yield "", each.constraint
        elif which == "column_def":
            for constraint in each.column_def.constraints:
                if constraint.constraint.contype == pb.CONSTR_FOREIGN:
                    yield each.column_def.colname, constraint.constraint


@registered("create_stmt")
class CreateTable(Kind):
    """CREATE TABLE, also partitioned and PARTITION OF: locks its parents and the tables it references."""

    name = "CREATE TABLE"
    hazard = "create-relation"
    tags = ("CREATE TABLE",)

    @property
    def change(self) -> str:
        if self.node.relation.relpersistence == "t":
            return "CREATE TEMPORARY TABLE"
        return "CREATE PARTITION" if self.node.HasField("partbound") else "CREATE TABLE"

    @property
    def relation(self) -> str:
        return names.relation(self.node.relation)

    @property
    def locks(self) -> tuple[Lock, ...]:
        found = []
        for parent in self.node.inh_relations:
            if self.node.HasField("partbound"):
                found.append(Lock(names.relation(parent.range_var), ACCESS_EXCLUSIVE, "gets a partition"))
            else:
                found.append(Lock(names.relation(parent.range_var), SHARE_UPDATE, "is inherited from"))
        for _, key in foreign_keys(self.node):
            found.append(Lock(names.relation(key.pktable), SHARE_ROW, "referenced by the new table"))
        for each in self.node.table_elts:
            if each.HasField("table_like_clause"):
                found.append(Lock(names.relation(each.table_like_clause.relation), ACCESS_SHARE, "is copied"))
        return strongest(lock for lock in found if lock.relation != self.relation)

    @property
    def creates(self) -> tuple[str, ...]:
        return () if self.node.if_not_exists else (self.relation,)

    @property
    def says(self) -> str:
        missing = " if it is missing" if self.node.if_not_exists else ""
        if self.node.HasField("partbound"):
            parent = names.relation(self.node.inh_relations[0].range_var)
            return f"Creates {self.relation} as a partition of {parent}{missing}."
        columns = sum(1 for each in self.node.table_elts if each.HasField("column_def"))
        sort = "partitioned table" if self.node.HasField("partspec") else "table"
        sort = f"temporary {sort}" if self.node.relation.relpersistence == "t" else sort
        width = f" ({columns} column{'' if columns == 1 else 's'})" if columns else ""
        return f"Creates {sort} {self.relation}{width}{missing}."


@registered("create_table_as_stmt", pb.OBJECT_TABLE)
class CreateTableAs(Kind):
    """CREATE TABLE AS: a new table with the rows of a query."""

    name = "CREATE TABLE AS"
    change = "CREATE TABLE AS"
    hazard = "create-relation"
    tags = ("SELECT", "CREATE TABLE AS")

    @property
    def relation(self) -> str:
        return names.relation(self.node.into.rel)

    @property
    def locks(self) -> tuple[Lock, ...]:
        return read_locks(self.node.query)

    @property
    def creates(self) -> tuple[str, ...]:
        return () if self.node.if_not_exists else (self.relation,)

    @property
    def says(self) -> str:
        read = names.listed(lock.relation for lock in self.locks)
        source = f" from the rows of {read}" if read else " from a query"
        return f"Creates table {self.relation}{source}."


@registered("drop_stmt", pb.OBJECT_TABLE)
class DropTable(DropRelation):
    """DROP TABLE: the rows go; tables that it references are locked too, where the file tells which."""

    change = "DROP TABLE"
    hazard = "drop-table"

    @property
    def locks(self) -> tuple[Lock, ...]:
        found = [Lock(table, ACCESS_EXCLUSIVE) for table in self.objects]
        for table in self.objects:
            for parent in self.context.references.get(bare(table), ()):
                found.append(Lock(parent, ACCESS_EXCLUSIVE, "a foreign key goes"))
        return strongest(found)

    @property
    def destroys(self) -> tuple[Destroyed, ...]:
        return tuple(Destroyed(table) for table in self.objects)


@registered("truncate_stmt")
class Truncate(Kind):
    """TRUNCATE: empties tables at once; CASCADE empties those that reference them."""

    name = "TRUNCATE"
    change = "TRUNCATE"
    hazard = "delete-all-rows"
    tags = ("TRUNCATE TABLE",)

    @property
    def _tables(self) -> list[str]:
        return [names.relation(each.range_var) for each in self.node.relations]

    @property
    def relation(self) -> str:
        return self._tables[0]

    @property
    def locks(self) -> tuple[Lock, ...]:
        return tuple(Lock(table, ACCESS_EXCLUSIVE) for table in self._tables)

    @property
    def destroys(self) -> tuple[Destroyed, ...]:
        return tuple(Destroyed(table) for table in self._tables)

    @property
    def notes(self) -> tuple[str, ...]:
        return (CASCADE,) if self.node.behavior == pb.DROP_CASCADE else ()

    @property
    def says(self) -> str:
        more = ", and every table that references them" if self.notes else ""
        return f"Removes all rows of {names.listed(self._tables)}{more}."


@registered("alter_table_cmd", pb.AT_SetLogged, pb.AT_SetUnLogged)
class SetPersistence(Action):
    """SET LOGGED and SET UNLOGGED: rewrite the table."""

    change = "TABLE PERSISTENCE"
    hazard = "crash-safety"
    cost = "rewrites the table"

    @property
    def name(self) -> str:
        return "SET LOGGED" if self.node.subtype == pb.AT_SetLogged else "SET UNLOGGED"

    @property
    def says(self) -> str:
        what = "survive" if self.node.subtype == pb.AT_SetLogged else "not survive"
        return f"Lets the rows of {self.relation} {what} a crash."


@registered("alter_table_cmd", pb.AT_SetTableSpace, pb.AT_SetAccessMethod)
class MoveTable(Action):
    """SET TABLESPACE and SET ACCESS METHOD: copy the table to another place or form."""

    change = "TABLESPACE OF OBJECT"
    hazard = "rewrite-table"
    cost = "rewrites the table"

    @property
    def name(self) -> str:
        return "SET TABLESPACE" if self.node.subtype == pb.AT_SetTableSpace else "SET ACCESS METHOD"

    @property
    def says(self) -> str:
        return f"Moves {self.relation} to {self.column if self.node.name else 'the default place'}."


@registered("alter_table_cmd", pb.AT_SetRelOptions, pb.AT_ResetRelOptions, pb.AT_ClusterOn, pb.AT_DropCluster)
class StorageParameters(Action):
    """SET and RESET of storage parameters, CLUSTER ON: tuning."""

    change = "STORAGE PARAMETERS"
    hazard = "harmless"
    mode = SHARE_UPDATE

    @property
    def name(self) -> str:
        if self.node.subtype in (pb.AT_ClusterOn, pb.AT_DropCluster):
            return "CLUSTER ON" if self.node.subtype == pb.AT_ClusterOn else "SET WITHOUT CLUSTER"
        return "SET PARAMETERS" if self.node.subtype == pb.AT_SetRelOptions else "RESET PARAMETERS"

    @property
    def says(self) -> str:
        holder = getattr(self.node, "def")
        options = [each.def_elem.defname for each in holder.list.items] if holder.HasField("list") else []
        return f"Changes {names.listed(options) or 'the clustering'} of {self.relation}."


@registered("alter_table_cmd", pb.AT_ReplicaIdentity)
class ReplicaIdentity(Action):
    """REPLICA IDENTITY: how replication finds a row."""

    name = "REPLICA IDENTITY"
    change = "REPLICA IDENTITY"
    hazard = "replication"

    @property
    def says(self) -> str:
        return f"Changes how replication finds a row of {self.relation}."


@registered("alter_table_cmd", pb.AT_AddInherit, pb.AT_DropInherit)
class Inherit(Action):
    """INHERIT and NO INHERIT."""

    change = "TABLE INHERITANCE"
    hazard = "detach-partition"

    @property
    def name(self) -> str:
        return "INHERIT" if self.node.subtype == pb.AT_AddInherit else "NO INHERIT"

    @property
    def locks(self) -> tuple[Lock, ...]:
        parent = names.relation(self.definition)
        return Lock(self.relation, ACCESS_EXCLUSIVE), Lock(parent, SHARE_UPDATE, "is inherited from")

    @property
    def says(self) -> str:
        verb = "starts to inherit" if self.node.subtype == pb.AT_AddInherit else "stops inheriting"
        return f"{self.relation} {verb} from {names.relation(self.definition)}."
