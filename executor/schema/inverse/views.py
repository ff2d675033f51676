"""Views and materialized views, and what hangs on their columns."""

from __future__ import annotations

from executor.schema.inverse.action import Action, Statement
from executor.schema.inverse.column_sql import option_clauses
from executor.schema.inverse.family import Changes, Context, Family, comma
from executor.schema.names import dotted, quoted
from executor.schema.objects import Object, Ref


class View(Family):
    """A view."""

    kind = "view"
    word = "VIEW"

    def create(self, thing: Object, context: Context) -> list[Action]:
        """CREATE VIEW."""
        return [self.creating(thing, _create(thing, "CREATE VIEW"))]

    def alter(self, now: Object, before: Object, changes: Changes, context: Context) -> list[Action] | None:
        """CREATE OR REPLACE where the columns of now are the first ones of before, else anew."""
        if changes.keys() == {"options"}:
            clauses = option_clauses("", before["options"], now["options"])
            return [
                self.altering(now, *(f"ALTER VIEW {dotted(now.ref.path)} {clause}" for clause in clauses))
            ]
        if before["columns"][: len(now["columns"])] != now["columns"] or _by_key(before, context):
            return None
        return [self.altering(now, _create(before, "CREATE OR REPLACE VIEW"))]


def _by_key(view: Object, context: Context) -> bool:
    """Whether a view groups by a primary key of a table that is written anew: the key is there only once the
    old table is gone, and that only once the view is."""
    needs = context.before.needs.get(view.ref, ())
    return any(
        need.kind == "constraint" and Ref("table", need.path[:2]) in context.replaced for need in needs
    )


def _create(thing: Object, words: str) -> str:
    options = f" WITH ({comma(thing['options'])})" if thing["options"] else ""
    return f"{words} {dotted(thing.ref.path)}{options} AS\n{thing['definition'].rstrip(';')}"


class MaterializedView(Family):
    """A materialized view."""

    kind = "materialized view"
    word = "MATERIALIZED VIEW"

    def create(self, thing: Object, context: Context) -> list[Action]:
        """CREATE MATERIALIZED VIEW without data; where it had some, it is filled when all else is there."""
        parts = [f"CREATE MATERIALIZED VIEW {dotted(thing.ref.path)}"]
        if thing["access_method"] not in (None, "heap"):
            parts.append(f"USING {quoted(thing['access_method'])}")
        if thing["options"]:
            parts.append(f"WITH ({comma(thing['options'])})")
        if thing["tablespace"]:
            parts.append(f"TABLESPACE {quoted(thing['tablespace'])}")
        body = thing["definition"].rstrip(";")
        actions = [self.creating(thing, f"{' '.join(parts)} AS\n{body}\nWITH NO DATA")]
        if thing["populated"]:
            actions.append(_refresh(thing))
        return actions

    def alter(self, now: Object, before: Object, changes: Changes, context: Context) -> list[Action] | None:
        """Options and filling in place."""
        if changes.keys() == {"populated"}:
            return (
                [_refresh(before)]
                if before["populated"]
                else [self.altering(now, f"REFRESH MATERIALIZED VIEW {dotted(now.ref.path)} WITH NO DATA")]
            )
        if changes.keys() <= {"options"}:
            clauses = option_clauses("", before["options"], now["options"])
            name = f"ALTER MATERIALIZED VIEW {dotted(now.ref.path)}"
            return [self.altering(now, *(f"{name} {clause}" for clause in clauses))]
        return None


def _refresh(thing: Object) -> Action:
    statement = Statement(f"REFRESH MATERIALIZED VIEW {dotted(thing.ref.path)}", fills=True)
    return Action("alter", thing.ref, (statement,), after={thing.ref}, priority=95)


class ViewColumn(Family):
    """A column of a view comes and goes with it; only what is said about it is an object of its own."""

    kind = "view column"
    word = "COLUMN"
    ownable = False

    def create(self, thing: Object, context: Context) -> list[Action]:
        """Nothing: the view brings it."""
        return []

    def drop(self, thing: Object, context: Context) -> list[Action]:
        """Nothing: it goes with the view."""
        return []

    def alter(self, now: Object, before: Object, changes: Changes, context: Context) -> list[Action] | None:
        """Nothing but the statistics target can differ."""
        if "statistics_target" in changes and before["form"] == "m":
            target = -1 if before["statistics_target"] is None else before["statistics_target"]
            view = f"ALTER MATERIALIZED VIEW {dotted(now.ref.path[:2])}"
            return [self.altering(now, f"{view} ALTER COLUMN {quoted(now.ref.name)} SET STATISTICS {target}")]
        return []

    def rename(self, now: Ref, name: str, thing: Object) -> str:
        """RENAME COLUMN."""
        word = "MATERIALIZED VIEW" if thing["form"] == "m" else "VIEW"
        return f"ALTER {word} {dotted(now.path[:2])} RENAME COLUMN {quoted(now.name)} TO {quoted(name)}"
