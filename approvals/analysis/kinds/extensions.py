"""Schemas, extensions and foreign data."""

from __future__ import annotations

from approvals.analysis import names
from approvals.analysis.kinds.common import Drop, DropRelation
from approvals.analysis.model import Lock
from approvals.analysis.parser import pb
from approvals.analysis.registry import Compound, Kind, kind_of, registered, riskiest_change, strongest


@registered("create_schema_stmt")
class CreateSchema(Compound):
    """CREATE SCHEMA, with the objects that are written into it."""

    name = "CREATE SCHEMA"

    @property
    def _inner(self) -> list[Kind]:
        found = []
        for each in self.node.schema_elts:
            which = each.WhichOneof("node")
            found.append(kind_of(which, getattr(each, which), self.context))
        return found

    @property
    def change(self) -> str:
        return riskiest_change(["CREATE SCHEMA", *(kind.change for kind in self._inner)])

    @property
    def hazards(self) -> tuple[str, ...]:
        inner = (each for kind in self._inner for each in kind.hazards)
        return tuple(dict.fromkeys(["create-relation", *inner]))

    @property
    def locks(self) -> tuple[Lock, ...]:
        return strongest(lock for kind in self._inner for lock in kind.locks)

    @property
    def says(self) -> str:
        own = names.quoted(self.node.schemaname) if self.node.schemaname else names.role(self.node.authrole)
        more = len(self.node.schema_elts)
        inside = f" with {more} object{'' if more == 1 else 's'}" if more else ""
        return f"Creates schema {own}{inside}{' if it is missing' if self.node.if_not_exists else ''}."


@registered("drop_stmt", pb.OBJECT_SCHEMA)
class DropSchema(Drop):
    """DROP SCHEMA: with CASCADE whatever is in it goes."""

    change = "DROP SCHEMA"

    @property
    def hazard(self) -> str:
        return "drop-schema" if self.cascade else "drop-empty-schema"


@registered("create_extension_stmt")
class CreateExtension(Kind):
    """CREATE EXTENSION."""

    name = "CREATE EXTENSION"
    change = "CREATE EXTENSION"
    hazard = "create-code"

    @property
    def says(self) -> str:
        missing = " if it is missing" if self.node.if_not_exists else ""
        return f"Installs extension {names.quoted(self.node.extname)}{missing}."


@registered("alter_extension_stmt")
class AlterExtension(Kind):
    """ALTER EXTENSION … UPDATE."""

    name = "ALTER EXTENSION"
    change = "ALTER EXTENSION"
    hazard = "drop-extension"

    @property
    def says(self) -> str:
        return f"Changes the version of extension {names.quoted(self.node.extname)}."


@registered("drop_stmt", pb.OBJECT_EXTENSION)
class DropExtension(Drop):
    """DROP EXTENSION: with CASCADE the columns of its types go."""

    change = "DROP EXTENSION"

    @property
    def hazard(self) -> str:
        return "drop-with-columns" if self.cascade else "drop-extension"


@registered("create_foreign_server_stmt")
class CreateServer(Kind):
    """CREATE SERVER."""

    name = "CREATE SERVER"
    change = "FOREIGN DATA"
    hazard = "create-code"

    @property
    def says(self) -> str:
        return f"Makes foreign server {names.quoted(self.node.servername)} known."


@registered("create_foreign_table_stmt")
class CreateForeignTable(Kind):
    """CREATE FOREIGN TABLE: the rows are elsewhere."""

    name = "CREATE FOREIGN TABLE"
    change = "FOREIGN DATA"
    hazard = "create-relation"

    @property
    def relation(self) -> str:
        return names.relation(self.node.base_stmt.relation)

    @property
    def creates(self) -> tuple[str, ...]:
        return () if self.node.base_stmt.if_not_exists else (self.relation,)

    @property
    def says(self) -> str:
        return f"Creates foreign table {self.relation}; its rows are on {names.quoted(self.node.servername)}."


@registered("drop_stmt", pb.OBJECT_FOREIGN_TABLE)
class DropForeignTable(DropRelation):
    """DROP FOREIGN TABLE: the rows stay elsewhere."""

    change = "FOREIGN DATA"


@registered("drop_stmt", pb.OBJECT_FOREIGN_SERVER, pb.OBJECT_FDW)
class DropServer(Drop):
    """DROP SERVER and DROP FOREIGN DATA WRAPPER."""

    change = "FOREIGN DATA"


@registered("drop_stmt", pb.OBJECT_STATISTIC_EXT, pb.OBJECT_COLLATION)
class DropStatistics(Drop):
    """DROP STATISTICS and DROP COLLATION: helpers without rows."""

    change = "STATISTICS"
