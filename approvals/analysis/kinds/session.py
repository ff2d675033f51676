"""The session: settings, transaction control, locks, notifications."""

from __future__ import annotations

from approvals.analysis import names
from approvals.analysis.kinds.server import values
from approvals.analysis.model import Lock, LockMode
from approvals.analysis.parser import pb
from approvals.analysis.registry import Kind, registered

# Lock numbers as PostgreSQL counts them: 1 is ACCESS SHARE, 8 is ACCESS EXCLUSIVE.
_MODES = dict(enumerate(LockMode, start=1))
_TRANSACTION_WORDS = {
    pb.TRANS_STMT_BEGIN: "BEGIN",
    pb.TRANS_STMT_START: "START TRANSACTION",
    pb.TRANS_STMT_COMMIT: "COMMIT",
    pb.TRANS_STMT_ROLLBACK: "ROLLBACK",
    pb.TRANS_STMT_SAVEPOINT: "SAVEPOINT",
    pb.TRANS_STMT_RELEASE: "RELEASE SAVEPOINT",
    pb.TRANS_STMT_ROLLBACK_TO: "ROLLBACK TO SAVEPOINT",
    pb.TRANS_STMT_PREPARE: "PREPARE TRANSACTION",
    pb.TRANS_STMT_COMMIT_PREPARED: "COMMIT PREPARED",
    pb.TRANS_STMT_ROLLBACK_PREPARED: "ROLLBACK PREPARED",
}
# What the executor sets before a script and again after it.
_SET_AGAIN = frozenset(
    (
        *("search_path", "lock_timeout", "statement_timeout", "transaction_timeout"),
        *("synchronous_commit", "idle_in_transaction_session_timeout"),
    )
)
_TRANSACTION_TAGS = {"RELEASE SAVEPOINT": "RELEASE", "ROLLBACK TO SAVEPOINT": "ROLLBACK"}


@registered("transaction_stmt")
class TransactionControl(Kind):
    """BEGIN, COMMIT, ROLLBACK, savepoints and prepared transactions."""

    change = "TRANSACTION CONTROL"
    hazard = "harmless"

    @property
    def name(self) -> str:
        return _TRANSACTION_WORDS[self.node.kind]

    @property
    def tags(self) -> tuple[str, ...]:
        return (_TRANSACTION_TAGS.get(self.name, self.name),)

    @property
    def transactional(self) -> bool:
        return self.node.kind not in (pb.TRANS_STMT_COMMIT_PREPARED, pb.TRANS_STMT_ROLLBACK_PREPARED)

    @property
    def says(self) -> str:
        return "Starts a transaction." if self.name in ("BEGIN", "START TRANSACTION") else f"{self.name}."


@registered("variable_set_stmt")
class SetVariable(Kind):
    """SET and RESET of a setting of this session."""

    change = "SESSION SETTING"

    @property
    def _resets(self) -> bool:
        return self.node.kind in (pb.VAR_RESET, pb.VAR_RESET_ALL)

    @property
    def _all(self) -> bool:
        return bool(self.node.kind == pb.VAR_RESET_ALL)

    @property
    def name(self) -> str:
        return "RESET" if self._resets else "SET LOCAL" if self.node.is_local else "SET"

    @property
    def tags(self) -> tuple[str, ...]:
        return ("RESET",) if self._resets else ("SET",)

    @property
    def hazard(self) -> str:
        if self.node.name == "session_replication_role" and values(self.node.args).lower() == "replica":
            return "replica-role"
        return "search-path" if self.node.name == "search_path" else "harmless"

    @property
    def notes(self) -> tuple[str, ...]:
        return ("the executor sets it again before the checks",) if self.node.name in _SET_AGAIN else ()

    @property
    def says(self) -> str:
        what = "every setting" if self._all else self.node.name.lower().replace("transaction_", "")
        value = values(self.node.args)
        how = f"Sets {what} to {value or 'its default'}" if not self._resets else f"Resets {what}"
        return f"{how} for this {'transaction' if self.node.is_local else 'session'}."


@registered("variable_show_stmt")
class Show(Kind):
    """SHOW."""

    name = "SHOW"
    change = "SESSION SETTING"
    hazard = "harmless"

    @property
    def says(self) -> str:
        return f"Shows {self.node.name}."


@registered("constraints_set_stmt")
class SetConstraints(Kind):
    """SET CONSTRAINTS: when deferrable constraints are checked."""

    name = "SET CONSTRAINTS"
    change = "SESSION SETTING"
    hazard = "harmless"

    @property
    def says(self) -> str:
        when = "at COMMIT" if self.node.deferred else "at once"
        which = names.listed(names.relation(each.range_var) for each in self.node.constraints)
        return f"Has {which or 'every deferrable constraint'} checked {when}."


@registered("discard_stmt")
class Discard(Kind):
    """DISCARD: throws away what the session knows; ALL refuses a transaction."""

    change = "SESSION SETTING"
    hazard = "harmless"

    @property
    def name(self) -> str:
        return "DISCARD " + names.enum_word(pb.DiscardMode, self.node.target, "DISCARD_")

    @property
    def transactional(self) -> bool:
        return bool(self.node.target != pb.DISCARD_ALL)

    @property
    def says(self) -> str:
        return f"Throws away {self.name.partition(' ')[2].lower()} of this session."


@registered("lock_stmt")
class LockTable(Kind):
    """LOCK TABLE."""

    name = "LOCK TABLE"
    change = "LOCK"
    hazard = "harmless"

    @property
    def locks(self) -> tuple[Lock, ...]:
        mode = _MODES.get(self.node.mode, LockMode.ACCESS_EXCLUSIVE)
        return tuple(Lock(names.relation(each.range_var), mode) for each in self.node.relations)

    @property
    def says(self) -> str:
        return f"Locks {names.listed(lock.relation for lock in self.locks)} in {self.locks[0].mode} mode."


class _Channel(Kind):
    """LISTEN, UNLISTEN, NOTIFY."""

    change = "NOTIFY"
    hazard = "not-undone"

    @property
    def says(self) -> str:
        channel = names.quoted(self.node.conditionname) if self.node.conditionname else "every channel"
        return f"{self.name.capitalize().replace('Notify', 'Notifie')}s {channel}."


@registered("notify_stmt")
class Notify(_Channel):
    """NOTIFY: sent at COMMIT."""

    name = "NOTIFY"
    notes = ("cannot be taken back after COMMIT",)


@registered("listen_stmt")
class Listen(_Channel):
    """LISTEN."""

    name = "LISTEN"
    notes = ("has no use in a script: the session ends after it",)


@registered("unlisten_stmt")
class Unlisten(_Channel):
    """UNLISTEN."""

    name = "UNLISTEN"
