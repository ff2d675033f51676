"""Partitions: ATTACH and DETACH."""

from __future__ import annotations

from approvals.analysis import names
from approvals.analysis.kinds.common import Action
from approvals.analysis.model import Lock
from approvals.analysis.parser import pb
from approvals.analysis.registry import ACCESS_EXCLUSIVE, SHARE_UPDATE, registered


@registered("alter_table_cmd", pb.AT_AttachPartition)
class AttachPartition(Action):
    """ATTACH PARTITION: scans the partition; reads and writes of the parent go on."""

    name = "ATTACH PARTITION"
    change = "ATTACH PARTITION"

    @property
    def _child(self) -> str:
        return names.relation(self.definition.name)

    @property
    def hazard(self) -> str:
        return "catalog-change" if self.statement.objtype == pb.OBJECT_INDEX else "validate-partition"

    @property
    def locks(self) -> tuple[Lock, ...]:
        if self.statement.objtype == pb.OBJECT_INDEX:
            return tuple(Lock(index, ACCESS_EXCLUSIVE, "index") for index in (self.relation, self._child))
        return Lock(self.relation, SHARE_UPDATE), Lock(self._child, ACCESS_EXCLUSIVE, "scans the table")

    @property
    def says(self) -> str:
        return f"Makes {self._child} a partition of {self.relation}."


@registered("alter_table_cmd", pb.AT_DetachPartition, pb.AT_DetachPartitionFinalize)
class DetachPartition(Action):
    """DETACH PARTITION: nobody reads either table meanwhile; CONCURRENTLY refuses a transaction."""

    change = "DETACH PARTITION"
    hazard = "detach-partition"

    @property
    def _child(self) -> str:
        return names.relation(self.definition.name)

    @property
    def name(self) -> str:
        if self.node.subtype == pb.AT_DetachPartitionFinalize:
            return "DETACH PARTITION FINALIZE"
        return "DETACH PARTITION" + (" CONCURRENTLY" if self.definition.concurrent else "")

    @property
    def transactional(self) -> bool:
        return not self.definition.concurrent

    @property
    def locks(self) -> tuple[Lock, ...]:
        gentle = self.name != "DETACH PARTITION"
        parent = Lock(self.relation, SHARE_UPDATE if gentle else ACCESS_EXCLUSIVE)
        return parent, Lock(self._child, ACCESS_EXCLUSIVE)

    @property
    def says(self) -> str:
        return f"Makes {self._child} a table of its own, apart from {self.relation}."
