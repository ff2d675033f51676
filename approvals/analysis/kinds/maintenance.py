"""Maintenance and remarks: VACUUM, ANALYZE, CLUSTER, COMMENT."""

from __future__ import annotations

from approvals.analysis import names
from approvals.analysis.kinds.common import option
from approvals.analysis.model import Lock
from approvals.analysis.parser import pb
from approvals.analysis.registry import ACCESS_EXCLUSIVE, ACCESS_SHARE, SHARE_UPDATE, Kind, registered


@registered("vacuum_stmt")
class Vacuum(Kind):
    """VACUUM and ANALYZE, which share a node; VACUUM refuses a transaction."""

    @property
    def _full(self) -> bool:
        return option(self.node.options, "full")

    @property
    def name(self) -> str:
        if not self.node.is_vacuumcmd:
            return "ANALYZE"
        return "VACUUM FULL" if self._full else "VACUUM"

    @property
    def change(self) -> str:
        return "VACUUM" if self.node.is_vacuumcmd else "ANALYZE"

    @property
    def hazard(self) -> str:
        return "rewrite-table" if self._full else "maintenance"

    @property
    def tags(self) -> tuple[str, ...]:
        return ("VACUUM",) if self.node.is_vacuumcmd else ("ANALYZE",)

    @property
    def transactional(self) -> bool:
        return not self.node.is_vacuumcmd

    @property
    def _tables(self) -> list[str]:
        return [names.relation(each.vacuum_relation.relation) for each in self.node.rels]

    @property
    def relation(self) -> str:
        return self._tables[0] if self._tables else ""

    @property
    def locks(self) -> tuple[Lock, ...]:
        mode, note = (ACCESS_EXCLUSIVE, "rewrites the table") if self._full else (SHARE_UPDATE, "")
        return tuple(Lock(table, mode, note) for table in self._tables)

    @property
    def says(self) -> str:
        place = names.listed(self._tables) or "the whole database"
        if not self.node.is_vacuumcmd:
            return f"Collects statistics about {place}."
        return f"Rewrites {place} without dead rows." if self._full else f"Frees dead rows of {place}."


@registered("cluster_stmt")
class Cluster(Kind):
    """CLUSTER: rewrites a table in the order of an index; without a table it refuses a transaction."""

    name = "CLUSTER"
    change = "CLUSTER"
    hazard = "rewrite-table"

    @property
    def transactional(self) -> bool:
        return bool(self.node.HasField("relation"))

    @property
    def relation(self) -> str:
        return names.relation(self.node.relation) if self.node.HasField("relation") else ""

    @property
    def locks(self) -> tuple[Lock, ...]:
        return (Lock(self.relation, ACCESS_EXCLUSIVE, "rewrites the table"),) if self.relation else ()

    @property
    def says(self) -> str:
        return f"Rewrites {self.relation or 'every clustered table'} in the order of an index."


_TABLE_LIKE = (
    pb.OBJECT_TABLE,
    pb.OBJECT_VIEW,
    pb.OBJECT_MATVIEW,
    pb.OBJECT_INDEX,
    pb.OBJECT_SEQUENCE,
    pb.OBJECT_FOREIGN_TABLE,
)
_ON_TABLE = (pb.OBJECT_TABCONSTRAINT, pb.OBJECT_TRIGGER, pb.OBJECT_POLICY, pb.OBJECT_RULE)


@registered("comment_stmt")
class Comment(Kind):
    """COMMENT ON anything."""

    name = "COMMENT"
    change = "COMMENT"
    hazard = "harmless"

    @property
    def relation(self) -> str:
        words = [names.quoted(part) for part in names.parts(self.node.object.list.items)]
        if self.node.objtype in _TABLE_LIKE:
            return ".".join(words)
        on_table = self.node.objtype == pb.OBJECT_COLUMN or self.node.objtype in _ON_TABLE
        return ".".join(words[:-1]) if on_table else ""

    @property
    def locks(self) -> tuple[Lock, ...]:
        mode = ACCESS_SHARE if self.node.objtype in _ON_TABLE else SHARE_UPDATE
        return (Lock(self.relation, mode),) if self.relation else ()

    @property
    def says(self) -> str:
        word = names.object_word(self.node.objtype)
        what = names.address(self.node.objtype, self.node.object)
        return f"{'Comments' if self.node.comment else 'Takes the comment off'} {word} {what}."


@registered("check_point_stmt")
class Checkpoint(Kind):
    """CHECKPOINT."""

    name = "CHECKPOINT"
    change = "CHECKPOINT"
    hazard = "not-undone"
    says = "Makes the server write everything to disk now."
    notes = ("not undone by ROLLBACK",)
