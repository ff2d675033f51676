"""Sequences."""

from __future__ import annotations

from approvals.analysis import names
from approvals.analysis.kinds.common import DropRelation
from approvals.analysis.model import Lock
from approvals.analysis.parser import pb
from approvals.analysis.registry import SHARE_ROW, Kind, registered


@registered("create_seq_stmt")
class CreateSequence(Kind):
    """CREATE SEQUENCE."""

    name = "CREATE SEQUENCE"
    change = "CREATE SEQUENCE"
    hazard = "create-relation"

    @property
    def relation(self) -> str:
        return names.relation(self.node.sequence)

    @property
    def creates(self) -> tuple[str, ...]:
        return () if self.node.if_not_exists else (self.relation,)

    @property
    def says(self) -> str:
        return f"Creates sequence {self.relation}."


@registered("alter_seq_stmt")
class AlterSequence(Kind):
    """ALTER SEQUENCE: settings, owner column, position (RESTART is transactional)."""

    name = "ALTER SEQUENCE"
    change = "ALTER SEQUENCE"

    @property
    def relation(self) -> str:
        return names.relation(self.node.sequence)

    @property
    def locks(self) -> tuple[Lock, ...]:
        return (Lock(self.relation, SHARE_ROW),)

    @property
    def says(self) -> str:
        what = [each.def_elem.defname.replace("_", " ") for each in self.node.options]
        return f"Changes {names.listed(what)} of sequence {self.relation}."


@registered("drop_stmt", pb.OBJECT_SEQUENCE)
class DropSequence(DropRelation):
    """DROP SEQUENCE: its position is lost."""

    change = "DROP SEQUENCE"
    hazard = "drop-sequence"
