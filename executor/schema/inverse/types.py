"""Schemas, extensions, types and domains."""

from __future__ import annotations

from collections.abc import Iterator

from executor.schema.inverse.action import Action
from executor.schema.inverse.family import Changes, Context, Family, comma, relation
from executor.schema.inverse.options import LEAVE
from executor.schema.lost import VALUES, Lost
from executor.schema.names import dotted, literal, quoted
from executor.schema.objects import Object, Ref


class Schema(Family):
    """A schema."""

    kind = "schema"
    word = "SCHEMA"

    def create(self, thing: Object, context: Context) -> list[Action]:
        """CREATE SCHEMA."""
        return [self.creating(thing, f"CREATE SCHEMA {quoted(thing.ref.name)}")]


class Extension(Family):
    """An extension; its members come and go with it."""

    kind = "extension"
    word = "EXTENSION"
    ownable = False

    def create(self, thing: Object, context: Context) -> list[Action]:
        """CREATE EXTENSION in its schema, at its version."""
        sql = f"CREATE EXTENSION {quoted(thing.ref.name)} WITH SCHEMA {quoted(thing['schema'])}"
        return [self.creating(thing, f"{sql} VERSION {literal(thing['version'])}")]

    def alter(self, now: Object, before: Object, changes: Changes, context: Context) -> list[Action] | None:
        """Schema and version in place."""
        made = []
        if "schema" in changes:
            made.append(f"ALTER EXTENSION {quoted(now.ref.name)} SET SCHEMA {quoted(before['schema'])}")
        if "version" in changes:
            made.append(f"ALTER EXTENSION {quoted(now.ref.name)} UPDATE TO {literal(before['version'])}")
        return [self.altering(now, *made)]


class Type(Family):
    """An enum, composite, domain or range type. What can't be altered is replaced (see `replace`)."""

    kind = "type"
    word = "TYPE"

    def word_of(self, thing: Object) -> str:
        """TYPE or DOMAIN."""
        return "DOMAIN" if thing["form"] == "d" else "TYPE"

    def create(self, thing: Object, context: Context) -> list[Action]:
        """CREATE TYPE or DOMAIN; a domain's checks are objects of their own."""
        name, form = dotted(thing.ref.path), thing["form"]
        if form == "e":
            return [
                self.creating(thing, f"CREATE TYPE {name} AS ENUM ({comma(map(literal, thing['labels']))})")
            ]
        if form == "c":
            lines = ",\n".join(f"    {attribute}" for attribute in thing["attributes"])
            return [self.creating(thing, f"CREATE TYPE {name} AS (\n{lines}\n)")]
        if form == "d":
            return [self.creating(thing, _create_domain(thing))]
        if form == "r":
            return [self.creating(thing, f"CREATE TYPE {name} AS RANGE ({thing['range']})")]
        if not thing["defined"]:
            return [self.creating(thing, f"CREATE TYPE {name}")]
        context.gaps.append(f"{thing.ref}: a base type of its own is not given back")
        return []

    def alter(self, now: Object, before: Object, changes: Changes, context: Context) -> list[Action] | None:
        """A domain's default and NOT NULL in place."""
        if (
            now["form"] == "e"
            and context.options.enum_value == LEAVE
            and set(before["labels"]) <= set(now["labels"])
        ):
            return []
        if changes.keys() == {"attributes"} and attributes_in_place(now, before):
            action = self.altering(now, *_attributes(now, before))
            action.loses = tuple(_of_dropped(now, before, context))
            return [action]
        if changes.keys() <= {"default", "not_null"}:
            name = f"ALTER DOMAIN {dotted(now.ref.path)}"
            made = []
            if "default" in changes:
                made.append(
                    f"{name} SET DEFAULT {before['default']}" if before["default"] else f"{name} DROP DEFAULT"
                )
            if "not_null" in changes and context.major < 18:
                made.append(f"{name} {'SET' if before['not_null'] else 'DROP'} NOT NULL")
            return [self.altering(now, *made)]
        return None


def attributes_in_place(now: Object, before: Object) -> bool:
    """Whether dropping and adding attributes at the end leads a composite type back; its columns may stay
    then."""
    there, _ = _names_back(now, before)
    stay = [attribute for attribute in there if attribute in before["attributes"]]
    missing = [attribute for attribute in before["attributes"] if attribute not in there]
    return bool(stay + missing == before["attributes"])


def _attributes(now: Object, before: Object) -> list[str]:
    name = f"ALTER TYPE {dotted(now.ref.path)}"
    there, renamed = _names_back(now, before)
    made = [f"{name} RENAME ATTRIBUTE {old} TO {new}" for old, new in renamed]
    for attribute in there:
        if attribute not in before["attributes"]:
            made.append(f"{name} DROP ATTRIBUTE {first_identifier(attribute)}")
    made += [f"{name} ADD ATTRIBUTE {one}" for one in before["attributes"] if one not in there]
    return made


def _of_dropped(now: Object, before: Object, context: Context) -> Iterator[Lost]:
    """What goes with attributes that are dropped: values within those of columns."""
    there, _ = _names_back(now, before)
    gone = [first_identifier(each) for each in there if each not in before["attributes"]]
    name = dotted(now.ref.path)
    for column in context.now.of_kind("column"):
        written = column["type"]
        if not gone or written.removesuffix("[]") != name or column["generated"] or column["inherited"]:
            continue
        value = quoted(context.path_at_start(column.ref)[-1])
        if written.endswith("[]"):
            given = " OR ".join(f"(each).{attribute} IS NOT NULL" for attribute in gone)
            condition = f"EXISTS (SELECT FROM unnest({value}) AS each WHERE {given})"
        else:
            condition = " OR ".join(f"({value}).{attribute} IS NOT NULL" for attribute in gone)
        yield Lost(VALUES, column.ref.relation, column.ref.name, condition=condition)


def _names_back(now: Object, before: Object) -> tuple[list[str], list[tuple[str, str]]]:
    """The attributes of now under the names that they had, and the renames that this takes: found by their
    numbers, and none where the name is taken."""
    there = list(now["attributes"])
    if now.address != before.address:
        return there, []
    wanted = dict(zip(before["attribute_numbers"], before["attributes"], strict=True))
    taken = {first_identifier(attribute) for attribute in there}
    renamed = []
    for place, number in enumerate(now["attribute_numbers"]):
        old, new = first_identifier(there[place]), first_identifier(wanted.get(number, there[place]))
        if old != new and new not in taken:
            renamed.append((old, new))
            there[place] = new + there[place][len(old) :]
            taken.add(new)
    return there, renamed


def attribute_type(attribute: str) -> str:
    """The type in an attribute's definition, without its collation."""
    return attribute[len(first_identifier(attribute)) :].strip().partition(" COLLATE ")[0]


def first_identifier(text: str) -> str:
    """The identifier, as SQL, with which a text begins."""
    if not text.startswith('"'):
        return text.partition(" ")[0]
    end = 1
    while text[end] != '"' or text[end + 1 : end + 2] == '"':
        end += 2 if text[end] == '"' else 1
    return text[: end + 1]


def _create_domain(thing: Object) -> str:
    parts = [f"CREATE DOMAIN {dotted(thing.ref.path)} AS {thing['base']}"]
    if thing["collation"]:
        parts.append(f"COLLATE {thing['collation']}")
    if thing["default"] is not None:
        parts.append(f"DEFAULT {thing['default']}")
    return " ".join(parts)


class DomainConstraint(Family):
    """A constraint of a domain."""

    kind = "domain constraint"
    word = "CONSTRAINT"
    ownable = False

    def create(self, thing: Object, context: Context) -> list[Action]:
        """ADD CONSTRAINT."""
        name = quoted(thing.ref.name)
        sql = f"ALTER DOMAIN {relation(thing.ref)} ADD CONSTRAINT {name} {thing['definition']}"
        return [self.creating(thing, sql)]

    def drop(self, thing: Object, context: Context) -> list[Action]:
        """DROP CONSTRAINT."""
        return [
            self.dropping(
                thing, f"ALTER DOMAIN {relation(thing.ref)} DROP CONSTRAINT {quoted(thing.ref.name)}"
            )
        ]

    def rename(self, now: Ref, name: str, thing: Object) -> str:
        """RENAME CONSTRAINT."""
        return f"ALTER DOMAIN {relation(now)} RENAME CONSTRAINT {quoted(now.name)} TO {quoted(name)}"

    def on_comment(self, thing: Object) -> str:
        """CONSTRAINT … ON DOMAIN …"""
        return f"CONSTRAINT {quoted(thing.ref.name)} ON DOMAIN {relation(thing.ref)}"
