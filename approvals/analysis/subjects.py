"""The objects that a statement makes, drops or changes, by name: enough to say which step undoes which."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

from approvals.analysis import names, parser
from approvals.analysis.parser import Source, SqlError, pb, walk


class Act(Enum):
    """What a statement does to an object. CREATE OR REPLACE changes: nobody knows what was there."""

    MAKES = "makes"
    DROPS = "drops"
    CHANGES = "changes"


@dataclass(frozen=True, slots=True)
class Subject:
    """One object: `on` is its own name where it stands for itself (a table, a function), else the table that
    it is a part of, and `part` its name there ('' for one without a name). `under`: an index's table."""

    act: Act
    what: str
    on: str
    part: str = ""
    under: str = ""


Reader = Callable[[Any], Iterator[Subject]]
_READERS: dict[str, Reader] = {}

_RELATIONS = frozenset(
    {
        pb.OBJECT_TABLE,
        pb.OBJECT_VIEW,
        pb.OBJECT_MATVIEW,
        pb.OBJECT_INDEX,
        pb.OBJECT_SEQUENCE,
        pb.OBJECT_FOREIGN_TABLE,
    }
)
_PARTS = {
    pb.OBJECT_COLUMN: "column",
    pb.OBJECT_POLICY: "policy",
    pb.OBJECT_RULE: "rule",
    pb.OBJECT_TABCONSTRAINT: "constraint",
    pb.OBJECT_TRIGGER: "trigger",
}
_ROUTINES = frozenset({pb.OBJECT_AGGREGATE, pb.OBJECT_FUNCTION, pb.OBJECT_PROCEDURE, pb.OBJECT_ROUTINE})
_TYPES = frozenset({pb.OBJECT_DOMAIN, pb.OBJECT_TYPE})
_COLUMN_ACTS = {pb.AT_AddColumn: Act.MAKES, pb.AT_DropColumn: Act.DROPS}
_CONSTRAINT_ACTS = {
    pb.AT_AddConstraint: Act.MAKES,
    pb.AT_DropConstraint: Act.DROPS,
    pb.AT_AlterConstraint: Act.CHANGES,
    pb.AT_ValidateConstraint: Act.CHANGES,
}
_OF_COLUMNS = frozenset(
    {
        pb.AT_AlterColumnType,
        pb.AT_ColumnDefault,
        pb.AT_DropNotNull,
        pb.AT_SetNotNull,
        pb.AT_SetStatistics,
        pb.AT_SetStorage,
        pb.AT_SetCompression,
        pb.AT_AddIdentity,
        pb.AT_SetIdentity,
        pb.AT_DropIdentity,
        pb.AT_DropExpression,
        pb.AT_SetExpression,
    }
)


@lru_cache(maxsize=2_048)
def subjects(sql: str) -> frozenset[Subject]:
    """What one statement is about; empty where its names can't be read (a block of code, unreadable SQL)."""
    try:
        pieces = parser.parse(Source(sql))
    except SqlError:
        return frozenset()
    return frozenset(subject for piece in pieces for subject in _of(piece.which, piece.node))


def _of(which: str, node: Any) -> Iterator[Subject]:
    reader = _READERS.get(which)
    if reader is not None:
        yield from reader(node)
        return
    for each in walk(node):  # whatever else names a table changes something about it
        if isinstance(each, pb.RangeVar):
            yield Subject(Act.CHANGES, "relation", names.relation(each))


def _reads(*which: str) -> Callable[[Reader], Reader]:
    def register(reader: Reader) -> Reader:
        _READERS.update(dict.fromkeys(which, reader))
        return reader

    return register


def _makes(node: Any) -> Act:
    return Act.CHANGES if node.replace else Act.MAKES


@_reads("create_stmt", "create_foreign_table_stmt")
def _table(node: Any) -> Iterator[Subject]:
    base = node.base_stmt if hasattr(node, "base_stmt") else node
    yield Subject(Act.MAKES, "relation", names.relation(base.relation))


@_reads("create_seq_stmt")
def _sequence(node: Any) -> Iterator[Subject]:
    yield Subject(Act.MAKES, "relation", names.relation(node.sequence))


@_reads("create_table_as_stmt")
def _table_as(node: Any) -> Iterator[Subject]:
    yield Subject(Act.MAKES, "relation", names.relation(node.into.rel))


@_reads("view_stmt")
def _view(node: Any) -> Iterator[Subject]:
    yield Subject(_makes(node), "relation", names.relation(node.view))


@_reads("index_stmt")
def _index(node: Any) -> Iterator[Subject]:
    table = names.relation(node.relation)
    schema = table.rpartition(".")[0]
    own = names.quoted(node.idxname) if node.idxname else ""
    yield Subject(Act.MAKES, "relation", f"{schema}.{own}" if schema and own else own, under=table)


@_reads("alter_table_stmt")
def _alter_table(node: Any) -> Iterator[Subject]:
    table = names.relation(node.relation)
    for each in node.cmds:
        command = each.alter_table_cmd
        if command.subtype in _CONSTRAINT_ACTS:
            name = command.name or getattr(command, "def").constraint.conname
            yield Subject(_CONSTRAINT_ACTS[command.subtype], "constraint", table, name)
        elif command.subtype in _COLUMN_ACTS:
            name = command.name or getattr(command, "def").column_def.colname
            yield Subject(_COLUMN_ACTS[command.subtype], "column", table, name)
        elif command.subtype in _OF_COLUMNS:
            yield Subject(Act.CHANGES, "column", table, command.name)
        else:
            yield Subject(Act.CHANGES, "relation", table)


@_reads("rename_stmt")
def _rename(node: Any) -> Iterator[Subject]:
    table = names.relation(node.relation)
    what = _PARTS.get(node.rename_type)
    for name in (node.subname, node.newname) if what else ():
        yield Subject(Act.CHANGES, what or "", table, name)
    if what is None and table:
        schema = table.rpartition(".")[0]
        new = names.quoted(node.newname)
        yield Subject(Act.CHANGES, "relation", table)
        yield Subject(Act.CHANGES, "relation", f"{schema}.{new}" if schema else new)


@_reads("drop_stmt")
def _drop(node: Any) -> Iterator[Subject]:
    for each in node.objects:
        name = _name(each)
        if node.remove_type in _RELATIONS:
            yield Subject(Act.DROPS, "relation", names.dotted(each.list.items))
        elif node.remove_type in _PARTS:
            *table, part = each.list.items
            yield Subject(Act.DROPS, _PARTS[node.remove_type], names.dotted(table), part.string.sval)
        elif node.remove_type in _ROUTINES:
            yield Subject(Act.DROPS, "routine", name)
        elif node.remove_type in _TYPES:
            yield Subject(Act.DROPS, "type", name)
        else:
            yield Subject(Act.DROPS, names.object_word(node.remove_type), name)


def _name(node: Any) -> str:
    """The name in one object of a DROP, whatever form it has there."""
    if node.HasField("object_with_args"):
        return names.dotted(node.object_with_args.objname)
    if node.HasField("type_name"):
        return names.dotted(node.type_name.names)
    return names.dotted(node.list.items) if node.HasField("list") else names.quoted(node.string.sval)


@_reads("create_trig_stmt")
def _trigger(node: Any) -> Iterator[Subject]:
    yield Subject(_makes(node), "trigger", names.relation(node.relation), node.trigname)


@_reads("rule_stmt")
def _rule(node: Any) -> Iterator[Subject]:
    yield Subject(_makes(node), "rule", names.relation(node.relation), node.rulename)


@_reads("create_policy_stmt")
def _policy(node: Any) -> Iterator[Subject]:
    yield Subject(Act.MAKES, "policy", names.relation(node.table), node.policy_name)


@_reads("alter_policy_stmt")
def _alter_policy(node: Any) -> Iterator[Subject]:
    yield Subject(Act.CHANGES, "policy", names.relation(node.table), node.policy_name)


@_reads("create_function_stmt")
def _function(node: Any) -> Iterator[Subject]:
    yield Subject(_makes(node), "routine", names.dotted(node.funcname))


@_reads("create_enum_stmt", "create_range_stmt")
def _type(node: Any) -> Iterator[Subject]:
    yield Subject(Act.MAKES, "type", names.dotted(node.type_name))


@_reads("composite_type_stmt")
def _composite(node: Any) -> Iterator[Subject]:
    yield Subject(Act.MAKES, "type", names.relation(node.typevar))


@_reads("create_domain_stmt")
def _domain(node: Any) -> Iterator[Subject]:
    yield Subject(Act.MAKES, "type", names.dotted(node.domainname))


@_reads("alter_enum_stmt", "alter_domain_stmt")
def _alter_type(node: Any) -> Iterator[Subject]:
    yield Subject(Act.CHANGES, "type", names.dotted(node.type_name))


@_reads("create_extension_stmt")
def _extension(node: Any) -> Iterator[Subject]:
    yield Subject(Act.MAKES, "extension", names.quoted(node.extname))


@_reads("create_schema_stmt")
def _schema(node: Any) -> Iterator[Subject]:
    yield Subject(Act.MAKES, "schema", names.quoted(node.schemaname))


@_reads("insert_stmt", "copy_stmt")
def _insert(node: Any) -> Iterator[Subject]:
    yield Subject(Act.MAKES, "rows", names.relation(node.relation))


@_reads("delete_stmt")
def _delete(node: Any) -> Iterator[Subject]:
    yield Subject(Act.DROPS, "rows", names.relation(node.relation))


@_reads("update_stmt", "merge_stmt")
def _update(node: Any) -> Iterator[Subject]:
    yield Subject(Act.CHANGES, "rows", names.relation(node.relation))


@_reads("truncate_stmt")
def _truncate(node: Any) -> Iterator[Subject]:
    for each in node.relations:
        yield Subject(Act.DROPS, "rows", names.relation(each.range_var))


@_reads("grant_stmt")
def _grant(node: Any) -> Iterator[Subject]:
    for each in node.objects:
        name = names.relation(each.range_var) if each.HasField("range_var") else _name(each)
        yield Subject(Act.MAKES if node.is_grant else Act.DROPS, "grant", name)


@_reads("comment_stmt")
def _comment(node: Any) -> Iterator[Subject]:
    yield Subject(Act.CHANGES, "comment", _name(node.object))


@_reads("alter_system_stmt")
def _setting(node: Any) -> Iterator[Subject]:
    yield Subject(Act.CHANGES, "setting", node.setstmt.name)


@_reads("select_stmt", "transaction_stmt", "variable_set_stmt", "do_stmt", "call_stmt")
def _nothing(node: Any) -> Iterator[Subject]:
    """Nothing that has a name to be undone by."""
    yield from ()
