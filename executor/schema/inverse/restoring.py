"""The way back of kept data: SQL for the day on which the migration is applied again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from executor.schema.inverse.belongings import Belongings
from executor.schema.inverse.family import Context, comma
from executor.schema.inverse.heard import INSERT, UPDATE, resting_in
from executor.schema.inverse.places import Places
from executor.schema.lost import Lost
from executor.schema.names import dotted, literal, quoted, shortened
from executor.schema.objects import Ref


class Restoring:
    """Brings kept data back, once the migration has been applied again."""

    def __init__(self, context: Context, of: Belongings, places: Places) -> None:
        self.context, self.of, self.places = context, of, places
        self.now = context.now

    def sql(self, copied: list[Lost]) -> Iterator[str]:
        """The tables, those first that others refer to; then the values of columns that were copied."""
        for table in self._parents_first():
            yield self._unheard(table, INSERT, self._table(table))
        for lost in copied:
            column = Ref("column", (*lost.relation, lost.column))
            yield self._unheard(Ref("table", lost.relation), UPDATE, [self._column(column)])

    def _unheard(self, table: Ref, event: int, sql: Iterable[str]) -> str:
        """Values come back as they were: whoever would hear it, as the migration leaves them, rests."""
        start = self.context.start or self.now
        off, on = resting_in(start, Ref("table", self.context.path_at_start(table)), event)
        return ";\n".join([*off, *sql, *on])

    def _table(self, table: Ref) -> Iterator[str]:
        path = self.context.path_at_start(table)
        columns = [column for column in self.now.columns(*table.path) if not column["generated"]]
        pairs = [(quoted(self.context.path_at_start(one.ref)[-1]), self.of.typed(one)) for one in columns]
        yield (
            f"INSERT INTO {dotted(path)} ({comma(name for name, _ in pairs)})\nOVERRIDING SYSTEM VALUE\n"
            f"SELECT {comma(value for _, value in pairs)}\n  FROM {dotted(self.places.of(table))}"
        )
        suffix = self.places.suffix
        for column, old in self.of.sequences(table):
            name = self.context.path_at_start(Ref("column", (*table.path, column)))[-1]
            owner = f"pg_catalog.pg_get_serial_sequence({literal(dotted(path))}, {literal(name)})"
            kept = (self.context.options.archive_schema, shortened(old[1], suffix) if suffix else old[1])
            yield f"SELECT pg_catalog.setval({owner}, last_value, is_called) FROM {dotted(kept)}"

    def _column(self, column: Ref) -> str:
        path = self.context.path_at_start(column)
        same = " AND ".join(
            f"t.{quoted(self.context.path_at_start(one)[-1])} = {self.of.typed(self.now[one], 'k.')}"
            for one in self.of.key(column)
        )
        value = self.of.typed(self.now[column], "k.")
        return (
            f"UPDATE {dotted(path[:2])} t\n   SET {quoted(path[-1])} = {value}\n"
            f"  FROM {dotted(self.places.of(column))} k\n WHERE {same}"
        )

    def _parents_first(self) -> list[Ref]:
        waiting, done = list(self.of.tables), list[Ref]()
        while waiting:
            ready = [table for table in waiting if not (self.of.references(table) & (set(waiting) - {table}))]
            if not ready:
                self.context.notes.append(
                    f"{waiting[0]} and others refer to each other: bring them back by hand"
                )
                ready = waiting[:1]
            done += ready
            waiting = [table for table in waiting if table not in ready]
        return done
