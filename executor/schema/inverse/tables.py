"""Tables: created with their columns, dropped, and altered in every property of their own; partitions,
inheritance."""

from __future__ import annotations

from collections.abc import Iterator

from executor.schema.inverse.action import Action, Statement, statements
from executor.schema.inverse.column_sql import (
    column_definition,
    fine_clauses,
    foreign_option_change,
    option_clauses,
)
from executor.schema.inverse.family import Changes, Context, Family, comma
from executor.schema.lost import ROWS, Lost
from executor.schema.names import dotted, literal, quoted
from executor.schema.objects import Object, Ref, Snapshot

INHERIT = 75
"""Among the priorities: behind columns and constraints."""
IDENTITY = {"n": "NOTHING", "f": "FULL", "d": "DEFAULT"}


class Table(Family):
    """A table, partitioned or foreign ones included."""

    kind = "table"
    word = "TABLE"

    def word_of(self, thing: Object) -> str:
        """TABLE or FOREIGN TABLE."""
        return "FOREIGN TABLE" if thing["form"] == "f" else "TABLE"

    def create(self, thing: Object, context: Context) -> list[Action]:
        """CREATE TABLE with columns and defaults; constraints, indexes and the rest are objects of their
        own."""
        columns = context.before.columns(*thing.ref.path)
        provides = {thing.ref} | {column.ref for column in columns}
        lines, later = [], []
        for column in columns:
            default = context.before.get(Ref("default", column.ref.path))
            if default is not None:
                provides.add(default.ref)
            if thing["parents"] and not column["local"]:
                continue
            lines.append("    " + column_definition(column, default))
            later += [
                f"ALTER {self.word_of(thing)} ONLY {dotted(thing.ref.path)} {clause}"
                for clause in fine_clauses(column)
            ]
        made = [_create_table(thing, lines), *later, *_properties(thing)]
        return [Action("create", thing.ref, statements(*made), provides=provides)]

    def drop(self, thing: Object, context: Context) -> list[Action]:
        """DROP TABLE, or a place for it in the archive."""
        name = dotted(thing.ref.path)
        loses = () if thing["form"] == "f" else (Lost(ROWS, (thing.ref.path[0], thing.ref.path[1])),)
        return [self.dropping(thing, f"DROP {self.word_of(thing)} {name}", loses=loses)]

    def alter(self, now: Object, before: Object, changes: Changes, context: Context) -> list[Action] | None:
        """Properties in place; what makes another kind of table of it can't be undone here."""
        fixed = changes.keys() & {"form", "partition_key", "of_type", "server"}
        if fixed:
            context.gaps.append(f"table {dotted(now.ref.path)}: {comma(sorted(fixed))} changed")
        table = f"ALTER {self.word_of(now)} {dotted(now.ref.path)}"
        made = [self.altering(now, *(f"{table} {clause}" for clause in _clauses(now, before, changes)))]
        if "parents" in changes:
            made += _inheritance(self, now, before, table)
        return made


def _inheritance(family: Family, now: Object, before: Object, table: str) -> Iterator[Action]:
    """Parents leave before anything else, and come once the table has what they ask for."""
    had, wanted = (list(map(tuple, thing["parents"])) for thing in (now, before))
    kept = [parent for parent in had if parent in wanted]
    if kept != wanted[: len(kept)]:
        kept = []
    gone = [f"{table} NO INHERIT {dotted(parent)}" for parent in had if parent not in kept]
    if gone:
        yield family.altering(now, *gone)
    come = [f"{table} INHERIT {dotted(parent)}" for parent in wanted if parent not in kept]
    if come:
        action = family.altering(now, *come)
        action.priority = INHERIT
        yield action


def _create_table(thing: Object, lines: list[str]) -> str:
    unlogged = "UNLOGGED " if thing["persistence"] == "u" else ""
    foreign = "FOREIGN " if thing["form"] == "f" else ""
    head = f"CREATE {foreign}{unlogged}TABLE {dotted(thing.ref.path)} (\n" + ",\n".join(lines) + "\n)"
    if thing["parents"]:
        head += f"\nINHERITS ({comma(dotted(parent) for parent in thing['parents'])})"
    if thing["partition_key"]:
        head += f"\nPARTITION BY {thing['partition_key']}"
    if thing["access_method"] not in (None, "heap"):
        head += f"\nUSING {quoted(thing['access_method'])}"
    options = [*(thing["options"] or []), *(f"toast.{option}" for option in thing["toast_options"] or [])]
    if options:
        head += f"\nWITH ({comma(_with(option) for option in options)})"
    if thing["tablespace"]:
        head += f"\nTABLESPACE {quoted(thing['tablespace'])}"
    if thing["form"] == "f":
        head += f"\nSERVER {quoted(thing['server'])}"
        if thing["foreign_options"]:
            pairs = (option.split("=", 1) for option in thing["foreign_options"])
            head += f" OPTIONS ({comma(f'{quoted(name)} {literal(value)}' for name, value in pairs)})"
    return head


def _with(option: str) -> str:
    name, _, value = option.partition("=")
    return f"{name}={value if value.replace('.', '').isalnum() else literal(value)}"


def _properties(thing: Object) -> list[str]:
    table = f"ALTER TABLE {dotted(thing.ref.path)}"
    made = []
    if thing["row_security"]:
        made.append(f"{table} ENABLE ROW LEVEL SECURITY")
    if thing["force_row_security"]:
        made.append(f"{table} FORCE ROW LEVEL SECURITY")
    if thing["replica_identity"] in "nf" and thing["form"] != "f":
        made.append(f"{table} REPLICA IDENTITY {IDENTITY[thing['replica_identity']]}")
    return made


def _clauses(now: Object, before: Object, changes: Changes) -> list[str]:
    made = []
    if "persistence" in changes:
        made.append("SET LOGGED" if before["persistence"] == "p" else "SET UNLOGGED")
    if "row_security" in changes:
        made.append(f"{'ENABLE' if before['row_security'] else 'DISABLE'} ROW LEVEL SECURITY")
    if "force_row_security" in changes:
        made.append(f"{'' if before['force_row_security'] else 'NO '}FORCE ROW LEVEL SECURITY")
    if "access_method" in changes and before["access_method"]:
        made.append(f"SET ACCESS METHOD {quoted(before['access_method'])}")
    if "tablespace" in changes:
        made.append(f"SET TABLESPACE {quoted(before['tablespace'] or 'pg_default')}")
    made += option_clauses("", before["options"], now["options"])
    toast = [[f"toast.{option}" for option in thing["toast_options"] or []] for thing in (before, now)]
    made += option_clauses("", toast[0], toast[1])
    if "foreign_options" in changes:
        made.append(foreign_option_change(before["foreign_options"], now["foreign_options"]))
    if changes.keys() & {"replica_identity", "replica_index"} and before["replica_identity"] != "i":
        made.append(f"REPLICA IDENTITY {IDENTITY[before['replica_identity']]}")
    return made


class ReplicaIndex(Family):
    """The index that identifies rows for replication: it can only be named once it is there."""

    kind = "table"
    word = "TABLE"

    @staticmethod
    def action(before: Object) -> Action:
        """REPLICA IDENTITY USING INDEX."""
        index = quoted(before["replica_index"])
        sql = f"ALTER TABLE {dotted(before.ref.path)} REPLICA IDENTITY USING INDEX {index}"
        return Action("alter", before.ref, (Statement(sql),), priority=88)


def _keys_and_indexes(tables: set[tuple[str, ...]], schema: Snapshot) -> Iterator[Ref]:
    for thing in schema.of_kind("constraint", "index"):
        if thing.ref.kind == "index":
            if tuple(thing["relation"]) in tables:
                yield thing.ref
        elif thing.ref.relation in tables and thing["type"] in "pux":
            yield thing.ref


class Partition(Family):
    """The bond between a partition and its parent."""

    kind = "partition"
    word = ""
    ownable = False

    def create(self, thing: Object, context: Context) -> list[Action]:
        """ATTACH PARTITION, once the partition has its indexes and keys: they are adopted by name."""
        parent = f"ALTER TABLE {dotted(thing['parent'])}"
        sql = f"{parent} ATTACH PARTITION {dotted(thing.ref.path)} {thing['bound']}"
        action = self.creating(thing, sql)
        action.after = set(_keys_and_indexes({thing.ref.path, tuple(thing["parent"])}, context.before))
        return [action]

    def drop(self, thing: Object, context: Context) -> list[Action]:
        """DETACH PARTITION."""
        return [
            self.dropping(
                thing, f"ALTER TABLE {dotted(thing['parent'])} DETACH PARTITION {dotted(thing.ref.path)}"
            )
        ]
