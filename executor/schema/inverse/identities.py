"""Identity columns: made, undone and changed, and the position of their sequences carried over."""

from __future__ import annotations

from collections.abc import Sequence

from executor.schema.inverse.action import Action, Statement
from executor.schema.inverse.column_sql import identity_words, sequence_options
from executor.schema.inverse.family import Context, Family, relation
from executor.schema.names import dotted, literal, quoted
from executor.schema.objects import Object, Ref


def identity_changes(
    family: Family, now: Object, before: Object, column: str, context: Context
) -> list[Action]:
    if now["identity"] and not before["identity"]:
        action = family.altering(now, f"{column} DROP IDENTITY")
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
        action = family.altering(now, sql, position)
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
    return [family.altering(now, *texts)]


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
