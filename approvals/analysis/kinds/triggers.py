"""Triggers, rules and event triggers."""

from __future__ import annotations

from approvals.analysis import names
from approvals.analysis.kinds.common import Action, Drop, DropOnTable
from approvals.analysis.model import Lock, LockMode
from approvals.analysis.parser import pb
from approvals.analysis.registry import ACCESS_EXCLUSIVE, SHARE_ROW, Kind, registered

_ENABLE = (pb.AT_EnableTrig, pb.AT_EnableAlwaysTrig, pb.AT_EnableReplicaTrig)
_ENABLE_MANY = (pb.AT_EnableTrigAll, pb.AT_EnableTrigUser)
_DISABLE = (pb.AT_DisableTrig, pb.AT_DisableTrigAll, pb.AT_DisableTrigUser)
_ENABLE_RULE = (pb.AT_EnableRule, pb.AT_EnableAlwaysRule, pb.AT_EnableReplicaRule)


@registered("create_trig_stmt")
class CreateTrigger(Kind):
    """CREATE TRIGGER: writes wait for a moment."""

    change = "CREATE TRIGGER"
    hazard = "create-code"
    tags = ("CREATE TRIGGER",)

    @property
    def name(self) -> str:
        return f"CREATE {'OR REPLACE ' if self.node.replace else ''}TRIGGER"

    @property
    def relation(self) -> str:
        return names.relation(self.node.relation)

    @property
    def locks(self) -> tuple[Lock, ...]:
        return (Lock(self.relation, SHARE_ROW),)

    @property
    def says(self) -> str:
        own, function = names.quoted(self.node.trigname), names.dotted(self.node.funcname)
        verb = "Creates or replaces" if self.node.replace else "Creates"
        return f"{verb} trigger {own} on {self.relation}, which calls {function}()."


@registered("drop_stmt", pb.OBJECT_TRIGGER)
class DropTrigger(DropOnTable):
    """DROP TRIGGER: takes the table for a moment."""

    change = "DROP TRIGGER"


@registered("drop_stmt", pb.OBJECT_RULE)
class DropRule(DropOnTable):
    """DROP RULE."""

    change = "DROP RULE"
    hazard = "row-security"


@registered("alter_table_cmd", *_ENABLE, *_ENABLE_MANY, *_DISABLE)
class SwitchTrigger(Action):
    """ENABLE and DISABLE TRIGGER; ALL includes the triggers that enforce foreign keys."""

    change = "ENABLE OR DISABLE TRIGGER"
    mode = SHARE_ROW

    @property
    def _off(self) -> bool:
        return self.node.subtype in _DISABLE

    @property
    def name(self) -> str:
        return "DISABLE TRIGGER" if self._off else "ENABLE TRIGGER"

    @property
    def hazard(self) -> str:
        return "trigger-off" if self._off else "catalog-change"

    @property
    def says(self) -> str:
        many = self.node.subtype in (pb.AT_DisableTrigAll, pb.AT_EnableTrigAll)
        which = f"trigger {self.column}" if self.node.name else "its own triggers"
        which = "all triggers, foreign keys included," if many else which
        return f"Switches {which} of {self.relation} {'off' if self._off else 'on'}."


@registered("alter_table_cmd", *_ENABLE_RULE, pb.AT_DisableRule)
class SwitchRule(Action):
    """ENABLE and DISABLE RULE."""

    change = "CREATE RULE"
    hazard = "row-security"

    @property
    def name(self) -> str:
        return "DISABLE RULE" if self.node.subtype == pb.AT_DisableRule else "ENABLE RULE"

    @property
    def mode(self) -> LockMode:
        return ACCESS_EXCLUSIVE

    @property
    def says(self) -> str:
        state = "off" if self.node.subtype == pb.AT_DisableRule else "on"
        return f"Switches rule {self.column} of {self.relation} {state}."


@registered("create_event_trig_stmt")
class CreateEventTrigger(Kind):
    """CREATE EVENT TRIGGER: runs at every schema change."""

    name = "CREATE EVENT TRIGGER"
    change = "EVENT TRIGGER"
    hazard = "event-trigger"

    @property
    def says(self) -> str:
        return f"Creates event trigger {names.quoted(self.node.trigname)}, which runs at schema changes."


@registered("alter_event_trig_stmt")
class AlterEventTrigger(Kind):
    """ALTER EVENT TRIGGER: on or off."""

    name = "ALTER EVENT TRIGGER"
    change = "EVENT TRIGGER"
    hazard = "event-trigger"

    @property
    def says(self) -> str:
        return f"Switches event trigger {names.quoted(self.node.trigname)}."


@registered("drop_stmt", pb.OBJECT_EVENT_TRIGGER)
class DropEventTrigger(Drop):
    """DROP EVENT TRIGGER."""

    change = "EVENT TRIGGER"
    hazard = "event-trigger"
