"""What a statement kind is, and how the kind of a parse tree is found.

Every kind is one small class that says only what is different about it, registered for a node type of the
parse tree and, where one node serves many statements, for its subtype. Nothing registered means *unknown*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from approvals.analysis import matrix
from approvals.analysis.hazards import hazard
from approvals.analysis.model import Destroyed, Lock, LockMode

ACCESS_SHARE = LockMode.ACCESS_SHARE
ROW_SHARE = LockMode.ROW_SHARE
ROW_EXCLUSIVE = LockMode.ROW_EXCLUSIVE
SHARE_UPDATE = LockMode.SHARE_UPDATE_EXCLUSIVE
SHARE = LockMode.SHARE
SHARE_ROW = LockMode.SHARE_ROW_EXCLUSIVE
ACCESS_EXCLUSIVE = LockMode.ACCESS_EXCLUSIVE

CASCADE = "CASCADE: whatever depends on it goes too"
NOT_UNDONE = "not undone by ROLLBACK"

# Which field of a node tells its subtype.
_SUBTYPE = {
    "alter_object_schema_stmt": "object_type",
    "alter_owner_stmt": "object_type",
    "create_table_as_stmt": "objtype",
    "define_stmt": "kind",
    "drop_stmt": "remove_type",
    "rename_stmt": "rename_type",
}


@dataclass(slots=True)
class Context:
    """What the rest of a file tells about names that a statement alone does not explain.

    Keys are the bare names (no schema): a match too many only announces one lock too many.
    """

    foreign_keys: dict[tuple[str, str], str] = field(default_factory=dict)  # table, constraint → referenced
    key_columns: dict[tuple[str, str], str] = field(default_factory=dict)  # table, column → referenced
    references: dict[str, dict[str, None]] = field(default_factory=dict)  # table → referenced tables
    index_tables: dict[str, str] = field(default_factory=dict)  # index → its table


class Kind:
    """One statement, as its kind understands it. Subclasses override what differs."""

    def __init__(self, node: Any, context: Context) -> None:
        self.node = node
        self.context = context

    @property
    def name(self) -> str:
        """What it is called, for example 'CREATE INDEX CONCURRENTLY'."""
        raise NotImplementedError

    @property
    def change(self) -> str:
        """Its row in the decision matrix."""
        raise NotImplementedError

    @property
    def hazard(self) -> str:
        """The id of its hazard in a rollback script."""
        return "catalog-change"

    @property
    def hazards(self) -> tuple[str, ...]:
        """The ids of all its hazards; more than one where it is made of parts."""
        return (self.hazard,)

    @property
    def says(self) -> str:
        """One plain sentence with names."""
        raise NotImplementedError

    @property
    def tags(self) -> tuple[str, ...]:
        """Command tags that PostgreSQL may answer."""
        return (self.name,)

    @property
    def relation(self) -> str:
        """The relation it is mainly about, or ''."""
        return ""

    @property
    def locks(self) -> tuple[Lock, ...]:
        """The table locks it takes, as far as the text tells."""
        return ()

    @property
    def destroys(self) -> tuple[Destroyed, ...]:
        """The data that goes when it runs."""
        return ()

    @property
    def creates(self) -> tuple[str, ...]:
        """The relations that it certainly makes."""
        return ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reviewer should know beyond the sentence."""
        return ()

    @property
    def transactional(self) -> bool:
        """Whether it may run inside a transaction block."""
        return True

    @property
    def manual(self) -> bool:
        """Whether a person has to do it: it reaches beyond this database."""
        return False

    @property
    def restart(self) -> bool:
        """Whether the server must be restarted before it is in force."""
        return False


class Compound(Kind):
    """A statement made of parts: of its hazards the worst counts."""

    @property
    def hazard(self) -> str:
        return max(self.hazards, key=lambda each: hazard(each).risk)

    @property
    def hazards(self) -> tuple[str, ...]:
        raise NotImplementedError


class Unknown(Kind):
    """A statement that no kind is registered for. Never skipped: CRITICAL, and refused in a script."""

    def __init__(self, which: str, node: Any, context: Context) -> None:
        super().__init__(node, context)
        self.which = which

    @property
    def name(self) -> str:
        return "UNKNOWN " + self.which.removesuffix("_stmt").replace("_", " ").upper()

    change = matrix.UNKNOWN
    hazard = "unreadable"
    tags = ()
    says = "A statement that the analysis does not know."


_KINDS: dict[tuple[str, int | None], type[Kind]] = {}
K = TypeVar("K", bound=type[Kind])


def registered(which: str, *subtypes: int) -> Callable[[K], K]:
    """Class decorator: this kind reads nodes of that type (and of these subtypes only, if any are given).

    Raises ValueError if another kind already does.
    """

    def register(kind: K) -> K:
        for subtype in subtypes or (None,):
            key = (which, subtype)
            if key in _KINDS:
                raise ValueError(f"{kind.__name__} and {_KINDS[key].__name__} both read {key}")
            _KINDS[key] = kind
        return kind

    return register


def kind_of(which: str, node: Any, context: Context) -> Kind:
    """The kind of a statement's node; `Unknown` where nothing is registered."""
    kind = find(which, getattr(node, _SUBTYPE[which]) if which in _SUBTYPE else None)
    return kind(node, context) if kind else Unknown(which, node, context)


def find(which: str, subtype: int | None) -> type[Kind] | None:
    """The kind registered for a node type and subtype, or for the node type alone; None if there is none."""
    return _KINDS.get((which, subtype)) or _KINDS.get((which, None))


def riskiest_change(changes: Iterable[str]) -> str:
    """Of several matrix rows the one with the highest risk; of equals the first."""
    return max(changes, key=lambda change: matrix.row(change).risk)


def strongest(locks: Iterable[Lock]) -> tuple[Lock, ...]:
    """One lock per relation, the strongest, with the notes of all."""
    found: dict[str, Lock] = {}
    for lock in locks:
        other = found.get(lock.relation)
        if other is None:
            found[lock.relation] = lock
        else:
            notes = dict.fromkeys(note for note in (other.note, lock.note) if note)
            found[lock.relation] = Lock(lock.relation, max(other.mode, lock.mode), ", ".join(notes))
    return tuple(found.values())


def bare(name: str) -> str:
    """The last part of a possibly qualified name."""
    return name.rpartition(".")[2]
