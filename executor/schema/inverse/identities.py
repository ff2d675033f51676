"""Identity columns: made, undone and changed, and the position of their sequences carried over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
            serial, bounds = context.now[serials[0]], Bounds(int(wanted[3]), int(wanted[6]), now.ref)
            beyond = bounds.told(wanted[:2], context) if bounds.less_than(serial["maximum"]) else None
            position = carry_position(wanted[:2], serials[0].path, beyond)
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
        bounds = Bounds(int(wanted[3]), int(wanted[6]), now.ref)
        if bounds.less_than(int(had[6])):
            texts.append(bounds.told(wanted[:2], context).back_into(wanted[:2]))
        texts.append(f"ALTER SEQUENCE {dotted(wanted[:2])} {' '.join(parts)}")
    return [family.altering(now, *texts)]


def continue_after_rows(sequence: str, table: str, column: str) -> str:
    """SQL that lets a sequence go on behind the greatest value in use."""
    return (
        f"SELECT pg_catalog.setval({literal(sequence)}, greatest(max({column}), 1),"
        f" max({column}) IS NOT NULL) FROM {table}"
    )


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a sequence starts, the greatest number that it gives, and the column that gets its numbers."""

    start: int
    maximum: int
    column: Ref

    def less_than(self, maximum: int) -> bool:
        """Whether a sequence with that maximum may stand beyond them. (One that counts down has -1.)"""
        return 0 < self.maximum < maximum

    def back_into(self, sequence: Sequence[str]) -> str:
        """SQL that brings a sequence which stands beyond them back behind the rows; else it does nothing."""
        return (
            f"SELECT pg_catalog.setval({literal(dotted(sequence))}, {self.behind_rows}, {self.used})"
            f" FROM {dotted(sequence)} WHERE last_value > {self.maximum}"
        )

    @property
    def behind_rows(self) -> str:
        """The greatest number in use, as SQL."""
        return (
            f"(SELECT greatest(max({quoted(self.column.name)}), {self.start}) FROM {relation(self.column)})"
        )

    @property
    def used(self) -> str:
        """Whether there are rows, as SQL."""
        return f"EXISTS (SELECT FROM {relation(self.column)})"

    def told(self, sequence: Sequence[str], context: Context) -> Bounds:
        """These, once the engineer is told."""
        context.notes.append(
            f"If sequence {dotted(sequence)} stands beyond {self.maximum}, the most that it gave before,"
            f" it goes on behind the greatest value of {dotted(self.column.path)}: numbers of rows that were"
            " deleted may be given again."
        )
        return self


def carry_position(new: Sequence[str], old: Sequence[str], bounds: Bounds | None = None) -> Statement:
    """A statement that lets one sequence go on where another stands; where that may be beyond its `bounds`,
    behind the rows then."""
    place, used = "last_value", "is_called"
    if bounds is not None:
        fits = f"last_value <= {bounds.maximum}"
        place = f"CASE WHEN {fits} THEN last_value ELSE {bounds.behind_rows} END"
        used = f"CASE WHEN {fits} THEN is_called ELSE {bounds.used} END"
    sql = f"SELECT pg_catalog.setval({literal(dotted(new))}, {place}, {used}) FROM {dotted(old)}"
    return Statement(sql, fills=True)
