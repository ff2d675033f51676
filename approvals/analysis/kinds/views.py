"""Views and materialized views."""

from __future__ import annotations

from approvals.analysis import names
from approvals.analysis.kinds.common import DropRelation
from approvals.analysis.kinds.queries import read_locks
from approvals.analysis.model import Lock, LockMode
from approvals.analysis.parser import pb
from approvals.analysis.registry import ACCESS_EXCLUSIVE, SHARE_UPDATE, Kind, registered, strongest


@registered("view_stmt")
class CreateView(Kind):
    """CREATE VIEW; with OR REPLACE the view itself is locked if it exists."""

    hazard = "create-code"
    tags = ("CREATE VIEW",)

    @property
    def name(self) -> str:
        return "CREATE OR REPLACE VIEW" if self.node.replace else "CREATE VIEW"

    @property
    def change(self) -> str:
        return "REPLACE VIEW" if self.node.replace else "CREATE VIEW"

    @property
    def relation(self) -> str:
        return names.relation(self.node.view)

    @property
    def locks(self) -> tuple[Lock, ...]:
        own = [Lock(self.relation, ACCESS_EXCLUSIVE, "if it exists")] if self.node.replace else []
        return strongest([*own, *read_locks(self.node.query)])

    @property
    def creates(self) -> tuple[str, ...]:
        return () if self.node.replace else (self.relation,)

    @property
    def says(self) -> str:
        verb = "Creates or replaces" if self.node.replace else "Creates"
        return f"{verb} view {self.relation}."


@registered("create_table_as_stmt", pb.OBJECT_MATVIEW)
class CreateMaterializedView(Kind):
    """CREATE MATERIALIZED VIEW: runs its query, unless WITH NO DATA."""

    name = "CREATE MATERIALIZED VIEW"
    change = "CREATE MATERIALIZED VIEW"
    hazard = "create-relation"
    tags = ("SELECT", "CREATE MATERIALIZED VIEW")

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
        return f"Creates materialized view {self.relation}."


@registered("refresh_mat_view_stmt")
class Refresh(Kind):
    """REFRESH MATERIALIZED VIEW: nobody reads it meanwhile, unless CONCURRENTLY."""

    change = "REFRESH MATERIALIZED VIEW"
    hazard = "maintenance"
    tags = ("REFRESH MATERIALIZED VIEW",)

    @property
    def name(self) -> str:
        return "REFRESH MATERIALIZED VIEW" + (" CONCURRENTLY" if self.node.concurrent else "")

    @property
    def relation(self) -> str:
        return names.relation(self.node.relation)

    @property
    def locks(self) -> tuple[Lock, ...]:
        mode = LockMode.EXCLUSIVE if self.node.concurrent else ACCESS_EXCLUSIVE
        return (Lock(self.relation, mode, "runs its query"),)

    @property
    def says(self) -> str:
        return f"Computes materialized view {self.relation} anew."


@registered("drop_stmt", pb.OBJECT_VIEW)
class DropView(DropRelation):
    """DROP VIEW: no rows go."""

    change = "DROP VIEW"


@registered("drop_stmt", pb.OBJECT_MATVIEW)
class DropMaterializedView(DropRelation):
    """DROP MATERIALIZED VIEW: its rows can be computed again."""

    change = "DROP MATERIALIZED VIEW"


@registered("rule_stmt")
class CreateRule(Kind):
    """CREATE RULE: rewrites statements on a table."""

    change = "CREATE RULE"
    hazard = "row-security"
    tags = ("CREATE RULE",)

    @property
    def name(self) -> str:
        return "CREATE OR REPLACE RULE" if self.node.replace else "CREATE RULE"

    @property
    def relation(self) -> str:
        return names.relation(self.node.relation)

    @property
    def locks(self) -> tuple[Lock, ...]:
        return (Lock(self.relation, ACCESS_EXCLUSIVE),)

    @property
    def says(self) -> str:
        return f"Creates rule {names.quoted(self.node.rulename)} on {self.relation}."


@registered("create_stats_stmt")
class CreateStatistics(Kind):
    """CREATE STATISTICS: helps the planner."""

    name = "CREATE STATISTICS"
    change = "STATISTICS"
    hazard = "harmless"

    @property
    def relation(self) -> str:
        return names.relation(self.node.relations[0].range_var)

    @property
    def locks(self) -> tuple[Lock, ...]:
        return (Lock(self.relation, SHARE_UPDATE),)

    @property
    def says(self) -> str:
        return f"Creates statistics on {self.relation} for the planner."
