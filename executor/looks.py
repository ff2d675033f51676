"""Who asks a target about which statement that runs alone: how it was, what takes it back, how it stands."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from approvals.analysis.alone import (
    LISTS,
    Alone,
    Detached,
    IndexDropped,
    IndexMade,
    Reload,
    Renewed,
    Rewritten,
    Setting,
    ValueAdded,
    read_alone,
)
from executor.connect import Connection, one
from executor.looking import Before, Look, Looker, Standing
from executor.looks_tables import DetachedLooker, RewrittenLooker

RELOAD = "SELECT pg_reload_conf()"


def looker(statement: str) -> Looker:
    """Who asks about this statement. Raises approvals.analysis.alone.NotAlone."""
    found = read_alone(statement)
    made: Looker = _LOOKERS[type(found)](found)
    return made


class _SettingLooker(Looker):
    """ALTER SYSTEM writes a file; what that file has is what counts, in force or not."""

    as_owner = False
    _FILE = """SELECT setting FROM pg_file_settings
                WHERE lower(name) = %s AND sourcefile LIKE '%%postgresql.auto.conf'
                ORDER BY seqno DESC LIMIT 1"""

    def __init__(self, found: Setting) -> None:
        self.setting = found

    def _in_file(self, connection: Connection) -> str | None:
        row = connection.execute(self._FILE, (self.setting.name,)).fetchone()
        return None if row is None else str(row[0])

    def before(self, connection: Connection) -> dict[str, Any]:
        return {"file": self._in_file(connection)}

    def was_so(self, before: Before) -> bool:
        return bool(before["file"] == self.setting.value)

    def undo(self, before: Before) -> tuple[str, ...]:
        name, value = sql.Identifier(self.setting.name), before["file"]
        if value is None:
            return (sql.SQL("ALTER SYSTEM RESET {}").format(name).as_string(),)
        values = _elements(value) if self.setting.name in LISTS else [value]
        written = sql.SQL(", ").join(map(sql.Literal, values))
        return (sql.SQL("ALTER SYSTEM SET {} = {}").format(name, written).as_string(),)

    def look(self, connection: Connection, before: Before) -> Look:
        now, name = self._in_file(connection), self.setting.name
        says = (
            f"postgresql.auto.conf has {name} = {now}." if now is not None else f"No {name} is in the file."
        )
        if now == self.setting.value:
            return Look(Standing.DONE, says)
        return Look(Standing.BEFORE if now == before["file"] else Standing.OTHER, says)


def _elements(value: str) -> list[str]:
    """`a, "B c"` as its names; an empty list is one empty text, as ALTER SYSTEM wants it."""
    found, word, inside = [], "", False
    for character in value:
        if character == '"':
            inside = not inside
        if character == "," and not inside:
            found.append(word)
            word = ""
        else:
            word += character
    return [_bare(each) for each in [*found, word]]


def _bare(word: str) -> str:
    word = word.strip()
    return word[1:-1].replace('""', '"') if word.startswith('"') else word


class _ReloadLooker(Looker):
    as_owner = False
    repeatable = True

    def __init__(self, _found: Reload) -> None:
        pass

    def before(self, connection: Connection) -> dict[str, Any]:
        return {"loaded": str(one(connection, "SELECT extract(epoch FROM pg_conf_load_time())")[0])}

    def undo(self, before: Before) -> tuple[str, ...]:
        return (RELOAD,)

    def look(self, connection: Connection, before: Before) -> Look:
        at, later = one(
            connection,
            "SELECT pg_conf_load_time(), extract(epoch FROM pg_conf_load_time()) > %s::numeric",
            (before["loaded"],),
        )
        says = f"The configuration was read last at {at:%Y-%m-%d %H:%M:%S %Z}."
        return Look(Standing.DONE if later else Standing.BEFORE, says)


_INDEX = """
    SELECT i.indexrelid::bigint, i.indisvalid AND i.indisready AND i.indislive, pg_get_indexdef(i.indexrelid),
           format('%%I.%%I', n.nspname, c.relname), obj_description(i.indexrelid, 'pg_class'), t.spcname
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace
     WHERE c.oid = to_regclass(%s)"""


class _IndexLooker(Looker):
    @staticmethod
    def _find(connection: Connection, name: str | None) -> tuple[Any, ...] | None:
        return connection.execute(_INDEX, (name,)).fetchone() if name else None


def _drop(index: str) -> str:
    return f"DROP INDEX CONCURRENTLY IF EXISTS {index}"


class _IndexMadeLooker(_IndexLooker):
    """CREATE INDEX CONCURRENTLY leaves an invalid index where it fails: it slows writes, serves nobody."""

    def __init__(self, found: IndexMade) -> None:
        self.made = found

    def before(self, connection: Connection) -> dict[str, Any]:
        row = connection.execute(
            "SELECT quote_ident(nspname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE c.oid = to_regclass(%s)",
            (self.made.table,),
        ).fetchone()
        index = f"{row[0]}.{self.made.index}" if row else None
        found = self._find(connection, index)
        return {"index": index, "oid": found[0] if found else None}

    def was_so(self, before: Before) -> bool:
        return before["oid"] is not None

    def undo(self, before: Before) -> tuple[str, ...]:
        there = before["index"] is not None and before["oid"] is None
        return (_drop(before["index"]),) if there else ()

    def look(self, connection: Connection, before: Before) -> Look:
        name, found = before["index"], self._find(connection, before["index"])
        if found is None:
            return Look(Standing.BEFORE, f"There is no index {name or self.made.index}.")
        oid, valid = found[:2]
        if not valid:
            return Look(Standing.BROKEN, f"The index {name} is there and invalid.", (_drop(name),))
        was = ", as it was before" if oid == before["oid"] else ""
        return Look(Standing.DONE, f"The index {name} is there and valid{was}.")


class _IndexDroppedLooker(_IndexLooker):
    """What pg_get_indexdef said before is what builds it again."""

    def __init__(self, found: IndexDropped) -> None:
        self.dropped = found

    def before(self, connection: Connection) -> dict[str, Any]:
        found = self._find(connection, self.dropped.index)
        names = ("oid", "valid", "definition", "index", "comment", "tablespace")
        return dict(zip(names, found, strict=True)) if found else {"index": None}

    def was_so(self, before: Before) -> bool:
        return before["index"] is None

    def undo(self, before: Before) -> tuple[str, ...]:
        if before["index"] is None:
            return ()
        made = []
        if before["tablespace"]:
            place = sql.Identifier(before["tablespace"]).as_string()
            made.append(f"SET default_tablespace = {place}")
        made.append(before["definition"].replace(" INDEX ", " INDEX CONCURRENTLY ", 1))
        if before["comment"]:
            comment = sql.Literal(before["comment"]).as_string()
            made.append(f"COMMENT ON INDEX {before['index']} IS {comment}")
        return tuple(made)

    def look(self, connection: Connection, before: Before) -> Look:
        name = before["index"]
        found = self._find(connection, name)
        if found is None:
            return Look(Standing.DONE, f"There is no index {name or self.dropped.index}.")
        if not found[1]:
            return Look(Standing.BROKEN, f"The index {name} is there and invalid.", (_drop(name),))
        if found[2] == before["definition"]:
            return Look(Standing.BEFORE, f"The index {name} is there and valid.")
        return Look(Standing.OTHER, f"Another index {name} is there: {found[2]}.")


class _ValueLooker(Looker):
    for_good = True

    def __init__(self, found: ValueAdded) -> None:
        self.added = found

    def _there(self, connection: Connection) -> bool:
        query = "SELECT EXISTS (SELECT FROM pg_enum WHERE enumtypid = to_regtype(%s) AND enumlabel = %s)"
        return bool(one(connection, query, (self.added.type, self.added.value))[0])

    def before(self, connection: Connection) -> dict[str, Any]:
        return {"there": self._there(connection), "for_good": True}

    def was_so(self, before: Before) -> bool:
        return bool(before["there"])

    def undo(self, before: Before) -> tuple[str, ...]:
        return ()

    def look(self, connection: Connection, before: Before) -> Look:
        there = self._there(connection)
        says = f"The type {self.added.type} {'has' if there else 'lacks'} the value “{self.added.value}”."
        return Look(Standing.DONE if there else Standing.BEFORE, says)


class _RenewedLooker(Looker):
    """REINDEX CONCURRENTLY leaves invalid copies where it fails; VACUUM leaves nothing."""

    repeatable = True
    _INVALID = """
        SELECT i.indexrelid::bigint, format('%%I.%%I', n.nspname, c.relname)
          FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT i.indisvalid AND i.indrelid = (
               SELECT coalesce(x.indrelid, o.oid) FROM pg_class o LEFT JOIN pg_index x ON x.indexrelid = o.oid
                WHERE o.oid = to_regclass(%s)) ORDER BY 2"""

    def __init__(self, found: Renewed) -> None:
        self.relation = found.relation

    def _invalid(self, connection: Connection) -> dict[int, str]:
        return dict(connection.execute(self._INVALID, (self.relation,)).fetchall())

    def before(self, connection: Connection) -> dict[str, Any]:
        return {"invalid": sorted(self._invalid(connection))}

    def undo(self, before: Before) -> tuple[str, ...]:
        return ()

    def look(self, connection: Connection, before: Before) -> Look:
        rests = {oid: name for oid, name in self._invalid(connection).items() if oid not in before["invalid"]}
        if rests:
            names = ", ".join(rests.values())
            return Look(
                Standing.BROKEN, f"Left behind and invalid: {names}.", tuple(map(_drop, rests.values()))
            )
        return Look(Standing.BEFORE, "It changes no content, so it may run once more.")


_LOOKERS: dict[type[Alone], Any] = {
    Setting: _SettingLooker,
    Reload: _ReloadLooker,
    IndexMade: _IndexMadeLooker,
    IndexDropped: _IndexDroppedLooker,
    ValueAdded: _ValueLooker,
    Renewed: _RenewedLooker,
    Rewritten: RewrittenLooker,
    Detached: DetachedLooker,
}
