"""The server and its databases: ALTER SYSTEM, ALTER DATABASE, databases, tablespaces."""

from __future__ import annotations

from typing import Any

from approvals.analysis import names
from approvals.analysis.kinds.common import constant
from approvals.analysis.parser import pb
from approvals.analysis.registry import NOT_UNDONE, Kind, registered

# The parameters of context "postmaster" that `postgres --describe-config` of PostgreSQL 18.6 lists, and those
# of earlier versions.
RESTART = frozenset(
    """
    archive_mode autovacuum_freeze_max_age autovacuum_max_workers autovacuum_multixact_freeze_max_age
    autovacuum_worker_slots bonjour bonjour_name cluster_name commit_timestamp_buffers data_directory
    data_sync_retry dynamic_shared_memory_type event_source external_pid_file hba_file hot_standby
    huge_page_size huge_pages ident_file io_max_combine_limit io_max_concurrency io_method jit_provider
    listen_addresses logging_collector max_active_replication_origins max_connections
    max_files_per_process max_locks_per_transaction max_logical_replication_workers
    max_notify_queue_pages max_pred_locks_per_transaction max_prepared_transactions
    max_replication_slots max_wal_senders max_worker_processes min_dynamic_shared_memory
    multixact_member_buffers multixact_offset_buffers notify_buffers old_snapshot_threshold port
    recovery_target recovery_target_action recovery_target_inclusive recovery_target_lsn
    recovery_target_name recovery_target_time recovery_target_timeline recovery_target_xid
    reserved_connections serializable_buffers shared_buffers shared_memory_type
    shared_preload_libraries subtransaction_buffers superuser_reserved_connections
    track_activity_query_size track_commit_timestamp transaction_buffers unix_socket_directories
    unix_socket_group unix_socket_permissions wal_buffers wal_decode_buffer_size wal_level wal_log_hints
    """.split()  # noqa: SIM905
)


def values(nodes: Any) -> str:
    """The arguments of a SET as they would be printed."""
    return ", ".join(constant(each.a_const) for each in nodes if each.HasField("a_const"))


@registered("alter_system_stmt")
class AlterSystem(Kind):
    """ALTER SYSTEM: for the whole server, outside transactions, in force after a reload or a restart."""

    name = "ALTER SYSTEM"
    change = "ALTER SYSTEM"
    hazard = "server-setting"
    tags = ("ALTER SYSTEM",)
    transactional = False
    notes = (NOT_UNDONE,)

    @property
    def _all(self) -> bool:
        return bool(self.node.setstmt.kind == pb.VAR_RESET_ALL)

    @property
    def restart(self) -> bool:
        return self._all or self.node.setstmt.name.lower() in RESTART

    @property
    def says(self) -> str:
        after = "; a restart puts it in force" if self.restart else "; a reload puts it in force"
        if self._all:
            return "Takes every ALTER SYSTEM setting of the server back" + after + "."
        value = values(self.node.setstmt.args)
        target = f"to {value}" if value else "back to its default"
        return f"Sets {self.node.setstmt.name} of the whole server {target}{after}."


@registered("alter_database_set_stmt")
class AlterDatabaseSet(Kind):
    """ALTER DATABASE … SET: a setting of later sessions."""

    name = "ALTER DATABASE SET"
    change = "ALTER DATABASE"
    tags = ("ALTER DATABASE",)

    @property
    def says(self) -> str:
        what = self.node.setstmt.name or "every setting"
        return f"Changes {what} for later sessions of database {names.quoted(self.node.dbname)}."


@registered("alter_database_stmt")
class AlterDatabase(Kind):
    """ALTER DATABASE: connection limit, template, or another tablespace (outside transactions)."""

    name = "ALTER DATABASE"
    change = "ALTER DATABASE"

    @property
    def _moves(self) -> bool:
        return any(each.def_elem.defname == "tablespace" for each in self.node.options)

    @property
    def hazard(self) -> str:
        return "database-wide" if self._moves else "server-setting"

    @property
    def transactional(self) -> bool:
        return not self._moves

    @property
    def manual(self) -> bool:
        return self._moves

    @property
    def says(self) -> str:
        verb = "Moves" if self._moves else "Changes"
        return f"{verb} database {names.quoted(self.node.dbname)}."


class _DatabaseWide(Kind):
    """A step that a person does: it cannot run in a transaction and reaches beyond this database."""

    hazard = "database-wide"
    transactional = False
    manual = True


@registered("createdb_stmt")
class CreateDatabase(_DatabaseWide):
    """CREATE DATABASE."""

    name = "CREATE DATABASE"
    change = "CREATE DATABASE"

    @property
    def says(self) -> str:
        return f"Creates database {names.quoted(self.node.dbname)}."


@registered("dropdb_stmt")
class DropDatabase(_DatabaseWide):
    """DROP DATABASE."""

    name = "DROP DATABASE"
    change = "DROP DATABASE"

    @property
    def says(self) -> str:
        return f"Drops database {names.quoted(self.node.dbname)} with everything in it."


@registered("create_table_space_stmt")
class CreateTablespace(_DatabaseWide):
    """CREATE TABLESPACE."""

    name = "CREATE TABLESPACE"
    change = "TABLESPACE"

    @property
    def says(self) -> str:
        return f"Creates tablespace {names.quoted(self.node.tablespacename)}."


@registered("drop_table_space_stmt")
class DropTablespace(_DatabaseWide):
    """DROP TABLESPACE."""

    name = "DROP TABLESPACE"
    change = "TABLESPACE"

    @property
    def says(self) -> str:
        return f"Drops tablespace {names.quoted(self.node.tablespacename)}."
