"""Kinds that a statement creates and another drops: casts, operators, text search, collations, languages,
…"""

from __future__ import annotations

from executor.schema.inverse.action import Action
from executor.schema.inverse.family import Changes, Context, Family, comma
from executor.schema.names import dotted, quoted
from executor.schema.objects import Object, Ref


class Collation(Family):
    """A collation."""

    kind, word = "collation", "COLLATION"


class Conversion(Family):
    """An encoding conversion."""

    kind, word = "conversion", "CONVERSION"


class Language(Family):
    """A procedural language."""

    kind, word = "language", "LANGUAGE"


class AccessMethod(Family):
    """An access method."""

    kind, word, ownable = "access method", "ACCESS METHOD", False


class Cast(Family):
    """A cast."""

    kind, word, ownable = "cast", "CAST", False

    def name(self, ref: Ref) -> str:
        """(source AS target)."""
        return f"({ref.path[0]} AS {ref.path[1]})"


class Transform(Family):
    """A transform."""

    kind, word, ownable = "transform", "TRANSFORM", False

    def name(self, ref: Ref) -> str:
        """FOR type LANGUAGE language."""
        return f"FOR {ref.path[0]} LANGUAGE {quoted(ref.path[1])}"


class Operator(Family):
    """An operator."""

    kind, word = "operator", "OPERATOR"

    def name(self, ref: Ref) -> str:
        """schema.symbol (left, right)."""
        return f"{quoted(ref.path[0])}.{ref.path[1]} ({ref.path[2]}, {ref.path[3]})"


class OperatorFamily(Family):
    """An operator family with the members that hang on it loosely."""

    kind, word = "operator family", "OPERATOR FAMILY"

    def name(self, ref: Ref) -> str:
        """schema.name USING method."""
        return f"{dotted(ref.path[:2])} USING {quoted(ref.path[2])}"

    def create(self, thing: Object, context: Context) -> list[Action]:
        """CREATE OPERATOR FAMILY and its members."""
        actions = [self.creating(thing, thing["definition"])]
        if thing["members"]:
            sql = f"ALTER OPERATOR FAMILY {self.name(thing.ref)} ADD {comma(thing['members'])}"
            action = self.altering(thing, sql)
            action.after, action.priority = {thing.ref}, 62
            actions.append(action)
        return actions


class OperatorClass(Family):
    """An operator class."""

    kind, word = "operator class", "OPERATOR CLASS"

    def name(self, ref: Ref) -> str:
        """schema.name USING method."""
        return f"{dotted(ref.path[:2])} USING {quoted(ref.path[2])}"


class TextSearchParser(Family):
    """A text search parser."""

    kind, word, ownable = "text search parser", "TEXT SEARCH PARSER", False


class TextSearchTemplate(Family):
    """A text search template."""

    kind, word, ownable = "text search template", "TEXT SEARCH TEMPLATE", False


class TextSearchDictionary(Family):
    """A text search dictionary."""

    kind, word = "text search dictionary", "TEXT SEARCH DICTIONARY"


class TextSearchConfiguration(Family):
    """A text search configuration with its mappings."""

    kind, word = "text search configuration", "TEXT SEARCH CONFIGURATION"

    def create(self, thing: Object, context: Context) -> list[Action]:
        """CREATE and ADD MAPPING."""
        name = f"ALTER TEXT SEARCH CONFIGURATION {self.name(thing.ref)}"
        return [
            self.creating(
                thing, thing["definition"], *(f"{name} ADD MAPPING FOR {m}" for m in thing["mappings"])
            )
        ]

    def alter(self, now: Object, before: Object, changes: Changes, context: Context) -> list[Action] | None:
        """Mappings in place."""
        if changes.keys() != {"mappings"}:
            return None
        name = f"ALTER TEXT SEARCH CONFIGURATION {self.name(now.ref)}"
        had = {mapping.split(" WITH ")[0]: mapping for mapping in now["mappings"]}
        wanted = {mapping.split(" WITH ")[0]: mapping for mapping in before["mappings"]}
        made = [f"{name} DROP MAPPING FOR {token}" for token in had if token not in wanted]
        for token, mapping in wanted.items():
            if had.get(token) != mapping:
                made.append(f"{name} {'ALTER' if token in had else 'ADD'} MAPPING FOR {mapping}")
        return [self.altering(now, *made)]
