"""Publications and their members, subscriptions, foreign servers, user mappings."""

from __future__ import annotations

from executor.schema.inverse.action import Action
from executor.schema.inverse.family import Changes, Context, Family, comma
from executor.schema.names import dotted, literal, quoted
from executor.schema.objects import Object


class Publication(Family):
    """A publication; its tables and schemas are objects of their own."""

    kind, word = "publication", "PUBLICATION"

    def create(self, thing: Object, context: Context) -> list[Action]:
        """CREATE PUBLICATION."""
        everything = " FOR ALL TABLES" if thing["all_tables"] else ""
        return [
            self.creating(
                thing,
                f"CREATE PUBLICATION {quoted(thing.ref.name)}{everything} WITH ({_with(thing, context)})",
            )
        ]

    def alter(self, now: Object, before: Object, changes: Changes, context: Context) -> list[Action] | None:
        """Parameters in place."""
        if "all_tables" in changes:
            return None
        return [
            self.altering(now, f"ALTER PUBLICATION {quoted(now.ref.name)} SET ({_with(before, context)})")
        ]


def _with(thing: Object, context: Context) -> str:
    parts = [f"publish = {literal(thing['publish'])}"]
    parts.append(f"publish_via_partition_root = {'true' if thing['via_root'] else 'false'}")
    if context.major >= 18:
        parts.append(
            f"publish_generated_columns = {'stored' if thing['generated_columns'] == 's' else 'none'}"
        )
    return comma(parts)


class PublicationTable(Family):
    """A table's membership in a publication."""

    kind, word, ownable = "publication table", "", False

    def create(self, thing: Object, context: Context) -> list[Action]:
        """ADD TABLE with columns and filter."""
        publication, *table = thing.ref.path
        sql = f"ALTER PUBLICATION {quoted(publication)} ADD TABLE ONLY {dotted(table)}"
        if thing["columns"]:
            sql += f" ({thing['columns']})"
        if thing["row_filter"]:
            sql += f" WHERE ({thing['row_filter']})"
        return [self.creating(thing, sql)]

    def drop(self, thing: Object, context: Context) -> list[Action]:
        """DROP TABLE from the publication."""
        publication, *table = thing.ref.path
        return [
            self.dropping(thing, f"ALTER PUBLICATION {quoted(publication)} DROP TABLE ONLY {dotted(table)}")
        ]


class PublicationSchema(Family):
    """A schema's membership in a publication."""

    kind, word, ownable = "publication schema", "", False

    def create(self, thing: Object, context: Context) -> list[Action]:
        """ADD TABLES IN SCHEMA."""
        publication, schema = map(quoted, thing.ref.path)
        return [self.creating(thing, f"ALTER PUBLICATION {publication} ADD TABLES IN SCHEMA {schema}")]

    def drop(self, thing: Object, context: Context) -> list[Action]:
        """DROP TABLES IN SCHEMA."""
        publication, schema = map(quoted, thing.ref.path)
        return [self.dropping(thing, f"ALTER PUBLICATION {publication} DROP TABLES IN SCHEMA {schema}")]


class Subscription(Family):
    """A subscription, given back without connecting."""

    kind, word = "subscription", "SUBSCRIPTION"

    def create(self, thing: Object, context: Context) -> list[Action]:
        """CREATE SUBSCRIPTION that does not connect, as pg_dump writes it."""
        slot = literal(thing["slot"]) if thing["slot"] else "NONE"
        sql = (
            f"CREATE SUBSCRIPTION {quoted(thing.ref.name)} CONNECTION {literal(thing['connection'])}"
            f" PUBLICATION {comma(map(quoted, thing['publications']))}"
            f" WITH (connect = false, slot_name = {slot})"
        )
        return [self.creating(thing, sql)]


class ForeignDataWrapper(Family):
    """A foreign-data wrapper."""

    kind, word = "foreign-data wrapper", "FOREIGN DATA WRAPPER"


class Server(Family):
    """A foreign server."""

    kind, word = "server", "SERVER"


class UserMapping(Family):
    """A user mapping."""

    kind, word, ownable = "user mapping", "USER MAPPING", False

    def drop(self, thing: Object, context: Context) -> list[Action]:
        """DROP USER MAPPING."""
        server, role = thing.ref.path
        return [self.dropping(thing, f"DROP USER MAPPING FOR {role} SERVER {quoted(server)}")]
