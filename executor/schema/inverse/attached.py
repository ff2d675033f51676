"""What is attached to relations: rules, triggers, policies, extended statistics."""

from __future__ import annotations

from executor.schema.inverse.action import Action
from executor.schema.inverse.family import Changes, Context, Family, comma, relation
from executor.schema.names import dotted, quoted
from executor.schema.objects import Object, Ref

ENABLED = {"O": "ENABLE", "D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}

COMMANDS = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE", "*": "ALL"}


class Rule(Family):
    """A rewrite rule."""

    kind = "rule"
    word = "RULE"
    ownable = False

    def create(self, thing: Object, context: Context) -> list[Action]:
        """CREATE RULE, and its state where that is not the usual one."""
        made = [thing["definition"].rstrip(";")]
        if thing["enabled"] != "O":
            made.append(_enable(thing, "RULE"))
        return [self.creating(thing, *made)]

    def drop(self, thing: Object, context: Context) -> list[Action]:
        """DROP RULE."""
        return [self.dropping(thing, f"DROP RULE {quoted(thing.ref.name)} ON {relation(thing.ref)}")]

    def alter(self, now: Object, before: Object, changes: Changes, context: Context) -> list[Action] | None:
        """The state in place."""
        return [self.altering(now, _enable(before, "RULE"))] if changes.keys() == {"enabled"} else None

    def rename(self, now: Ref, name: str, thing: Object) -> str:
        """ALTER RULE … RENAME."""
        return f"ALTER RULE {quoted(now.name)} ON {relation(now)} RENAME TO {quoted(name)}"

    def on_comment(self, thing: Object) -> str:
        """RULE … ON …"""
        return f"RULE {quoted(thing.ref.name)} ON {relation(thing.ref)}"


def _enable(thing: Object, word: str) -> str:
    return f"ALTER TABLE {relation(thing.ref)} {ENABLED[thing['enabled']]} {word} {quoted(thing.ref.name)}"


class Trigger(Family):
    """A trigger."""

    kind = "trigger"
    word = "TRIGGER"
    ownable = False

    def create(self, thing: Object, context: Context) -> list[Action]:
        """CREATE TRIGGER, and its state where that is not the usual one."""
        made = [thing["definition"]]
        if thing["enabled"] != "O":
            made.append(_enable(thing, "TRIGGER"))
        return [self.creating(thing, *made)]

    def drop(self, thing: Object, context: Context) -> list[Action]:
        """DROP TRIGGER."""
        return [self.dropping(thing, f"DROP TRIGGER {quoted(thing.ref.name)} ON {relation(thing.ref)}")]

    def alter(self, now: Object, before: Object, changes: Changes, context: Context) -> list[Action] | None:
        """The state in place."""
        return [self.altering(now, _enable(before, "TRIGGER"))] if changes.keys() == {"enabled"} else None

    def rename(self, now: Ref, name: str, thing: Object) -> str:
        """ALTER TRIGGER … RENAME."""
        return f"ALTER TRIGGER {quoted(now.name)} ON {relation(now)} RENAME TO {quoted(name)}"

    def on_comment(self, thing: Object) -> str:
        """TRIGGER … ON …"""
        return f"TRIGGER {quoted(thing.ref.name)} ON {relation(thing.ref)}"


class Policy(Family):
    """A row-level security policy."""

    kind = "policy"
    word = "POLICY"
    ownable = False

    def create(self, thing: Object, context: Context) -> list[Action]:
        """CREATE POLICY."""
        parts = [f"CREATE POLICY {quoted(thing.ref.name)} ON {relation(thing.ref)}"]
        if not thing["permissive"]:
            parts.append("AS RESTRICTIVE")
        parts.append(f"FOR {COMMANDS[thing['command']]} TO {comma(thing['roles'])}")
        if thing["using"] is not None:
            parts.append(f"USING ({thing['using']})")
        if thing["check"] is not None:
            parts.append(f"WITH CHECK ({thing['check']})")
        return [self.creating(thing, " ".join(parts))]

    def drop(self, thing: Object, context: Context) -> list[Action]:
        """DROP POLICY."""
        return [self.dropping(thing, f"DROP POLICY {quoted(thing.ref.name)} ON {relation(thing.ref)}")]

    def rename(self, now: Ref, name: str, thing: Object) -> str:
        """ALTER POLICY … RENAME."""
        return f"ALTER POLICY {quoted(now.name)} ON {relation(now)} RENAME TO {quoted(name)}"

    def on_comment(self, thing: Object) -> str:
        """POLICY … ON …"""
        return f"POLICY {quoted(thing.ref.name)} ON {relation(thing.ref)}"


class Statistics(Family):
    """Extended statistics."""

    kind = "statistics"
    word = "STATISTICS"

    def create(self, thing: Object, context: Context) -> list[Action]:
        """CREATE STATISTICS, with its target."""
        made = [thing["definition"]]
        if thing["target"] is not None:
            made.append(f"ALTER STATISTICS {dotted(thing.ref.path)} SET STATISTICS {thing['target']}")
        return [self.creating(thing, *made)]

    def alter(self, now: Object, before: Object, changes: Changes, context: Context) -> list[Action] | None:
        """The target in place."""
        if changes.keys() != {"target"}:
            return None
        target = -1 if before["target"] is None else before["target"]
        return [self.altering(now, f"ALTER STATISTICS {dotted(now.ref.path)} SET STATISTICS {target}")]
