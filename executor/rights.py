"""Rights that a plan needs on a target and its roles lack: found in the catalog before anything runs.

What runs alone has no transaction that takes it back, so a refusal half-way is dear; and VACUUM is not even
refused: it skips what the role may not vacuum with a warning, and answers VACUUM.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from psycopg import sql

from approvals.analysis.alone import (
    Detached,
    IndexDropped,
    IndexMade,
    Renewed,
    Rewritten,
    Setting,
    ValueAdded,
    read_alone,
)
from executor import readiness
from executor.connect import Connection, one
from executor.locks import Wanted
from executor.obstacles import Point, few
from executor.spec import RunSpec

TITLE = "The roles may do what the plan needs"
MAINTAIN = 170000
"""Since this version a role may be granted VACUUM and REINDEX of what it does not own."""

_RELATION = """
    SELECT c.oid::bigint, c.oid::regclass::text, pg_get_userbyid(c.relowner),
           pg_has_role(%(role)s, c.relowner, 'USAGE'), pg_has_role(%(role)s, n.nspowner, 'USAGE'),
           has_schema_privilege(%(role)s, n.oid, 'CREATE'), quote_ident(nspname),
           pg_has_role(%(role)s, (SELECT datdba FROM pg_database WHERE datname = current_database()), 'USAGE')
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = to_regclass(%(name)s) OR c.oid IN (
           SELECT relid FROM pg_partition_tree(to_regclass(%(name)s)) WHERE %(parts)s)"""
_TYPE = """
    SELECT pg_get_userbyid(typowner), pg_has_role(%(role)s, typowner, 'USAGE')
      FROM pg_type WHERE oid = to_regtype(%(name)s)"""
_PARAMETER = "SELECT context FROM pg_settings WHERE name = %s"
_OTHERS = """
    SELECT c.oid::regclass::text, pg_get_userbyid(c.relowner)
      FROM pg_class c WHERE c.oid::bigint = ANY (%s) AND NOT pg_has_role(%s, c.relowner, 'USAGE')
     ORDER BY 1"""


def point(
    connection: Connection,
    spec: RunSpec,
    steps: Sequence[tuple[int, str]],
    wanted: Sequence[Wanted],
) -> Point:
    """Whether roles and rights suffice for these steps that run alone (position from 1, statement) and for
    the tables of the transaction.

    `connection` is the executor's login, in no transaction, with the target's search_path. Raises
    psycopg.Error.
    """
    executor = connection.info.user
    role = spec.owner_role or executor
    abouts = [(position, read_alone(statement)) for position, statement in steps]
    settings = [(position, about) for position, about in abouts if isinstance(about, Setting)]
    # Before the grants: nobody can be granted what the server does not know.
    found = [f"Step {position}: {why}" for position, about in settings for why in _setting(connection, about)]
    found = found or readiness.lacking(
        connection,
        executor=executor,
        owner=role,
        history=(spec.history_schema, spec.history_table),
        marker=spec.marker,
        alter_system=sorted({about.name for _, about in settings}),
    )
    if not found:
        # What the executor's own role sees of names is not what runs.
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        found = [
            f"Step {position}: {why}" for position, about in abouts for why in _lacks(connection, role, about)
        ]
        others = _of_others(connection, role, wanted)
        connection.execute("RESET ROLE")
        if not found and others:
            said = f"Not everything it touches belongs to {role}; what only an owner may do fails there."
            return Point("rights", TITLE, "look", said, few(others))
    if found:
        return Point("rights", TITLE, "stop", "The plan would be refused half-way.", few(found))
    return Point("rights", TITLE, "go", _asked(len(abouts)))


def _asked(alone: int) -> str:
    said = "Marker, history and the tables of the plan"
    return f"{said}; {alone} {'step' if alone == 1 else 'steps'} that run alone." if alone else f"{said}."


def _lacks(connection: Connection, role: str, about: object) -> Iterator[str]:
    """Why the server would refuse it. What is not there yet, because an earlier step makes it, says
    nothing."""
    if isinstance(about, IndexMade):
        for _oid, name, owner, owns, _schema, creates, schema, _database in _relations(
            connection, role, about.table
        ):
            if not owns:
                yield f"{name} belongs to {owner}, and only its owner makes an index on it."
            if not creates:
                yield f"{role} may create nothing in the schema {schema}: GRANT CREATE."
    elif isinstance(about, IndexDropped):
        for _oid, name, owner, owns, schema, *_ in _relations(connection, role, about.index):
            if not (owns or schema):
                yield f"The index {name} belongs to {owner}, and only its owner drops it."
    elif isinstance(about, ValueAdded):
        row = connection.execute(_TYPE, {"role": role, "name": about.type}).fetchone()
        if row is not None and not row[1]:
            yield f"The type {about.type} belongs to {row[0]}, and only its owner adds a value."
    elif isinstance(about, Renewed):
        yield from _maintenance(connection, role, about)
    elif isinstance(about, Rewritten):
        yield from _maintenance(connection, role, Renewed(about.relation, vacuum=True))
    elif isinstance(about, Detached):
        for table in (about.parent, about.partition):
            for _oid, name, owner, owns, *_ in _relations(connection, role, table):
                if not owns:
                    yield f"{name} belongs to {owner}, and only its owner detaches it."


def _relations(
    connection: Connection, role: str, name: str, *, parts: bool = False
) -> list[tuple[object, ...]]:
    return connection.execute(_RELATION, {"role": role, "name": name, "parts": parts}).fetchall()


def _maintenance(connection: Connection, role: str, about: Renewed) -> Iterator[str]:
    for oid, name, owner, owns, _schema, _creates, _name, database in _relations(
        connection, role, about.relation, parts=True
    ):
        if owns or (about.vacuum and database) or _maintains(connection, role, oid):
            continue
        if about.vacuum:
            yield f"{name} belongs to {owner}: VACUUM would skip it with a warning, and say that it was done."
        else:
            yield f"{name} belongs to {owner}, and only its owner rebuilds its indexes."


def _maintains(connection: Connection, role: str, oid: object) -> bool:
    if connection.info.server_version < MAINTAIN:
        return False
    query = """SELECT has_table_privilege(%s, coalesce(
                   (SELECT indrelid FROM pg_index WHERE indexrelid = %s::bigint::oid), %s::bigint::oid),
                   'MAINTAIN')"""
    return bool(one(connection, query, (role, oid, oid))[0])


def _setting(connection: Connection, about: Setting) -> Iterator[str]:
    row = connection.execute(_PARAMETER, (about.name,)).fetchone()
    if row is None and "." not in about.name:
        yield f"This server has no parameter {about.name}."
    elif row is not None and row[0] == "internal":
        yield f"{about.name} is what the server was made with; nothing sets it."
    allowed = one(connection, "SELECT current_setting('allow_alter_system', true)")[0]
    if allowed == "off":
        yield "The server refuses every ALTER SYSTEM (allow_alter_system = off); set it where it is kept."


def _of_others(connection: Connection, role: str, wanted: Sequence[Wanted]) -> list[str]:
    rows = connection.execute(_OTHERS, ([each.oid for each in wanted], role)).fetchall()
    return [f"{name} belongs to {owner}" for name, owner in rows]
