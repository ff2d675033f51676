"""Row security: policies and their switches."""

from __future__ import annotations

from approvals.analysis import names
from approvals.analysis.kinds.common import Action, DropOnTable
from approvals.analysis.model import Lock
from approvals.analysis.parser import pb
from approvals.analysis.registry import ACCESS_EXCLUSIVE, Kind, registered

_SWITCHES = {
    pb.AT_EnableRowSecurity: ("ENABLE ROW LEVEL SECURITY", "on"),
    pb.AT_DisableRowSecurity: ("DISABLE ROW LEVEL SECURITY", "off"),
    pb.AT_ForceRowSecurity: ("FORCE ROW LEVEL SECURITY", "on for its owner too"),
    pb.AT_NoForceRowSecurity: ("NO FORCE ROW LEVEL SECURITY", "off for its owner"),
}


@registered("alter_table_cmd", *_SWITCHES)
class RowSecurity(Action):
    """ENABLE, DISABLE, FORCE and NO FORCE ROW LEVEL SECURITY."""

    change = "ROW SECURITY"
    hazard = "row-security"

    @property
    def name(self) -> str:
        return _SWITCHES[self.node.subtype][0]

    @property
    def says(self) -> str:
        return f"Switches row security of {self.relation} {_SWITCHES[self.node.subtype][1]}."


class _Policy(Kind):
    """CREATE or ALTER POLICY."""

    hazard = "row-security"

    @property
    def relation(self) -> str:
        return names.relation(self.node.table)

    @property
    def locks(self) -> tuple[Lock, ...]:
        return (Lock(self.relation, ACCESS_EXCLUSIVE),)

    @property
    def says(self) -> str:
        verb = self.name.partition(" ")[0].capitalize()
        return f"{verb}s policy {names.quoted(self.node.policy_name)} on {self.relation}."


@registered("create_policy_stmt")
class CreatePolicy(_Policy):
    """CREATE POLICY."""

    name = "CREATE POLICY"
    change = "CREATE POLICY"


@registered("alter_policy_stmt")
class AlterPolicy(_Policy):
    """ALTER POLICY."""

    name = "ALTER POLICY"
    change = "ALTER POLICY"


@registered("drop_stmt", pb.OBJECT_POLICY)
class DropPolicy(DropOnTable):
    """DROP POLICY."""

    change = "DROP POLICY"
    hazard = "row-security"
