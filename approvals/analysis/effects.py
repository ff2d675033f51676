"""Built-in functions whose effect outlives the transaction or leaves it. Data for kinds and guards."""

from __future__ import annotations

from dataclasses import dataclass

from approvals.analysis.registry import NOT_UNDONE


@dataclass(frozen=True, slots=True)
class Effect:
    """What calling a function does. `refused`: why a script may not, or ''."""

    says: str
    hazard: str
    note: str = NOT_UNDONE
    refused: str = ""


_OUTSIDE = "It acts outside the transaction, so a rollback of the script would not take it back."
_FILES = "It reads or writes files of the server."
_SERVER = "It steers the server itself, which is no part of a rollback."

_KNOWN = {
    "setval": Effect("Sets a sequence's position.", "not-undone"),
    "nextval": Effect("Advances a sequence.", "not-undone"),
    "pg_reload_conf": Effect("Makes the server read its configuration again.", "not-undone"),
    "pg_rotate_logfile": Effect("Starts a new log file.", "not-undone"),
    "pg_switch_wal": Effect("Starts a new WAL file.", "not-undone"),
    "pg_create_restore_point": Effect("Names a point in the WAL.", "not-undone"),
    "pg_logical_emit_message": Effect("Writes a message to the WAL.", "not-undone"),
    "pg_stat_reset": Effect("Resets statistics.", "not-undone"),
    "pg_advisory_lock": Effect("Takes an advisory lock of the session.", "not-undone"),
    "pg_advisory_unlock": Effect("Frees an advisory lock of the session.", "not-undone"),
    "pg_advisory_unlock_all": Effect("Frees all advisory locks of the session.", "not-undone"),
    "pg_notify": Effect("Sends a notification at COMMIT.", "not-undone", "cannot be taken back after COMMIT"),
    "set_config": Effect("Changes a setting of this session.", "harmless", "changes a setting"),
    "pg_terminate_backend": Effect("Ends another session.", "ends-sessions"),
    "pg_cancel_backend": Effect("Cancels another session's statement.", "ends-sessions"),
    "pg_create_logical_replication_slot": Effect("Creates a replication slot.", "replication"),
    "pg_create_physical_replication_slot": Effect("Creates a replication slot.", "replication"),
    "pg_drop_replication_slot": Effect("Drops a replication slot.", "replication"),
}
_HARMLESS = ("now", "version", "current_setting", "pg_sleep", "pg_advisory_xact_lock", "to_regclass", "count")
_REFUSED = {
    "dblink dblink_exec dblink_open dblink_connect dblink_connect_u dblink_send_query": _OUTSIDE,
    "lo_import lo_export pg_read_file pg_read_binary_file pg_ls_dir": _FILES,
    "pg_file_write pg_file_rename pg_file_unlink": _FILES,
    "pg_promote pg_wal_replay_pause pg_wal_replay_resume pg_backup_start pg_backup_stop": _SERVER,
}
_KNOWN.update((name, Effect("Computes a value.", "harmless", "")) for name in _HARMLESS)
_KNOWN.update(
    (name, Effect(f"Calls {name}().", "unreadable", "acts outside the transaction", why))
    for functions, why in _REFUSED.items()
    for name in functions.split()
)


def effect_of(function: str) -> Effect | None:
    """The effect of a function by name, whatever its schema; None for one that is not listed."""
    return _KNOWN.get(function.rpartition(".")[2])
