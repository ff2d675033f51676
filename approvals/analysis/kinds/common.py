"""Shapes that several kinds share: dropping objects, renaming, one action of an ALTER TABLE."""

from __future__ import annotations

from typing import Any

from approvals.analysis import names
from approvals.analysis.model import Lock, LockMode
from approvals.analysis.parser import pb
from approvals.analysis.registry import ACCESS_EXCLUSIVE, CASCADE, Context, Kind


def option(options: Any, name: str) -> bool:
    """Whether a list of DefElem nodes switches an option on."""
    for each in options:
        if each.def_elem.defname == name:
            return setting(each.def_elem.arg) not in ("false", "off", "0")
    return False


def setting(argument: Any) -> str:
    """The plain text of a DefElem's or SET's argument, in lower case; '' if it has none."""
    which = argument.WhichOneof("node")
    if which == "a_const":
        return constant(argument.a_const).lower()
    if which == "string":
        return str(argument.string.sval).lower()
    if which == "boolean":
        return "true" if argument.boolean.boolval else "false"
    if which == "integer":
        return str(argument.integer.ival)
    return ""


def constant(node: Any) -> str:
    """The text of an A_Const."""
    which = node.WhichOneof("val")
    if which == "sval":
        return str(node.sval.sval)
    if which == "ival":
        return str(node.ival.ival)
    if which == "fval":
        return str(node.fval.fval)
    if which == "boolval":
        return "true" if node.boolval.boolval else "false"
    return "null"


class Drop(Kind):
    """DROP of one or more objects of one type. Subclasses give the change, the hazard and the locks."""

    @property
    def name(self) -> str:
        return "DROP " + self.word.upper()

    @property
    def word(self) -> str:
        """What the objects are called, for example 'materialized view'."""
        return names.object_word(self.node.remove_type)

    @property
    def objects(self) -> list[str]:
        """Their names, qualified where they were written so."""
        return [names.address(self.node.remove_type, each) for each in self.node.objects]

    @property
    def cascade(self) -> bool:
        """Whether dependents go too."""
        return bool(self.node.behavior == pb.DROP_CASCADE)

    @property
    def hazard(self) -> str:
        return "drop-code"

    @property
    def says(self) -> str:
        condition = " if it exists" if self.node.missing_ok and len(self.node.objects) == 1 else ""
        condition = condition or (" where they exist" if self.node.missing_ok else "")
        dependents = ", with whatever depends on it" if self.cascade else ""
        return f"Drops {self.word} {names.listed(self.objects)}{condition}{dependents}."

    @property
    def notes(self) -> tuple[str, ...]:
        return (CASCADE,) if self.cascade else ()


class DropRelation(Drop):
    """DROP of something that is locked itself."""

    @property
    def relation(self) -> str:
        return self.objects[0]

    @property
    def locks(self) -> tuple[Lock, ...]:
        return tuple(Lock(name, ACCESS_EXCLUSIVE) for name in self.objects)


class DropOnTable(Drop):
    """DROP of a trigger, policy or rule: an object that lives on a table, which is what gets locked."""

    @property
    def places(self) -> list[tuple[str, str]]:
        """Per object its table and its own name."""
        found = []
        for each in self.node.objects:
            *table, own = (names.quoted(part) for part in names.parts(each.list.items))
            found.append((".".join(table), own))
        return found

    @property
    def objects(self) -> list[str]:
        return [f"{own} on {table}" for table, own in self.places]

    @property
    def relation(self) -> str:
        return self.places[0][0]

    @property
    def locks(self) -> tuple[Lock, ...]:
        return tuple(Lock(table, ACCESS_EXCLUSIVE) for table, _ in self.places)


class Action(Kind):
    """One action of an ALTER TABLE statement (or of ALTER INDEX, VIEW, SEQUENCE, TYPE …)."""

    def __init__(self, node: Any, context: Context, statement: Any) -> None:
        super().__init__(node, context)
        self.statement = statement

    @property
    def mode(self) -> LockMode:
        """The lock it takes on its relation."""
        return ACCESS_EXCLUSIVE

    @property
    def cost(self) -> str:
        """What it does while it holds the lock, for example 'scans the table'; '' for the catalog only."""
        return ""

    @property
    def definition(self) -> Any:
        """What the action brings along: a column, a constraint, a partition …"""
        holder = getattr(self.node, "def")
        which = holder.WhichOneof("node")
        return getattr(holder, which) if which else None

    @property
    def has_definition(self) -> bool:
        """Whether the action brings anything along (SET DEFAULT does, DROP DEFAULT does not)."""
        return bool(self.node.HasField("def"))

    @property
    def column(self) -> str:
        """The column, constraint or trigger that the action names."""
        return names.quoted(self.node.name) if self.node.name else str(self.node.num)

    @property
    def relation(self) -> str:
        return names.relation(self.statement.relation)

    @property
    def locks(self) -> tuple[Lock, ...]:
        return (Lock(self.relation, self.mode, self.cost),)
