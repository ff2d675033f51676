"""Columns and their defaults: added, dropped, retyped, and every attribute altered in place."""

from __future__ import annotations

from collections.abc import Sequence

from executor.schema.inverse.action import Action, Statement, statements
from executor.schema.inverse.family import Changes, Context, Family, comma, relation
from executor.schema.inverse.options import NEUTRAL
from executor.schema.names import dotted, literal, quoted
from executor.schema.objects import Object, Ref

STORAGE = {"p": "PLAIN", "e": "EXTERNAL", "x": "EXTENDED", "m": "MAIN"}
GENERATED = {"s": "STORED", "v": "VIRTUAL"}
COMPRESSION = {"p": "pglz", "l": "lz4"}
FINE = {
    "storage",
    "compression",
    "statistics_target",
    "options",
    "foreign_options",
}


class Column(Family):
    """A column of a table."""

    kind = "column"
    word = "COLUMN"
    ownable = False

    def create(self, thing: Object, context: Context) -> list[Action]:
        """ADD COLUMN with all that can be said there; the rest follows."""
        if thing["inherited"] and not thing["local"] and context.attempt == 1:
            return [self.creating(thing)]
        default = context.before.get(Ref("default", thing.ref.path))
        table = f"ALTER {table_word(thing)} {relation(thing.ref)}"
        filling = fill_value(thing, context) if needs_fill(thing, default) else None
        provides = {thing.ref} | ({default.ref} if default else set())
        if filling is None:
            made = [Statement(f"{table} ADD COLUMN {column_definition(thing, default, context)}")]
        else:
            made = [
                Statement(f"{table} ADD COLUMN {column_definition(thing, default, context, not_null=False)}")
            ]
            made.append(
                Statement(
                    f"UPDATE {relation(thing.ref)} SET {quoted(thing.ref.name)} = {filling}", fills=True
                )
            )
            made.append(Statement(set_not_null(thing, table)))
        made += statements(*(f"{table} {clause}" for clause in fine_clauses(thing)))
        return [Action("create", thing.ref, made, provides=provides)]

    def drop(self, thing: Object, context: Context) -> list[Action]:
        """DROP COLUMN."""
        if thing["inherited"] and not thing["local"]:
            return []
        sql = f"ALTER {table_word(thing)} {relation(thing.ref)} DROP COLUMN {quoted(thing.ref.name)}"
        loss = None if thing["generated"] else f"the values of column {dotted(thing.ref.path)}"
        return [self.dropping(thing, sql, loss=loss)]

    def alter(self, now: Object, before: Object, changes: Changes, context: Context) -> list[Action] | None:
        """Everything in place, but for a change of what a generated column is computed from."""
        if now["inherited"] and not now["local"] and context.attempt == 1:
            return []
        table = f"ALTER {table_word(now)} {relation(now.ref)}"
        column = f"{table} ALTER COLUMN {quoted(now.ref.name)}"
        if changes.keys() & {"generated", "expression"}:
            made = _generation(now, before, column, context)
            if made is None:
                return None
            return [self.altering(now, *made)]
        actions: list[Action] = []
        if changes.keys() & {"type", "collation"}:
            if now["generated"]:
                return None
            actions.append(_retype(now, before, column, context))
        if changes.keys() & {"identity", "identity_sequence"}:
            actions += _identity(now, before, column, context)
        if changes.keys() & {"not_null", "not_null_name", "not_null_valid", "not_null_only"}:
            actions += _not_null(now, before, table, context)
        if changes.keys() & FINE:
            clauses = fine_clauses(before, now)
            actions.append(self.altering(now, *(f"{table} {clause}" for clause in clauses)))
        return actions

    def rename(self, now: Ref, name: str, thing: Object) -> str:
        """RENAME COLUMN."""
        return f"ALTER {table_word(thing)} {relation(now)} RENAME COLUMN {quoted(now.name)} TO {quoted(name)}"


class Default(Family):
    """A column's default."""

    kind = "default"
    word = ""
    ownable = False

    def create(self, thing: Object, context: Context) -> list[Action]:
        """SET DEFAULT."""
        word = {"v": "VIEW", "f": "FOREIGN TABLE"}.get(thing["form"], "TABLE ONLY")
        column = f"ALTER {word} {relation(thing.ref)} ALTER COLUMN {quoted(thing.ref.name)}"
        sql = f"{column} SET DEFAULT {thing['expression']}"
        return [self.creating(thing, sql)]

    def drop(self, thing: Object, context: Context) -> list[Action]:
        """DROP DEFAULT."""
        word = {"v": "VIEW", "f": "FOREIGN TABLE"}.get(thing["form"], "TABLE ONLY")
        sql = f"ALTER {word} {relation(thing.ref)} ALTER COLUMN {quoted(thing.ref.name)} DROP DEFAULT"
        return [self.dropping(thing, sql)]

    def alter(self, now: Object, before: Object, changes: Changes, context: Context) -> list[Action] | None:
        """One SET DEFAULT where nothing must be out of the way meanwhile."""
        column = Ref("column", now.ref.path)
        target, current = context.before.get(column), context.now.get(column)
        if (
            target
            and current
            and (target["type"], target["collation"]) == (current["type"], current["collation"])
        ):
            return [Action("alter", now.ref, self.create(before, context)[0].statements)]
        return None


def table_word(thing: Object) -> str:
    """TABLE or FOREIGN TABLE."""
    return "FOREIGN TABLE" if thing["form"] == "f" else "TABLE"


def needs_fill(thing: Object, default: Object | None) -> bool:
    """Whether rows that exist would have no value for the column."""
    return bool(thing["not_null"] and default is None and not thing["identity"] and not thing["generated"])


def column_definition(
    thing: Object, default: Object | None, context: Context, *, not_null: bool = True
) -> str:
    """The column as CREATE TABLE and ADD COLUMN write it."""
    parts = [quoted(thing.ref.name), thing["type"]]
    if thing["collation"]:
        parts.append(f"COLLATE {thing['collation']}")
    if thing["generated"]:
        parts.append(f"GENERATED ALWAYS AS ({thing['expression']}) {GENERATED[thing['generated']]}")
    if thing["identity"]:
        parts.append(f"GENERATED {identity_words(thing)} AS IDENTITY ({sequence_options(thing)})")
    if default is not None:
        parts.append(f"DEFAULT {default['expression']}")
    if thing["not_null"] and not_null:
        if thing["not_null_name"]:
            parts.append(f"CONSTRAINT {quoted(thing['not_null_name'])}")
        parts.append("NOT NULL")
        if thing["not_null_only"]:
            parts.append("NO INHERIT")
    return " ".join(parts)


def identity_words(thing: Object) -> str:
    """ALWAYS or BY DEFAULT."""
    return "ALWAYS" if thing["identity"] == "a" else "BY DEFAULT"


def sequence_options(thing: Object) -> str:
    """The sequence behind an identity column."""
    schema, name, _, start, increment, minimum, maximum, cache, cycle, _ = thing["identity_sequence"]
    return (
        f"SEQUENCE NAME {dotted((schema, name))} START WITH {start} INCREMENT BY {increment}"
        f" MINVALUE {minimum} MAXVALUE {maximum} CACHE {cache}{' CYCLE' if cycle == 'true' else ''}"
    )


def set_not_null(thing: Object, table: str) -> str:
    """NOT NULL under its own name, where the server keeps one."""
    if not thing["not_null_name"]:
        return f"{table} ALTER COLUMN {quoted(thing.ref.name)} SET NOT NULL"
    ending = (" NO INHERIT" if thing["not_null_only"] else "") + (
        "" if thing["not_null_valid"] else " NOT VALID"
    )
    name = quoted(thing["not_null_name"])
    return f"{table} ADD CONSTRAINT {name} NOT NULL {quoted(thing.ref.name)}{ending}"


def fine_clauses(thing: Object, now: Object | None = None) -> list[str]:
    """ALTER COLUMN clauses for storage, compression, statistics and options, where they differ from `now`."""
    column = f"ALTER COLUMN {quoted(thing.ref.name)}"
    old = now.attributes if now is not None else {}
    found = []
    if thing["storage"] != old.get("storage"):
        found.append(f"{column} SET STORAGE {STORAGE[thing['storage'] or thing['usual_storage']]}")
    if thing["compression"] != old.get("compression"):
        found.append(f"{column} SET COMPRESSION {COMPRESSION.get(thing['compression'], 'default')}")
    if thing["statistics_target"] != old.get("statistics_target"):
        target = thing["statistics_target"]
        found.append(f"{column} SET STATISTICS {-1 if target is None else target}")
    found += option_clauses(column, thing["options"], old.get("options"))
    if thing["foreign_options"] != old.get("foreign_options"):
        found.append(
            f"{column} {foreign_option_change(thing['foreign_options'], old.get('foreign_options'))}"
        )
    return found


def option_clauses(owner: str, wanted: list[str] | None, old: list[str] | None) -> list[str]:
    """SET and RESET of storage options."""
    new, had = set(wanted or []), set(old or [])
    names = {option.partition("=")[0] for option in wanted or []}
    gone = sorted({option.partition("=")[0] for option in had} - names)
    made = []
    if gone:
        made.append(f"{owner} RESET ({comma(gone)})".strip())
    if new - had:
        made.append(f"{owner} SET ({comma(sorted(_option(option) for option in new - had))})".strip())
    return made


def _option(option: str) -> str:
    name, _, value = option.partition("=")
    return f"{name}={value if value.replace('.', '').isalnum() else literal(value)}"


def foreign_option_change(wanted: list[str] | None, old: list[str] | None) -> str:
    """OPTIONS (…) that leads from one list to the other."""
    new = dict(option.split("=", 1) for option in wanted or [])
    had = dict(option.split("=", 1) for option in old or [])
    parts = [f"DROP {quoted(name)}" for name in had if name not in new]
    for name, value in new.items():
        if had.get(name) != value:
            parts.append(f"{'SET' if name in had else 'ADD'} {quoted(name)} {literal(value)}")
    return f"OPTIONS ({comma(parts)})"


def fill_value(thing: Object, context: Context) -> str | None:
    """The expression for rows of a column that comes back NOT NULL; None where there is none."""
    schema, table, column = thing.ref.path
    given = context.options.fill.get((schema, table, column))
    if given is not None:
        return given
    return neutral_value(thing, context) if context.options.fill_default == NEUTRAL else None


NEUTRAL_VALUES = (
    (("smallint", "integer", "bigint", "numeric", "real", "double", "oid", "money"), "0"),
    (("boolean",), "false"),
    (("character", "text", "citext", "bytea", "bit"), "''"),
    (("timestamp", "date"), "'1970-01-01'"),
    (("time",), "'00:00'"),
    (("interval",), "'0'"),
    (("jsonb", "json"), "'{}'"),
    (("uuid",), "'00000000-0000-0000-0000-000000000000'"),
    (("inet", "cidr"), "'0.0.0.0'"),
)


def neutral_value(thing: Object, context: Context) -> str | None:
    """The zero value of the column's type; None where the type has none that is known."""
    written: str = thing["type"]
    if written.endswith("[]"):
        return "'{}'"
    for beginnings, value in NEUTRAL_VALUES:
        if written.startswith(beginnings):
            return value
    for kind in context.before.of_kind("type"):
        if dotted(kind.ref.path) == written and kind["form"] == "e" and kind["labels"]:
            return literal(kind["labels"][0])
    return None


def _retype(now: Object, before: Object, column: str, context: Context) -> Action:
    target = before["type"]
    collation = f" COLLATE {before['collation']}" if before["collation"] else ""
    plain = f"{column} TYPE {target}{collation}"
    name = quoted(now.ref.name)
    if target.endswith("[]"):
        conversions = [f"{name}::{target}", f"{name}::text[]::{target}"]
    else:
        conversions = [f"{name}::{target}", f"{name}::integer::{target}", f"{name}::text::{target}"]
    alternatives = tuple(f"{plain} USING {conversion}" for conversion in conversions)
    loss = None
    action = Action("alter", now.ref, (Statement(plain, alternatives),), loss=loss, disturbs={now.ref})
    action.why = f"back from {now['type']}; fails where a value does not fit"
    return action


def _generation(now: Object, before: Object, column: str, context: Context) -> list[str] | None:
    if now["type"] != before["type"] or now["collation"] != before["collation"]:
        return None
    if now["generated"] and not before["generated"] and now["generated"] == "s":
        return [f"{column} DROP EXPRESSION"]
    if context.major >= 17 and now["generated"] == before["generated"]:
        return [f"{column} SET EXPRESSION AS ({before['expression']})"]
    return None


def _identity(now: Object, before: Object, column: str, context: Context) -> list[Action]:
    if now["identity"] and not before["identity"]:
        action = Column().altering(now, f"{column} DROP IDENTITY")
        action.removes = {Ref("sequence", tuple(now["identity_sequence"][:2]))}
        action.after = {
            thing.ref
            for thing in context.before.of_kind("sequence")
            if thing["owned_by"] == list(now.ref.path)
        }
        return [action]
    wanted = before["identity_sequence"]
    if not now["identity"]:
        sql = f"{column} ADD GENERATED {identity_words(before)} AS IDENTITY ({sequence_options(before)})"
        serials = [
            thing.ref for thing in context.now.of_kind("sequence") if thing["owned_by"] == list(now.ref.path)
        ]
        if serials:
            position = carry_position(wanted[:2], serials[0].path)
        else:
            position = Statement(
                continue_after_rows(dotted(wanted[:2]), relation(before.ref), quoted(before.ref.name)),
                fills=True,
            )
        action = Column().altering(now, sql, position)
        action.provides = {Ref("sequence", tuple(wanted[:2]))}
        action.reads = set(serials)
        action.priority = 66
        return [action]
    texts = []
    if now["identity"] != before["identity"]:
        texts.append(f"{column} SET GENERATED {identity_words(before)}")
    had = now["identity_sequence"]
    sequence = dotted(had[:2])
    if had[:2] != wanted[:2]:
        if had[0] != wanted[0]:
            texts.append(f"ALTER SEQUENCE {sequence} SET SCHEMA {quoted(wanted[0])}")
        texts.append(f"ALTER SEQUENCE {dotted((wanted[0], had[1]))} RENAME TO {quoted(wanted[1])}")
    if had[2:9] != wanted[2:9]:
        words = ("AS", "START WITH", "INCREMENT BY", "MINVALUE", "MAXVALUE", "CACHE")
        parts = [
            f"{word} {value}"
            for word, value, old in zip(words, wanted[2:8], had[2:8], strict=True)
            if value != old
        ]
        if wanted[8] != had[8]:
            parts.append("CYCLE" if wanted[8] == "true" else "NO CYCLE")
        texts.append(f"ALTER SEQUENCE {dotted(wanted[:2])} {' '.join(parts)}")
    return [Column().altering(now, *texts)]


def continue_after_rows(sequence: str, table: str, column: str) -> str:
    """SQL that lets a sequence go on behind the greatest value in use."""
    return (
        f"SELECT pg_catalog.setval({literal(sequence)}, greatest(max({column}), 1),"
        f" max({column}) IS NOT NULL) FROM {table}"
    )


def carry_position(new: Sequence[str], old: Sequence[str]) -> Statement:
    """A statement that lets one sequence go on where another stands."""
    sql = f"SELECT pg_catalog.setval({literal(dotted(new))}, last_value, is_called) FROM {dotted(old)}"
    return Statement(sql, fills=True)


def _not_null(now: Object, before: Object, table: str, context: Context) -> list[Action]:
    name = quoted(now.ref.name)
    if now["not_null"] and not before["not_null"]:
        return [Column().altering(now, f"{table} ALTER COLUMN {name} DROP NOT NULL")]
    if before["not_null"] and not now["not_null"]:
        made: list[str | Statement] = []
        filling = fill_value(before, context)
        if filling is not None:
            made.append(
                Statement(
                    f"UPDATE {relation(now.ref)} SET {name} = {filling} WHERE {name} IS NULL", fills=True
                )
            )
        made.append(set_not_null(before, table))
        action = Column().altering(now, *made, why="fails where a row has no value")
        return [action]
    if (
        now["not_null_only"] == before["not_null_only"]
        and before["not_null_valid"]
        and not now["not_null_valid"]
    ):
        return [Column().altering(now, f"{table} VALIDATE CONSTRAINT {quoted(now['not_null_name'])}")]
    if (now["not_null_only"], now["not_null_valid"]) == (before["not_null_only"], before["not_null_valid"]):
        names = f"{quoted(now['not_null_name'])} TO {quoted(before['not_null_name'])}"
        return [Column().altering(now, f"{table} RENAME CONSTRAINT {names}")]
    return [Column().altering(now, f"{table} ALTER COLUMN {name} DROP NOT NULL", set_not_null(before, table))]
