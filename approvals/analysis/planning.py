"""From a rollback script to its plan: what becomes a step, what the executor takes over, what is refused."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from approvals.analysis import names, parser
from approvals.analysis.effects import effect_of
from approvals.analysis.guards import MARKER_SCHEMA, REPLICA_ROLE, Guard, procedures
from approvals.analysis.kinds.common import constant
from approvals.analysis.kinds.data import names_its_rows
from approvals.analysis.kinds.queries import called
from approvals.analysis.kinds.server import values
from approvals.analysis.model import Plan, Problem, Statement, Step, StepKind, TakenOver
from approvals.analysis.parser import Piece, Source, SqlError, pb, walk
from approvals.analysis.reading import MARK_STRIPPED, explained, known_names, statement
from approvals.analysis.registry import Context, Kind, kind_of
from approvals.analysis.transactions import Outline, outline

EMPTY = "There is nothing in it but white space and comments."
REFUSES_TRANSACTION = "refuses-transaction"
_WRITES = ("insert_stmt", "update_stmt", "delete_stmt", "merge_stmt")


@lru_cache(maxsize=32)
def plan_script(sql: str, *, history_table: str = "flyway_schema_history") -> Plan:
    """Read a rollback script and say how it would be run. Never raises: what is wrong becomes a problem.

    It follows from the text alone, and one execution asks for it several times: the last ones are kept."""
    source = Source(sql)
    try:
        pieces = parser.parse(source)
    except SqlError as error:
        return Plan(problems=_unreadable(source, error))
    if not pieces:
        return Plan(problems=(Problem(1, 1, EMPTY, "empty"),))
    planner = _Planner(source, pieces, names.quoted(history_table.rpartition(".")[2].strip('"')))
    for position, piece in enumerate(pieces, start=1):
        planner.take(position, piece)
    return planner.plan()


def plan_check(sql: str) -> tuple[Problem, ...]:
    """Why a text cannot be a check; empty for a single SELECT that reads and returns one column."""
    source = Source(sql)
    try:
        pieces = parser.parse(source)
    except SqlError as error:
        return (explained(source, error),)
    if not pieces:
        return (Problem(1, 1, EMPTY, "empty"),)
    found = [(pieces[1].start, "several", "A check is one statement.")] if len(pieces) > 1 else []
    if pieces[0].which == "select_stmt":
        found += [(pieces[0].start, *problem) for problem in _check_problems(pieces[0].node)]
    else:
        found.append((pieces[0].start, "no-select", "A check is a SELECT."))
    return tuple(Problem(*source.place(at), message, code) for at, code, message in found)


def _check_problems(node: Any) -> list[tuple[str, str]]:
    found = []
    for each in walk(node):
        if isinstance(each, pb.IntoClause):
            found.append(("into", "SELECT INTO makes a table; a check only reads."))
        elif isinstance(each, pb.LockingClause):
            found.append(("locking", "FOR UPDATE and the like lock rows; a check only reads."))
        elif isinstance(each, (pb.InsertStmt, pb.UpdateStmt, pb.DeleteStmt, pb.MergeStmt)):
            found.append(("writes", "A WITH query of it writes; a check only reads."))
    for function, _ in called(node):
        effect = effect_of(function)
        if (effect and effect.hazard != "harmless") or function in ("set_config", "pg_catalog.set_config"):
            found.append(("function", f"{function}() does something; a check only reads."))
        if function.startswith(f"{MARKER_SCHEMA}."):
            found.append(("marker", f"The schema {MARKER_SCHEMA} holds the executor's own record."))
    columns = _columns(node)
    if columns is not None and columns != 1:
        found.append(("columns", f"It returns {columns} columns; a check returns one value."))
    return found


def _columns(node: Any) -> int | None:
    """How many columns a SELECT returns; None where a star hides it."""
    while node.op != pb.SETOP_NONE:
        node = node.larg
    if node.values_lists:
        return len(node.values_lists[0].list.items)
    for each in node.target_list:
        value = each.res_target.val
        if value.HasField("column_ref") and value.column_ref.fields[-1].HasField("a_star"):
            return None
    return len(node.target_list)


def _unreadable(source: Source, error: SqlError) -> tuple[Problem, ...]:
    """The error, and before it a COPY whose data may be what could not be read."""
    found = []
    for piece in parser.salvage(source)[0]:
        if piece.which == "copy_stmt" and piece.node.is_from and not piece.node.filename:
            message = "COPY FROM STDIN with data in the script: data is no SQL; write INSERT."
            found.append(Problem(*source.place(piece.start), message, "copy-data"))
    return (*found, explained(source, error))


class _Planner:
    """Collects the parts of a plan while it goes through the statements."""

    def __init__(self, source: Source, pieces: list[Piece], history_table: str) -> None:
        self.source = source
        self.history_table = history_table
        self.context: Context = known_names(pieces)
        self.guard = Guard(source, self.context, history_table, procedures(source, pieces))
        self.outline: Outline = outline(pieces)
        self.steps: list[Step] = []
        self.taken: list[TakenOver] = []
        self.versions: list[str] = []
        self.problems: list[Problem] = []
        self.notes: list[str] = [MARK_STRIPPED] if source.had_mark else []
        self.replica_role = False
        self.configured = False  # whether an ALTER SYSTEM came before

    def take(self, position: int, piece: Piece) -> None:
        """Sort one statement into steps, what is taken over, and refusals."""
        if piece.which == "transaction_stmt":
            self._transaction(position, piece)
        elif piece.which == "variable_set_stmt" and piece.node.name.lower() == REPLICA_ROLE:
            self._replica_role(piece)
        elif piece.which == "delete_stmt" and self._is_history(piece.node):
            self._history(piece)
        else:
            self._step(position, piece)

    def plan(self) -> Plan:
        """The plan, once every statement was taken."""
        self._one_block()
        if not self.steps and not self.problems:
            message = "It has no step of its own: nothing would be undone."
            self.problems.append(Problem(1, 1, message, "no-steps"))
        problems = sorted(dict.fromkeys(self.problems), key=lambda each: (each.line, each.column))
        return Plan(
            steps=tuple(self.steps),
            taken_over=tuple(self.taken),
            replica_role=self.replica_role,
            problems=tuple(problems),
            notes=tuple(dict.fromkeys(self.notes)),
            versions=tuple(dict.fromkeys(self.versions)),
        )

    def _refuse(self, offset: int, code: str, message: str, line: int | None = None) -> None:
        place = self.source.place(offset) if line is None else (line, 1)
        self.problems.append(Problem(*place, message, code))

    def _take_over(self, piece: Piece, kind: str, why: str) -> None:
        sql = self.source.slice(piece.start, piece.end)
        self.taken.append(TakenOver(*self.source.place(piece.start), sql, why, kind))

    def _transaction(self, position: int, piece: Piece) -> None:
        refusal = self.outline.refused.get(position)
        if refusal:
            self._refuse(piece.start, "transaction", refusal)
            return
        self._take_over(piece, "transaction", "The executor starts and ends the transaction itself.")

    def _replica_role(self, piece: Piece) -> None:
        asks = values(piece.node.args).lower() == "replica"
        self.replica_role = self.replica_role or asks
        why = "Removed: it would switch triggers and foreign keys off." if asks else "Removed with its like."
        self._take_over(piece, "replica role", why)

    def _is_history(self, node: Any) -> bool:
        return names.quoted(node.relation.relname) == self.history_table

    def _history(self, piece: Piece) -> None:
        versions = _versions(piece.node)
        if not versions:
            message = (
                f"From {self.history_table} a script may only delete WHERE version = '…'; "
                "the executor then does it itself."
            )
            self._refuse(piece.start, "history", message)
            return
        self.versions += versions
        why = "The executor deletes the pinned history row itself, after the checks."
        self._take_over(piece, "history", why)

    def _step(self, position: int, piece: Piece) -> None:
        for refusal in self.guard.refusals(piece):
            self._refuse(refusal.offset, refusal.code, refusal.message, refusal.line)
        kind = kind_of(piece.which, piece.node, self.context)
        read = statement(self.source, piece, position, kind)
        step = self._kind(kind, read, position)
        if self.outline.is_outside(position) and step is StepKind.TRANSACTIONAL and not _harmless(read):
            self._refuse(piece.start, "outside", "It stands outside BEGIN … COMMIT; put it inside.")
        if not kind.transactional and not kind.manual and self.outline.is_inside(position):
            message = (
                f"{read.kind} refuses a transaction (25001), and this stands between BEGIN and COMMIT. It "
                "runs as a step of its own: put it before BEGIN, or behind COMMIT."
            )
            self._refuse(piece.start, REFUSES_TRANSACTION, message)
        self.steps.append(Step(len(self.steps) + 1, step, read))

    def _kind(self, kind: Kind, read: Statement, position: int) -> StepKind:
        """How the step runs; a reload of the configuration goes with the ALTER SYSTEM before it, and a value
        that stands outside BEGIN … COMMIT is meant to be there before the transaction uses it."""
        self.configured = self.configured or read.change == "ALTER SYSTEM"
        if kind.manual:
            return StepKind.MANUAL
        reload = self.configured and read.kind == "SELECT pg_reload_conf"
        value = read.kind == "ADD ENUM VALUE" and self.outline.is_outside(position)
        alone = reload or value or not kind.transactional
        return StepKind.AUTOCOMMIT if alone else StepKind.TRANSACTIONAL

    def _one_block(self) -> None:
        """Refuse transactional steps that other steps tear apart: they would be two transactions."""
        acting = [step for step in self.steps if not _harmless(step.statement)]
        kinds = [step.kind is StepKind.TRANSACTIONAL for step in acting]
        for number, step in enumerate(acting):
            if kinds[number] and True in kinds[:number] and not kinds[number - 1]:
                message = (
                    "Between this and the transactional statements before it stands one that refuses a "
                    "transaction, which makes two transactions. Put such statements first or last."
                )
                self.problems.append(Problem(step.statement.line, step.statement.column, message, "blocks"))


def _harmless(read: Statement) -> bool:
    return read.change in ("SESSION SETTING", "QUERY")


def _versions(node: Any) -> list[str]:
    """The versions of `WHERE version = '…'` or `version IN (…)`; empty for any other DELETE."""
    extras = node.using_clause or node.HasField("returning_clause") or node.HasField("with_clause")
    where = node.where_clause
    if extras or not where.HasField("a_expr") or not names_its_rows(where):
        return []
    if names.parts(where.a_expr.lexpr.column_ref.fields)[-1] != "version":
        return []
    right = where.a_expr.rexpr
    return [constant(each.a_const) for each in (right.list.items if right.HasField("list") else [right])]
