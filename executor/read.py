"""Read a target for the portal: its history, and the facts that a rollback's rating and checklist rest on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import psycopg

from approvals import (
    alarms,
    alike,
    analysis,
    base_backups,
    digests,
    filling,
    history,
    jobs,
    rating,
    rollbacks,
    setup_sql,
)
from approvals.errors import Refused
from approvals.flyway.history import Rows
from approvals.models import Job, RollbackItem, RollbackRequest, RollbackTarget, Target
from executor import credentials, facts, goes, readiness
from executor.connect import Connection, Identity, connect, identity, set_session
from executor.errors import ExecutorError, masked, plain
from executor.history import read_history
from executor.schema import sameness
from executor.schema.objects import Snapshot
from executor.schema.snapshot import snapshot
from executor.watch import no_longer_than

log = logging.getLogger(__name__)

FIRST = 1
READING_S = 1800.0
"""So long a reading may take at most: of many tables each is counted for half a minute."""


def in_plain_words(error: BaseException) -> str:
    """A sentence for people: our own errors say themselves what to do, of others only the kind is told."""
    if isinstance(error, ExecutorError | Refused):
        return masked(str(error))
    if isinstance(error, psycopg.Error):
        return f"The database answered: {plain(error)}."
    return f"The worker failed with {type(error).__name__}; its log has the details."


@contextmanager
def reading(target: Target) -> Iterator[Connection]:
    """A connection that may read everything and change nothing: the backup role, read only."""
    with (
        connect(credentials.endpoint(target, "backup")) as connection,
        no_longer_than(READING_S, connection),
    ):
        set_session(connection, {"default_transaction_read_only": "on", "lock_timeout": "5s"})
        yield connection


def sync_job(job: Job) -> str:
    """Read the history of the job's target. Returns a sentence; no answer from it is recorded as such."""
    return sync(Target.objects.get(pk=job.subject))


def sync(target: Target) -> str:
    """Read the history and what the target lacks, and store both; raise the alarm where a rolled back
    migration is there again. Returns who read what, as a sentence."""
    with synced(target) as (_connection, _rows, sentence):
        return sentence


@contextmanager
def synced(target: Target) -> Iterator[tuple[Connection, Rows, str]]:
    """`sync`, with the connection still open to read more, and the rows that were read. Where they can't be,
    that is recorded and raised."""
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(reading(target))
            rows = Rows(read_history(connection, target.history_schema, target.history_table))
            who = identity(connection)
            lacks = _lacking(connection, target)
        except (ExecutorError, psycopg.Error) as error:
            history.record_sync_failure(target, in_plain_words(error))
            raise
        yield connection, rows, _store(target, rows, who, lacks, connection.info.user)


def _store(target: Target, rows: Rows, who: Identity, lacks: list[str], role: str) -> str:
    if who.in_recovery:
        lacks.insert(0, "It is a standby in recovery. Give the address of the primary.")
    history.record_sync(
        target,
        rows,
        system_identifier=who.system_identifier,
        database_oid=who.database_oid,
        server_version=str(who.version),
        lacking=lacks,
    )
    alarms.check_reappeared(target, rows)
    kind = "standby" if who.in_recovery else "primary"
    return f"{len(rows)} rows read from the {kind} as {role}."


def _lacking(connection: Connection, target: Target) -> list[str]:
    """What is missing before a rollback can run there; without a login for that, so much is said."""
    try:
        login = credentials.endpoint(target, "executor").user
    except credentials.CredentialsMissing as missing:
        return [str(missing)]
    return readiness.lacking(
        connection,
        executor=login,
        owner=target.owner_role,
        history=(target.history_schema, target.history_table),
        marker=target.has_marker,
        restore_points=base_backups.newest(target) is not None,
        alter_system=sorted(setup_sql.parameters(target)),
    )


def watch(target: Target) -> None:
    """Look at the history of a target whose rollback is less than a day old; store it only if it changed."""
    try:
        with reading(target) as connection:
            rows = read_history(connection, target.history_schema, target.history_table)
    except (ExecutorError, psycopg.Error) as error:
        log.warning("%s can't be watched: %s", target, in_plain_words(error))
        return
    if [history.pin_of(row) for row in rows] != [history.pin_of(row) for row in history.rows_of(target)]:
        sync(target)


def facts_job(job: Job) -> str:
    """Read the facts for the job's rollback and record them for the change digest that was asked about."""
    rollback = RollbackRequest.objects.get(pk=job.subject)
    return read_facts(rollback, change_digest=job.digest, job=job)


def read_facts(
    rollback: RollbackRequest,
    *,
    change_digest: str,
    only: RollbackTarget | None = None,
    items: Sequence[RollbackItem] | None = None,
    job: Job | None = None,
) -> str:
    """Count what the scripts touch, list what depends on it, compare the history; record it as evidence, of
    each target or of `only` one. `items` (of `digests.items_of`) spares reading them; `job` is told how far a
    reading of many is."""
    items = digests.items_of(rollback) if items is None else items
    targets = [only] if only else list(rollback.rollback_targets.select_related("target"))
    sentence = ""
    for number, each in enumerate(targets, start=1):
        sentence = _read_one(rollback, each, items, change_digest, more=number < len(targets))
        if job is not None and len(targets) > 1:
            jobs.tell(job, f"Read {number} of {len(targets)} targets.")
    return sentence if len(targets) == 1 else f"Read {len(targets)} targets."


def _read_one(
    rollback: RollbackRequest,
    rollback_target: RollbackTarget,
    items: Sequence[RollbackItem],
    change_digest: str,
    *,
    more: bool,
) -> str:
    target = rollback_target.target
    about: dict[str, Any] = {
        "change_digest": change_digest,
        "rollback_target": rollback_target,
        "more": more,
    }
    try:
        with synced(target) as (connection, rows, _sentence):
            data = _facts(rollback_target, items, connection, rows)
    except (ExecutorError, psycopg.Error) as error:
        sentence = in_plain_words(error)
        rollbacks.record_facts(rollback, holds=False, sentence=sentence, data={}, **about)
        return sentence
    there = [history.pin_of(row) for row in rows]
    gone = [pin["version"] for pin in rollback_target.pins if pin not in there]
    if gone:
        sentence = f"The history changed: {', '.join(gone)} is not there as it was."
    else:
        count = len(data["tables"])
        noun = "table" if count == 1 else "tables"
        sentence = f"Read {target}: {count} {noun}, schema version {data['schema_version']}."
    rollbacks.record_facts(rollback, holds=not gone, sentence=sentence, data=data, **about)
    return sentence


def _facts(
    rollback_target: RollbackTarget,
    items: Sequence[RollbackItem],
    connection: Connection,
    rows: Rows,
) -> dict[str, Any]:
    target = rollback_target.target
    with_script = [item for item in items if item.script is not None]
    plans = [analysis.plan_script(filling.sql_of(item)) for item in with_script]
    destroyed = {gone for plan in plans for gone in plan.destroys}
    relations = {name for plan in plans for name in plan.relations} | {gone.relation for gone in destroyed}
    columns = sorted((gone.relation, gone.column) for gone in destroyed if gone.column is not None)
    tables = facts.table_facts(connection, sorted(relations), search_path=target.search_path)
    values = facts.values(connection, columns, search_path=target.search_path)
    version = facts.current_version(rows)
    live = cache(lambda: _snapshot(connection))
    schema = _schema_of(rollback_target, live)
    scripts = [(str(item.migration), plan) for item, plan in zip(with_script, plans, strict=True)]
    gone = goes.counted(
        connection,
        scripts,
        live,
        search_path=target.search_path,
        known=goes.Known.of(tables, values),
    )
    return schema | {
        "tables": [_table(each) for each in tables if each.rows is not None or each.bytes],
        "values": [
            {"column": f"{relation}.{column}", "values": count, "exact": count is not None}
            for (relation, column), count in values.items()
        ],
        rating.GOES: gone,
        "dependents": sorted({f"{d.kind} {d.name}" for each in tables for d in each.dependents}),
        "schema_version": version.text if version else "",
    }


def _schema_of(rollback_target: RollbackTarget, live: Callable[[], Snapshot]) -> dict[str, Any]:
    """The digest of a target's schema, where the request has several that must be alike."""
    is_first = rollback_target.position == FIRST
    if is_first and rollback_target.rollback.rollback_targets.count() == 1:
        return {}
    return {alike.SCHEMA: sameness.digest(live())}


def _snapshot(connection: Connection) -> Snapshot:
    with connection.transaction():
        return snapshot(connection)


def _table(found: facts.TableFacts) -> dict[str, Any]:
    as_of = found.estimated_at.isoformat() if found.estimated_at else None
    return {
        "relation": found.relation,
        "rows": found.rows,
        "exact": found.exact,
        "as_of": as_of,
        "bytes": found.bytes,
    }
