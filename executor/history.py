"""Flyway's history on a target: read it, watch that a script leaves it alone, treat the pinned rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from datetime import datetime

from psycopg import sql

from approvals.flyway.history import (
    CorruptHistory,
    HistoryRow,
    duplicates,
    installed_after,
    newer_applied_above,
)
from approvals.flyway.rows import entries
from approvals.flyway.treatment import NotTreatable, Treatment, delete_row
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

UNDATED = datetime.min  # noqa: DTZ901 (stored without a zone; what the database will say is not known here)


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
    no other standing row, nothing newer was applied above them, and they can be treated as was approved."""
    rows = read_history(connection, spec.history_schema, spec.history_table)
    for pin in _pins(spec):
        _pinned(rows, pin)
    try:
        versions = {Version.parse(pin.version) for pin in _pins(spec)}
        _refuse_doubles(rows, versions, spec)
        above = newer_applied_above(rows, versions) + installed_after(rows, versions)
    except (CorruptHistory, MalformedVersion) as error:
        raise HistoryChanged(f"The history can't be trusted: {error}.") from None
    if above:
        names = ", ".join(str(version) for version in above)
        raise HistoryChanged(f"Applied above the migrations of this request, and not part of it: {names}.")
    _treated(rows, spec)


def _refuse_doubles(rows: Sequence[HistoryRow], versions: set[Version], spec: RunSpec) -> None:
    """A second standing row of a pinned version that isn't pinned itself: which of them is the migration?"""
    ranks = {pin.installed_rank for pin in _pins(spec)}
    for version, standing in duplicates(rows).items():
        others = {row.installed_rank for row in standing} - ranks
        if version in versions and others:
            raise HistoryChanged(
                f"Version {version} stands a second time in the history, at rank {min(others)}."
            )


def digest_without_pins(connection: Connection, spec: RunSpec, *, besides: Sequence[int] = ()) -> str:
    """SHA-256 over all rows but the pinned ones and those of the ranks `besides`, with whatever columns the
    table has."""
    query = sql.SQL(
        """
        SELECT encode(sha256(convert_to(coalesce(string_agg(
                   history::text, E'\n' ORDER BY installed_rank, history::text), ''), 'UTF8')), 'hex')
          FROM {} AS history
         WHERE installed_rank <> ALL (%s::int[]) AND NOT EXISTS (
               SELECT FROM unnest(%s::int[], %s::text[], %s::text[], %s::text[], %s::int[], %s::bool[])
                        AS pin (installed_rank, version, type, script, checksum, success)
                WHERE history.installed_rank = pin.installed_rank AND history.version = pin.version
                  AND history.type = pin.type AND history.script = pin.script
                  AND history.checksum IS NOT DISTINCT FROM pin.checksum AND history.success = pin.success)
        """
    ).format(_table(spec))
    columns = [[getattr(pin, name) for pin in _pins(spec)] for name in HistoryPin.__slots__]
    return str(one(connection, query, [list(besides), *columns])[0])


def treat(connection: Connection, spec: RunSpec) -> list[int]:
    """Do with the pinned rows what was approved; returns the ranks of rows that were added.

    Raises HistoryChanged unless the history is then exactly as it should be, whatever triggers the table has.
    """
    before = read_history(connection, spec.history_schema, spec.history_table)
    user = str(one(connection, "SELECT session_user")[0])
    wanted = _treated(before, spec, installed_by=user)
    added = wanted[len(before) :] if spec.history_treatment is Treatment.MARK else []
    if spec.history_treatment is Treatment.DELETE:
        for pin in _pins(spec):
            _delete_pinned(connection, spec, pin)
    for row in added:
        _append(connection, spec, row)
    ranks = [row.installed_rank for row in added]
    found = read_history(connection, spec.history_schema, spec.history_table)
    if [_undated(row, ranks) for row in found] != [_undated(row, ranks) for row in wanted]:
        raise HistoryChanged("After treating it the history is not as it should be; a trigger on the table?")
    return ranks


def _treated(rows: Sequence[HistoryRow], spec: RunSpec, *, installed_by: str = "") -> list[HistoryRow]:
    """The history as it has to be in the end; `installed_on` of added rows is the database's to say."""
    if spec.history_treatment is Treatment.DELETE:
        return [row for row in rows if not any(_is(row, pin) for pin in _pins(spec))]
    result = list(rows)
    for pin in _pins(spec):
        row = _pinned(rows, pin)
        try:
            result.append(delete_row(row, result, installed_by=installed_by, installed_on=UNDATED))
        except (NotTreatable, CorruptHistory) as error:
            raise HistoryChanged(f"No DELETE row can mark version {pin.version}: {error}.") from None
    return result


def _undated(row: HistoryRow, ranks: Sequence[int]) -> HistoryRow:
    return row._replace(installed_on=UNDATED) if row.installed_rank in ranks else row


def _append(connection: Connection, spec: RunSpec, row: HistoryRow) -> None:
    """As Flyway appends a row: the table's default says when."""
    names = [name for name in COLUMNS if name != "installed_on"]
    query = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        _table(spec),
        sql.SQL(", ").join(map(sql.Identifier, names)),
        sql.SQL(", ").join(map(sql.Placeholder, names)),
    )
    connection.execute(query, {name: getattr(row, name) for name in names})


def _delete_pinned(connection: Connection, spec: RunSpec, pin: HistoryPin) -> None:
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


def pins_standing(connection: Connection, schema: str, table: str, pins: Sequence[HistoryPin]) -> int:
    """How many of the pinned rows are in the history and not marked as deleted."""
    rows = read_history(connection, schema, table)
    with contextlib.suppress(CorruptHistory):
        rows = [entry.row for entry in entries(rows) if entry.stands]
    return sum(any(_is(row, pin) for row in rows) for pin in pins)


def _pins(spec: RunSpec) -> list[HistoryPin]:
    return [item.pin for item in spec.items]


def _table(spec: RunSpec) -> sql.Identifier:
    return sql.Identifier(spec.history_schema, spec.history_table)


def _is(row: HistoryRow, pin: HistoryPin) -> bool:
    return all(getattr(row, name) == getattr(pin, name) for name in HistoryPin.__slots__)


def _pinned(rows: Sequence[HistoryRow], pin: HistoryPin) -> HistoryRow:
    same = [row for row in rows if _is(row, pin)]
    if len(same) != 1:
        raise HistoryChanged(_mismatch(pin, rows, len(same)))
    return same[0]


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
