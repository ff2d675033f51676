"""Flyway's history on a target: read it, watch that a script leaves it alone, take away the pinned rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from psycopg import sql

from approvals.flyway.history import (
    CorruptHistory,
    HistoryRow,
    duplicates,
    installed_after,
    newer_applied_above,
)
from approvals.flyway.versions import MalformedVersion, Version
from executor.connect import Connection, one
from executor.spec import HistoryPin, RunSpec

COLUMNS = (
    "installed_rank",
    "version",
    "description",
    "type",
    "script",
    "checksum",
    "installed_by",
    "installed_on",
    "execution_time",
    "success",
)


class HistoryChanged(Exception):
    """The history isn't what was approved, or the script touched it; the message is for people."""


def read_history(connection: Connection, schema: str, table: str) -> list[HistoryRow]:
    """All rows by rank. Raises psycopg.errors.UndefinedTable or InsufficientPrivilege where it can't."""
    query = sql.SQL("SELECT {} FROM {} ORDER BY installed_rank").format(
        sql.SQL(", ").join(map(sql.Identifier, COLUMNS)), sql.Identifier(schema, table)
    )
    return [HistoryRow(*row) for row in connection.execute(query).fetchall()]


def require_pins(connection: Connection, spec: RunSpec) -> None:
    """Raise HistoryChanged unless every pinned row is there exactly once, every version of the request has
    no other standing row, and nothing newer was applied above them."""
    rows = read_history(connection, spec.history_schema, spec.history_table)
    for pin in _pins(spec):
        same = [row for row in rows if _is(row, pin)]
        if len(same) != 1:
            raise HistoryChanged(_mismatch(pin, rows, len(same)))
    try:
        versions = {Version.parse(pin.version) for pin in _pins(spec)}
        _refuse_doubles(rows, versions, spec)
        above = newer_applied_above(rows, versions) + installed_after(rows, versions)
    except (CorruptHistory, MalformedVersion) as error:
        raise HistoryChanged(f"The history can't be trusted: {error}.") from None
    if above:
        names = ", ".join(str(version) for version in above)
        raise HistoryChanged(f"Applied above the migrations of this request, and not part of it: {names}.")


def _refuse_doubles(rows: Sequence[HistoryRow], versions: set[Version], spec: RunSpec) -> None:
    """A second standing row of a pinned version that isn't pinned itself: which of them is the migration?"""
    ranks = {pin.installed_rank for pin in _pins(spec)}
    for version, standing in duplicates(rows).items():
        others = {row.installed_rank for row in standing} - ranks
        if version in versions and others:
            raise HistoryChanged(
                f"Version {version} stands a second time in the history, at rank {min(others)}."
            )


def digest_without_pins(connection: Connection, spec: RunSpec) -> str:
    """SHA-256 over all rows but the pinned ones, with whatever columns the table has."""
    query = sql.SQL(
        """
        SELECT encode(sha256(convert_to(coalesce(string_agg(
                   history::text, E'\n' ORDER BY installed_rank, history::text), ''), 'UTF8')), 'hex')
          FROM {} AS history
         WHERE NOT EXISTS (
               SELECT FROM unnest(%s::int[], %s::text[], %s::text[], %s::text[], %s::int[], %s::bool[])
                        AS pin (installed_rank, version, type, script, checksum, success)
                WHERE history.installed_rank = pin.installed_rank AND history.version = pin.version
                  AND history.type = pin.type AND history.script = pin.script
                  AND history.checksum IS NOT DISTINCT FROM pin.checksum AND history.success = pin.success)
        """
    ).format(_table(spec))
    columns = [[getattr(pin, name) for pin in _pins(spec)] for name in HistoryPin.__slots__]
    return str(one(connection, query, columns)[0])


def delete_pinned(connection: Connection, spec: RunSpec, pin: HistoryPin) -> None:
    """Take away the one row that was approved. Raises HistoryChanged unless exactly one row goes."""
    query = sql.SQL(
        """DELETE FROM {} WHERE installed_rank = %(installed_rank)s AND version = %(version)s
               AND type = %(type)s AND script = %(script)s AND success = %(success)s
               AND checksum IS NOT DISTINCT FROM %(checksum)s::integer"""
    ).format(_table(spec))
    fields = {name: getattr(pin, name) for name in HistoryPin.__slots__}
    gone = connection.execute(query, fields).rowcount
    if gone != 1:
        raise HistoryChanged(
            f"{gone} rows of the history match version {pin.version} at rank {pin.installed_rank} "
            "as it was approved; exactly one has to go."
        )


def pins_present(connection: Connection, schema: str, table: str, pins: Sequence[HistoryPin]) -> int:
    """How many of the pinned rows are in the history."""
    rows = read_history(connection, schema, table)
    return sum(any(_is(row, pin) for row in rows) for pin in pins)


def _pins(spec: RunSpec) -> list[HistoryPin]:
    return [item.pin for item in spec.items]


def _table(spec: RunSpec) -> sql.Identifier:
    return sql.Identifier(spec.history_schema, spec.history_table)


def _is(row: HistoryRow, pin: HistoryPin) -> bool:
    return all(getattr(row, name) == getattr(pin, name) for name in HistoryPin.__slots__)


def _mismatch(pin: HistoryPin, rows: Iterable[HistoryRow], count: int) -> str:
    """What is wrong with the pinned row, as exactly as can be said."""
    if count > 1:
        return f"The history holds version {pin.version} at rank {pin.installed_rank} {count} times."
    row = next((row for row in rows if row.installed_rank == pin.installed_rank), None)
    if row is None:
        return f"The history has no row with rank {pin.installed_rank} (version {pin.version}) any more."
    differing = ", ".join(
        f"{name} is {getattr(row, name)}, approved was {getattr(pin, name)}"
        for name in HistoryPin.__slots__
        if getattr(row, name) != getattr(pin, name)
    )
    return f"The history row at rank {pin.installed_rank} is not the one that was approved: {differing}."
