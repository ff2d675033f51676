"""Indexes: CREATE, DROP, ALTER and REINDEX."""

from __future__ import annotations

from approvals.analysis import names
from approvals.analysis.kinds.common import Drop, option
from approvals.analysis.model import Lock
from approvals.analysis.parser import pb
from approvals.analysis.registry import ACCESS_EXCLUSIVE, SHARE, SHARE_UPDATE, Kind, bare, registered


@registered("index_stmt")
class CreateIndex(Kind):
    """CREATE INDEX: writes wait while it is built; CONCURRENTLY lets them go on, outside a transaction."""

    change = "ADD INDEX"

    @property
    def name(self) -> str:
        unique = "UNIQUE " if self.node.unique else ""
        return f"CREATE {unique}INDEX" + (" CONCURRENTLY" if self.node.concurrent else "")

    tags = ("CREATE INDEX",)

    @property
    def hazard(self) -> str:
        return "build-unique" if self.node.unique else "create-index"

    @property
    def transactional(self) -> bool:
        return not self.node.concurrent

    @property
    def relation(self) -> str:
        return names.relation(self.node.relation)

    @property
    def locks(self) -> tuple[Lock, ...]:
        return (Lock(self.relation, SHARE_UPDATE if self.node.concurrent else SHARE, "builds an index"),)

    @property
    def creates(self) -> tuple[str, ...]:
        if self.node.if_not_exists or not self.node.idxname:
            return ()
        schema = self.node.relation.schemaname
        own = names.quoted(self.node.idxname)
        return (f"{names.quoted(schema)}.{own}" if schema else own,)

    @property
    def says(self) -> str:
        columns = [each.index_elem.name for each in self.node.index_params]
        keys = ", ".join(names.quoted(column) if column else "an expression" for column in columns)
        unique = "unique " if self.node.unique else ""
        own = f" {names.quoted(self.node.idxname)}" if self.node.idxname else ""
        some = ", for some rows only" if self.node.HasField("where_clause") else ""
        return f"Builds {unique}index{own} on {self.relation} ({keys}){some}."


@registered("drop_stmt", pb.OBJECT_INDEX)
class DropIndex(Drop):
    """DROP INDEX: takes the table for a moment; which table, only the file's other statements can tell."""

    change = "DROP INDEX"
    hazard = "drop-index"
    tags = ("DROP INDEX",)

    @property
    def name(self) -> str:
        return "DROP INDEX" + (" CONCURRENTLY" if self.node.concurrent else "")

    @property
    def transactional(self) -> bool:
        return not self.node.concurrent

    @property
    def locks(self) -> tuple[Lock, ...]:
        mode = SHARE_UPDATE if self.node.concurrent else ACCESS_EXCLUSIVE
        found = []
        for index in self.objects:
            table = self.context.index_tables.get(bare(index))
            if table:
                found.append(Lock(table, mode, "its index goes"))
            found.append(Lock(index, mode, "" if table else "index; its table is locked too"))
        return tuple(found)


@registered("reindex_stmt")
class Reindex(Kind):
    """REINDEX: builds indexes anew; CONCURRENTLY and whole schemas refuse a transaction."""

    change = "REINDEX"
    hazard = "maintenance"
    tags = ("REINDEX",)

    @property
    def _concurrent(self) -> bool:
        return option(self.node.params, "concurrently")

    @property
    def _what(self) -> str:
        return names.enum_word(pb.ReindexObjectType, self.node.kind, "REINDEX_OBJECT_")

    @property
    def name(self) -> str:
        return f"REINDEX {self._what}" + (" CONCURRENTLY" if self._concurrent else "")

    @property
    def transactional(self) -> bool:
        return self._what in ("INDEX", "TABLE") and not self._concurrent

    @property
    def relation(self) -> str:
        return names.relation(self.node.relation) if self.node.HasField("relation") else ""

    @property
    def locks(self) -> tuple[Lock, ...]:
        if not self.relation:
            return ()
        if self._concurrent:
            return (Lock(self.relation, SHARE_UPDATE, "builds indexes"),)
        if self._what == "INDEX":
            return (Lock(self.relation, ACCESS_EXCLUSIVE, "index; its table is locked SHARE"),)
        return (Lock(self.relation, SHARE, "builds its indexes, each under ACCESS EXCLUSIVE"),)

    @property
    def says(self) -> str:
        place = self.relation or names.quoted(self.node.name) if self.node.name or self.relation else "all"
        return f"Builds the indexes of {self._what.lower()} {place} anew."
