"""ALTER TABLE and its like: one statement made of actions, each of a kind of its own."""

from __future__ import annotations

from functools import cached_property

from approvals.analysis import names
from approvals.analysis.kinds.common import Action
from approvals.analysis.model import Destroyed, Lock
from approvals.analysis.parser import pb
from approvals.analysis.registry import (
    Compound,
    Kind,
    Unknown,
    find,
    registered,
    riskiest_change,
    strongest,
)


class UnknownAction(Unknown):
    """An action of ALTER TABLE that no kind is registered for."""

    @property
    def name(self) -> str:
        return "UNKNOWN " + names.enum_word(pb.AlterTableType, self.node.subtype, "AT_")

    says = "An action of ALTER TABLE that the analysis does not know."


@registered("alter_table_stmt")
class AlterTable(Compound):
    """ALTER TABLE: the kind names its actions; the highest risk and the strongest locks of them count."""

    @cached_property
    def actions(self) -> list[Kind]:
        """The kinds of its actions, in order."""
        found: list[Kind] = []
        for each in self.node.cmds:
            command = each.alter_table_cmd
            kind = find("alter_table_cmd", command.subtype)
            if kind is not None and issubclass(kind, Action):
                found.append(kind(command, self.context, self.node))
            else:
                found.append(UnknownAction("alter_table_cmd", command, self.context))
        return found

    @property
    def name(self) -> str:
        return ", ".join(dict.fromkeys(action.name for action in self.actions))

    @property
    def change(self) -> str:
        return riskiest_change(action.change for action in self.actions)

    @property
    def hazards(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each for action in self.actions for each in action.hazards))

    @property
    def says(self) -> str:
        sentences = [action.says.removesuffix(".") for action in self.actions]
        return sentences[0] + "".join("; " + each[0].lower() + each[1:] for each in sentences[1:]) + "."

    @property
    def tags(self) -> tuple[str, ...]:
        return ("ALTER " + names.object_word(self.node.objtype).upper(),)

    @property
    def relation(self) -> str:
        return names.relation(self.node.relation)

    @property
    def locks(self) -> tuple[Lock, ...]:
        if self.node.objtype == pb.OBJECT_TYPE:
            return ()
        return strongest(lock for action in self.actions for lock in action.locks)

    @property
    def destroys(self) -> tuple[Destroyed, ...]:
        return tuple(gone for action in self.actions for gone in action.destroys)

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(note for action in self.actions for note in action.notes))

    @property
    def transactional(self) -> bool:
        return all(action.transactional for action in self.actions)


@registered("alter_table_move_all_stmt")
class MoveAll(Kind):
    """ALTER TABLE ALL IN TABLESPACE: rewrites relations that the text does not name."""

    change = "TABLESPACE OF OBJECT"
    hazard = "rewrite-table"
    notes = ("locks relations that the statement does not name",)

    @property
    def name(self) -> str:
        return f"ALTER {names.object_word(self.node.objtype).upper()} ALL IN TABLESPACE"

    @property
    def tags(self) -> tuple[str, ...]:
        return ("ALTER " + names.object_word(self.node.objtype).upper(),)

    @property
    def says(self) -> str:
        here, there = names.quoted(self.node.orig_tablespacename), names.quoted(self.node.new_tablespacename)
        return f"Moves everything of one type from tablespace {here} to {there}."
