"""What a rollback breaks elsewhere, as far as the target can tell: nobody's fault, but work for somebody."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import psycopg

from executor.connect import Connection
from executor.locks import Wanted
from executor.obstacles import Point, few
from executor.spec import RunSpec

Lines = list[str]


def breaks(connection: Connection, spec: RunSpec, wanted: Sequence[Wanted]) -> Iterator[Point]:
    """One point for each kind of thing outside the script that its change reaches; never a reason to stop.

    What this login may not read is said to be unknown, and the rest is read all the same.
    """
    oids = [each.oid for each in wanted]
    for key, title, says, read in _KINDS:
        try:
            found = read(connection, spec, oids)
        except psycopg.errors.InsufficientPrivilege:
            yield Point(key, title, "unknown", "The executor's login may not read it.")
            continue
        if found:
            yield Point(key, title, "look", says, few(found))
        else:
            yield Point(key, title, "go", "None.")


def _publications(connection: Connection, _spec: RunSpec, oids: list[int]) -> Lines:
    rows = connection.execute(
        """SELECT p.pubname, c.oid::regclass::text, relreplident
             FROM pg_publication_tables p
             JOIN pg_namespace n ON nspname = schemaname
             JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
            WHERE c.oid::bigint = ANY (%s) ORDER BY 1, 2""",
        (oids,),
    ).fetchall()
    identities = {"d": "its primary key", "i": "an index", "f": "whole rows", "n": "nothing"}
    return [f"{pub} publishes {table}, rows identified by {identities[how]}" for pub, table, how in rows]


def _subscriptions(connection: Connection, _spec: RunSpec, oids: list[int]) -> Lines:
    rows = connection.execute(
        """SELECT subname, srrelid::regclass::text FROM pg_subscription_rel
             JOIN pg_subscription s ON s.oid = srsubid
            WHERE srrelid::bigint = ANY (%s) ORDER BY 1, 2""",
        (oids,),
    ).fetchall()
    return [f"{name} writes into {table}" for name, table in rows]


def _slots(connection: Connection, _spec: RunSpec, _oids: list[int]) -> Lines:
    rows = connection.execute(
        """SELECT slot_name, coalesce(plugin, ''), active FROM pg_replication_slots
            WHERE slot_type = 'logical' AND database = current_database() ORDER BY 1"""
    ).fetchall()
    return [
        f"{name} ({plugin}), {'read now' if active else 'nobody reads it'}" for name, plugin, active in rows
    ]


def _event_triggers(connection: Connection, _spec: RunSpec, _oids: list[int]) -> Lines:
    rows = connection.execute(
        """SELECT evtname, evtevent, evtfoid::regprocedure::text FROM pg_event_trigger
            WHERE evtenabled <> 'D' ORDER BY 1"""
    ).fetchall()
    return [f"{name} on {event} calls {function}" for name, event, function in rows]


def _foreign_tables(connection: Connection, spec: RunSpec, oids: list[int]) -> Lines:
    rows = connection.execute(
        """SELECT f.ftrelid::regclass::text, s.srvname FROM pg_foreign_table f
             JOIN pg_foreign_server s ON s.oid = f.ftserver
            WHERE f.ftrelid IN (SELECT to_regclass(name) FROM unnest(%s::text[]) AS name)
               OR f.ftrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent::bigint = ANY (%s))
            ORDER BY 1""",
        ([relation for relation, _mode in spec.locks], oids),
    ).fetchall()
    return [f"{table} on the server {server}: only this side changes" for table, server in rows]


def _scheduled_jobs(connection: Connection, spec: RunSpec, _oids: list[int]) -> Lines:
    """pg_cron keeps the text of its jobs; a name in it is a hint and no more."""
    there = connection.execute("SELECT to_regclass('cron.job') IS NOT NULL").fetchone()
    if there is None or not there[0]:
        return []
    rows = connection.execute(
        """SELECT jobid, schedule, command FROM cron.job
            WHERE active AND database = current_database() ORDER BY jobid"""
    ).fetchall()
    names = {relation.rpartition(".")[2].strip('"').casefold() for relation, _mode in spec.locks}
    return [f"job {number} ({schedule})" for number, schedule, command in rows if _names_one(command, names)]


def _names_one(text: str, names: set[str]) -> bool:
    words = "".join(letter if letter.isalnum() or letter == "_" else " " for letter in text.casefold())
    return not names.isdisjoint(words.split())


def _sessions(connection: Connection, _spec: RunSpec, _oids: list[int]) -> Lines:
    rows = connection.execute(
        """SELECT coalesce(nullif(application_name, ''), 'without a name'), coalesce(usename, ''), count(*)
             FROM pg_stat_activity
            WHERE datname = current_database() AND backend_type = 'client backend'
              AND pid <> pg_backend_pid() AND application_name NOT LIKE 'waqiti_rollback%'
            GROUP BY 1, 2 ORDER BY 3 DESC, 1 LIMIT 50"""
    ).fetchall()
    return [f"{application}, user {user}: {count}" for application, user, count in rows]


_KINDS: tuple[tuple[str, str, str, Callable[[Connection, RunSpec, list[int]], Lines]], ...] = (
    (
        "publications",
        "Publications of what it touches",
        "Subscribers get changes of rows and not of tables; without its key no row can be updated.",
        _publications,
    ),
    (
        "subscriptions",
        "Subscriptions that write into it",
        "They stop with an error when a column that they write is gone.",
        _subscriptions,
    ),
    (
        "slots",
        "Logical slots on this database",
        "Whoever decodes them sees other columns from then on.",
        _slots,
    ),
    ("event_triggers", "Event triggers", "They run with the script and can make it fail.", _event_triggers),
    (
        "foreign_tables",
        "Foreign tables among it",
        "Foreign tables elsewhere that point here can't be seen from here.",
        _foreign_tables,
    ),
    (
        "cron",
        "Jobs of pg_cron that name it",
        "By their text, as far as this login may see them; they run on after it.",
        _scheduled_jobs,
    ),
    (
        "sessions",
        "Sessions with prepared statements",
        "What they prepared before can fail with 0A000 afterwards: recycle their pools.",
        _sessions,
    ),
)
