"""Statements that refuse a transaction and run alone: what each is about, and which of them run here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from approvals.analysis import names
from approvals.analysis.kinds.common import constant, option
from approvals.analysis.kinds.queries import called
from approvals.analysis.parser import Source, SqlError, parse, pb

# Parameters whose value is a list of names, each quoted on its own (PostgreSQL's GUC_LIST_QUOTE).
LISTS = frozenset(
    """
    local_preload_libraries search_path session_preload_libraries shared_preload_libraries temp_tablespaces
    unix_socket_directories
    """.split()  # noqa: SIM905
)


class NotAlone(Exception):
    """This version does not run the statement alone; the message says why, for people."""


@dataclass(frozen=True, slots=True)
class Setting:
    """ALTER SYSTEM SET or RESET (`value` is None) of one parameter."""

    name: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Reload:
    """SELECT pg_reload_conf()."""


@dataclass(frozen=True, slots=True)
class IndexMade:
    """CREATE INDEX CONCURRENTLY; the index comes to be in its table's schema. Names as SQL writes them."""

    index: str
    table: str


@dataclass(frozen=True, slots=True)
class IndexDropped:
    """DROP INDEX CONCURRENTLY of one index."""

    index: str


@dataclass(frozen=True, slots=True)
class ValueAdded:
    """ALTER TYPE … ADD VALUE."""

    type: str
    value: str


@dataclass(frozen=True, slots=True)
class Renewed:
    """REINDEX, VACUUM and the like: no content changes, so running it once more does no harm."""

    relation: str
    vacuum: bool = False


@dataclass(frozen=True, slots=True)
class Rewritten:
    """VACUUM FULL of one table: its rows stay, its file is another one afterwards. `analyze`: it also reads
    them anew for the planner."""

    relation: str
    analyze: bool = False


@dataclass(frozen=True, slots=True)
class Detached:
    """ALTER TABLE … DETACH PARTITION … CONCURRENTLY. Two transactions: between them it is half detached."""

    parent: str
    partition: str


Alone = Setting | Reload | IndexMade | IndexDropped | ValueAdded | Renewed | Rewritten | Detached


def read_alone(sql: str) -> Alone:
    """What a statement that runs alone is about. Raises NotAlone, with the reason, where it can't run."""
    try:
        pieces = parse(Source(sql))
    except SqlError as error:
        raise NotAlone(f"It can't be read: {error.message}.") from None
    if len(pieces) != 1:
        raise NotAlone(f"It is {len(pieces)} statements instead of one.")
    reader = _READERS.get(pieces[0].which or "")
    if reader is None:
        raise NotAlone("This version does not run such a statement outside the transaction.")
    found: Alone = reader(pieces[0].node)
    return found


def why_not_alone(sql: str) -> str:
    """Why this version does not run the statement alone, as a sentence; '' where it does."""
    try:
        read_alone(sql)
    except NotAlone as refusal:
        return str(refusal)
    return ""


def _setting(node: Any) -> Setting:
    setting = node.setstmt
    if setting.kind == pb.VAR_RESET_ALL:
        raise NotAlone("ALTER SYSTEM RESET ALL takes a superuser. Name the parameters one by one.")
    if setting.kind == pb.VAR_SET_VALUE:
        return Setting(setting.name.lower(), _value(setting))
    return Setting(setting.name.lower(), None)


def _value(setting: Any) -> str:
    """The value as the server writes it to its file."""
    parts = [constant(each.a_const) for each in setting.args if each.HasField("a_const")]
    if len(parts) != len(setting.args):
        raise NotAlone("Its value is no plain constant, so what it sets can't be compared afterwards.")
    if setting.name.lower() in LISTS:
        parts = [names.quoted(part) for part in parts]
    return ", ".join(parts)


def _index_made(node: Any) -> IndexMade:
    if not node.concurrent:
        raise NotAlone("It belongs into the transaction.")
    if not node.idxname:
        raise NotAlone("Give the index a name: without one nobody can look whether it was built.")
    return IndexMade(names.quoted(node.idxname), names.relation(node.relation))


def _index_dropped(node: Any) -> IndexDropped:
    if node.remove_type != pb.OBJECT_INDEX or not node.concurrent:
        raise NotAlone("It belongs into the transaction.")
    if len(node.objects) != 1:
        raise NotAlone("DROP INDEX CONCURRENTLY takes one index at a time.")
    return IndexDropped(names.dotted(node.objects[0].list.items))


def _value_added(node: Any) -> ValueAdded:
    if node.old_val:
        raise NotAlone("Renaming a value belongs into the transaction.")
    return ValueAdded(names.dotted(node.type_name), node.new_val)


def _select(node: Any) -> Reload:
    functions = [name.rpartition(".")[2] for name, _ in called(node)]
    if functions != ["pg_reload_conf"]:
        raise NotAlone("A query belongs into the transaction.")
    return Reload()


def _reindexed(node: Any) -> Renewed:
    if option(node.params, "concurrently") and node.HasField("relation"):
        return Renewed(names.relation(node.relation))
    raise NotAlone("This version runs REINDEX alone only CONCURRENTLY, of one index or table.")


def _vacuumed(node: Any) -> Renewed | Rewritten:
    tables = [names.relation(each.vacuum_relation.relation) for each in node.rels]
    if len(tables) != 1:
        raise NotAlone("Name exactly one table to VACUUM.")
    if option(node.options, "full"):
        return Rewritten(tables[0], analyze=bool(option(node.options, "analyze")))
    return Renewed(tables[0], vacuum=True)


def _altered(node: Any) -> Detached:
    command = node.cmds[0].alter_table_cmd if len(node.cmds) == 1 else None
    if command is None or command.subtype != pb.AT_DetachPartition:
        raise NotAlone("It belongs into the transaction.")
    partition = getattr(command, "def").partition_cmd
    if not partition.concurrent:
        raise NotAlone("It belongs into the transaction.")
    return Detached(names.relation(node.relation), names.relation(partition.name))


_READERS: dict[str, Any] = {
    "alter_system_stmt": _setting,
    "index_stmt": _index_made,
    "drop_stmt": _index_dropped,
    "alter_enum_stmt": _value_added,
    "select_stmt": _select,
    "reindex_stmt": _reindexed,
    "vacuum_stmt": _vacuumed,
    "alter_table_stmt": _altered,
}
