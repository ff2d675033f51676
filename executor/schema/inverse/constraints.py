"""Constraints of tables, and indexes that are no constraint's."""

from __future__ import annotations

from executor.schema.inverse.action import Action, Statement
from executor.schema.inverse.family import Changes, Context, Family, comma, relation
from executor.schema.inverse.options import CONCURRENTLY
from executor.schema.names import dotted, quoted
from executor.schema.objects import Object, Ref


class Constraint(Family):
    """A constraint of a table; NOT NULL belongs to the column."""

    kind = "constraint"
    word = "CONSTRAINT"
    ownable = False

    def create(self, thing: Object, context: Context) -> list[Action]:
        """ADD CONSTRAINT, with what the server leaves out of its definition."""
        only = "ONLY " if thing["type"] not in "fc" and thing["form"] == "p" else ""
        word = "FOREIGN TABLE" if thing["form"] == "f" else "TABLE"
        definition = thing["definition"]
        if thing["options"] or thing["tablespace"]:
            definition = _with_storage(thing)
        made = [
            f"ALTER {word} {only}{relation(thing.ref)} ADD CONSTRAINT {quoted(thing.ref.name)} {definition}"
        ]
        if thing["clustered"]:
            made.append(f"ALTER TABLE {relation(thing.ref)} CLUSTER ON {quoted(thing.ref.name)}")
        action = self.creating(thing, *made)
        if thing["type"] == "c" and thing["form"] == "p":  # the partitions inherit it
            below = context.before.tree(Ref("table", thing.ref.relation))[1:]
            action.after = {Ref("partition", ref.path) for ref in below}
        return [action]

    def drop(self, thing: Object, context: Context) -> list[Action]:
        """DROP CONSTRAINT."""
        word = "FOREIGN TABLE" if thing["form"] == "f" else "TABLE"
        return [
            self.dropping(
                thing, f"ALTER {word} {relation(thing.ref)} DROP CONSTRAINT {quoted(thing.ref.name)}"
            )
        ]

    def alter(self, now: Object, before: Object, changes: Changes, context: Context) -> list[Action] | None:
        """Validation, clustering and index storage in place; another definition needs another constraint."""
        table = f"ALTER TABLE {relation(now.ref)}"
        name = quoted(now.ref.name)
        made: list[str] = []
        if "definition" in changes:
            if now["definition"] != before["definition"] + " NOT VALID":
                return None
            made.append(f"{table} VALIDATE CONSTRAINT {name}")
        if changes.keys() & {"type", "tablespace", "form"}:
            return None
        if "options" in changes:
            made += index_options(dotted((now.ref.path[0], now.ref.name)), before["options"], now["options"])
        if "clustered" in changes:
            made.append(f"{table} {f'CLUSTER ON {name}' if before['clustered'] else 'SET WITHOUT CLUSTER'}")
        if "parent_index" in changes:
            if now["parent_index"] or not before["parent_index"]:
                return []
            child = dotted((now.ref.path[0], now.ref.name))
            made.append(f"ALTER INDEX {dotted(before['parent_index'])} ATTACH PARTITION {child}")
        return [self.altering(now, *made)]

    def rename(self, now: Ref, name: str, thing: Object) -> str:
        """RENAME CONSTRAINT takes the index along."""
        return f"ALTER TABLE {relation(now)} RENAME CONSTRAINT {quoted(now.name)} TO {quoted(name)}"

    def on_comment(self, thing: Object) -> str:
        """CONSTRAINT … ON …"""
        return f"CONSTRAINT {quoted(thing.ref.name)} ON {relation(thing.ref)}"


def _with_storage(thing: Object) -> str:
    """The definition with index storage, which stands before DEFERRABLE."""
    definition: str = thing["definition"]
    head, deferrable, tail = definition.partition(" DEFERRABLE")
    if thing["options"]:
        head += f" WITH ({comma(thing['options'])})"
    if thing["tablespace"]:
        head += f" USING INDEX TABLESPACE {quoted(thing['tablespace'])}"
    return head + deferrable + tail


def index_options(index: str, wanted: list[str] | None, had: list[str] | None) -> list[str]:
    """ALTER INDEX for storage options."""
    names = {option.partition("=")[0] for option in wanted or []}
    gone = sorted({option.partition("=")[0] for option in had or []} - names)
    made = [f"ALTER INDEX {index} RESET ({comma(gone)})"] if gone else []
    if wanted:
        made.append(f"ALTER INDEX {index} SET ({comma(wanted)})")
    return made


class Index(Family):
    """An index that is no constraint's."""

    kind = "index"
    word = "INDEX"
    ownable = False

    def create(self, thing: Object, context: Context) -> list[Action]:
        """CREATE INDEX as the server writes it."""
        definition: str = thing["definition"]
        outside = context.options.index == CONCURRENTLY and thing["form"] != "p"
        if outside:
            words = "CREATE UNIQUE INDEX" if thing["is_unique"] else "CREATE INDEX"
            definition = f"{words} CONCURRENTLY{definition.removeprefix(words)}"
        made = [Statement(definition, outside=outside)]
        for number, target in thing["statistics_targets"] or []:
            made.append(
                Statement(
                    f"ALTER INDEX {dotted(thing.ref.path)} ALTER COLUMN {number} SET STATISTICS {target}"
                )
            )
        if thing["tablespace"]:
            made.append(
                Statement(
                    f"ALTER INDEX {dotted(thing.ref.path)} SET TABLESPACE {quoted(thing['tablespace'])}"
                )
            )
        if thing["clustered"]:
            made.append(
                Statement(f"ALTER TABLE {dotted(thing['relation'])} CLUSTER ON {quoted(thing.ref.name)}")
            )
        if thing["parent_index"] and context.attempt > 1:
            made.append(
                Statement(
                    f"ALTER INDEX {dotted(thing['parent_index'])} ATTACH PARTITION {dotted(thing.ref.path)}"
                )
            )
        return [Action("create", thing.ref, made, provides={thing.ref})]

    def alter(self, now: Object, before: Object, changes: Changes, context: Context) -> list[Action] | None:
        """Clustering and attachment in place; anything else needs another index."""
        if changes.keys() - {"clustered", "parent_index", "valid", "form", "statistics_targets"}:
            return None
        made = []
        table = f"ALTER TABLE {dotted(now['relation'])}"
        if "clustered" in changes:
            name = f"CLUSTER ON {quoted(now.ref.name)}" if before["clustered"] else "SET WITHOUT CLUSTER"
            made.append(f"{table} {name}")
        if "parent_index" in changes and before["parent_index"] and not now["parent_index"]:
            made.append(
                f"ALTER INDEX {dotted(before['parent_index'])} ATTACH PARTITION {dotted(now.ref.path)}"
            )
        if "statistics_targets" in changes:
            wanted = dict(before["statistics_targets"] or [])
            for number in sorted({n for n, _ in now["statistics_targets"] or []} | wanted.keys()):
                made.append(
                    f"ALTER INDEX {dotted(now.ref.path)} ALTER COLUMN {number}"
                    f" SET STATISTICS {wanted.get(number, -1)}"
                )
        return [self.altering(now, *made)]
