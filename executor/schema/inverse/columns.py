"""Columns: added, dropped, retyped, and every attribute altered in place."""

from __future__ import annotations

from executor.schema.inverse.action import Action, Statement, statements
from executor.schema.inverse.column_sql import column_definition, fine_clauses, set_not_null, table_word
from executor.schema.inverse.conversions import Conversion
from executor.schema.inverse.family import Changes, Context, Family, relation
from executor.schema.inverse.fields import Fields, fields_of
from executor.schema.inverse.fills import fill_value, filled, lost_with, moved_from, needs_fill
from executor.schema.inverse.identities import identity_changes
from executor.schema.lost import CHANGED, Lost, may_change
from executor.schema.names import dotted, quoted, shortened
from executor.schema.objects import Object, Ref

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
        filling = fill_value(thing, context) if needs_fill(thing, default, context) else None
        source, filling = moved_from(thing, filling, context)
        provides = {thing.ref} | ({default.ref} if default else set())
        if filling is None:
            made = [Statement(f"{table} ADD COLUMN {column_definition(thing, default)}")]
        else:
            made = filled(thing, default, filling, table)
        made += statements(*(f"{table} {clause}" for clause in fine_clauses(thing)))
        why = (
            f"its values are those of {quoted(source.name)}, where the migration brought them"
            if source
            else ""
        )
        return [
            Action("create", thing.ref, made, why, provides=provides, reads={source} if source else set())
        ]

    def drop(self, thing: Object, context: Context) -> list[Action]:
        """DROP COLUMN."""
        if thing["inherited"] and not thing["local"]:
            return []
        sql = f"ALTER {table_word(thing)} {relation(thing.ref)} DROP COLUMN {quoted(thing.ref.name)}"
        loses = () if thing["generated"] else (lost_with(thing, context),)
        return [self.dropping(thing, sql, loses=loses)]

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
            actions += identity_changes(self, now, before, column, context)
        if changes.keys() & {"not_null", "not_null_name", "not_null_valid", "not_null_only"}:
            actions += _not_null(self, now, before, table, context)
        if changes.keys() & FINE:
            clauses = fine_clauses(before, now)
            actions.append(self.altering(now, *(f"{table} {clause}" for clause in clauses)))
        return actions

    def rename(self, now: Ref, name: str, thing: Object) -> str:
        """RENAME COLUMN."""
        return f"ALTER {table_word(thing)} {relation(now)} RENAME COLUMN {quoted(now.name)} TO {quoted(name)}"


def _retype(now: Object, before: Object, column: str, context: Context) -> Action:
    target = before["type"]
    collation = f" COLLATE {before['collation']}" if before["collation"] else ""
    plain = f"{column} TYPE {target}{collation}"
    name = quoted(now.ref.name)
    if (fields := fields_of(target.removesuffix("[]"), context)) is not None:
        return _by_fields(now, fields, target, name, plain, context)
    computed = context.conversions.get(before.ref)
    if computed is not None and computed.back:
        return _computed_back(now, target, plain, computed)
    if target.endswith("[]"):
        conversions = [f"{name}::{target}", f"{name}::text[]::{target}"]
    else:
        conversions = [f"{name}::{target}", f"{name}::integer::{target}", f"{name}::text::{target}"]
    alternatives = tuple(f"{plain} USING {conversion}" for conversion in conversions)
    loses: tuple[Lost, ...] = ()
    if may_change(now["type"], target) and not is_enum(target, context):
        loses = (Lost(CHANGED, now.ref.relation, now.ref.name, target),)
    action = Action("alter", now.ref, (Statement(plain, alternatives),), loses=loses, disturbs={now.ref})
    action.why = f"back from {now['type']}; fails where a value does not fit"
    if computed is not None:
        action.why += f". Casts only: {computed.why}"
    return action


def _computed_back(now: Object, target: str, plain: str, computed: Conversion) -> Action:
    """Values that the migration computed: by its expression turned around. USING takes no query: where one is
    needed, its answers wait in a column of their own."""
    name = quoted(now.ref.name)
    made = statements(f"{plain} USING {computed.of(name)}")
    if "(SELECT " in computed.back:
        table, other = relation(now.ref), quoted(shortened(now.ref.name, "__rollback"))
        made = statements(
            f"ALTER TABLE {table} ADD COLUMN {other} {target}",
            f"{plain} USING {other}",
            f"ALTER TABLE {table} DROP COLUMN {other}",
        )
        update = Statement(f"UPDATE {table} SET {other} = {computed.of(name)}", fills=True, table=table)
        made = (made[0], update, *made[1:])
    loses = (Lost(CHANGED, now.ref.relation, now.ref.name, target, ways=computed.ways),)
    why = f"computed back from {now['type']}, {computed.how}; fails where a value does not fit"
    return Action("alter", now.ref, made, loses=loses, disturbs={now.ref}, why=why)


def _by_fields(now: Object, fields: Fields, target: str, name: str, plain: str, context: Context) -> Action:
    """Values of a type that was made anew: field by field, or by their text where they are in arrays and each
    field has its place."""
    loses = (Lost(CHANGED, now.ref.relation, now.ref.name, target),) if fields.left_over else ()
    why = "its type was made anew: values are brought over field by field"
    first, *others = (f"{plain} USING {way}" for way in fields.conversions(name, target))
    if target.endswith("[]"):
        first, others = f"{plain} USING {name}::text[]::{target}", []
        why = "its type was made anew, each field in its place"
        if not fields.positional:
            context.refused.append(f"{now.ref} is an array of {target[:-2]}, whose fields have other places")
    made = Statement(first, tuple(others))
    return Action("alter", now.ref, (made,), loses=loses, disturbs={now.ref}, why=why)


def is_enum(written: str, context: Context) -> bool:
    """Whether a type (or an array's elements) is an enum: labels are kept or refused."""
    name = written.removesuffix("[]")
    return any(
        kind["form"] == "e" and dotted(kind.ref.path) == name for kind in context.before.of_kind("type")
    )


def _generation(now: Object, before: Object, column: str, context: Context) -> list[str] | None:
    if now["type"] != before["type"] or now["collation"] != before["collation"]:
        return None
    if now["generated"] and not before["generated"] and now["generated"] == "s":
        return [f"{column} DROP EXPRESSION"]
    if context.major >= 17 and now["generated"] == before["generated"]:
        return [f"{column} SET EXPRESSION AS ({before['expression']})"]
    return None


def _not_null(family: Family, now: Object, before: Object, table: str, context: Context) -> list[Action]:
    name = quoted(now.ref.name)
    if now["not_null"] and not before["not_null"]:
        return [family.altering(now, f"{table} ALTER COLUMN {name} DROP NOT NULL")]
    if before["not_null"] and not now["not_null"]:
        made: list[str | Statement] = []
        filling = fill_value(before, context)
        if filling is not None:
            own = relation(now.ref)
            update = f"UPDATE {own} SET {name} = {filling} WHERE {name} IS NULL"
            made.append(Statement(update, fills=True, table=own))
        made.append(set_not_null(before, table))
        action = family.altering(now, *made, why="fails where a row has no value")
        return [action]
    if (
        now["not_null_only"] == before["not_null_only"]
        and before["not_null_valid"]
        and not now["not_null_valid"]
    ):
        return [family.altering(now, f"{table} VALIDATE CONSTRAINT {quoted(now['not_null_name'])}")]
    if (now["not_null_only"], now["not_null_valid"]) == (before["not_null_only"], before["not_null_valid"]):
        names = f"{quoted(now['not_null_name'])} TO {quoted(before['not_null_name'])}"
        return [family.altering(now, f"{table} RENAME CONSTRAINT {names}")]
    return [family.altering(now, f"{table} ALTER COLUMN {name} DROP NOT NULL", set_not_null(before, table))]
