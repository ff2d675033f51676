"""From a text to its analysis: every statement with kind, risk, data loss, locks and place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from approvals.analysis import kinds, matrix, names, parser
from approvals.analysis.hazards import hazard
from approvals.analysis.kinds.tables import foreign_keys
from approvals.analysis.model import Analysis, Problem, Statement
from approvals.analysis.parser import Piece, Source, SqlError, pb
from approvals.analysis.registry import Context, Kind, bare, kind_of

__all__ = ["analyze", "kinds"]

MARK_STRIPPED = "A byte-order mark was stripped from the start of the text."
# Words of MySQL that PostgreSQL refuses: a hint for people, asked only of files that do not parse.
_MYSQL = ("`", "auto_increment", "engine=", "engine =", "delimiter //", "delimiter $$", "on update current_")


def analyze(sql: str, *, name: str = "") -> Analysis:
    """Read a text and rate its statements as forward changes; each also carries its hazard in a script.

    A text that does not parse yields its errors, with line and column, and the statements that still read.
    Never raises for any text.
    """
    source = Source(sql)
    notes = [MARK_STRIPPED] if source.had_mark else []
    errors: list[Problem] = []
    try:
        pieces = parser.parse(source)
    except SqlError as error:
        pieces, others = parser.salvage(source)
        errors = sorted({explained(source, each) for each in (error, *others)}, key=_by_place)
    if not pieces and not errors:
        notes.append("No statement in it.")
    dialect = "mysql" if errors and any(word in source.text.lower() for word in _MYSQL) else ""
    return Analysis(name, tuple(statements(source, pieces)), tuple(errors), tuple(notes), dialect)


def explained(source: Source, error: SqlError) -> Problem:
    """The parser's error as a problem, in plain words where it met what is no SQL but looks like it."""
    problem = source.problem(error)
    if problem.code != "syntax":
        return problem
    rest = source.slice(error.offset, error.offset + 40)
    code, message = "syntax", problem.message[:1].upper() + problem.message[1:] + "."
    if rest.startswith("\\"):
        code, message = "psql", f"{rest.split()[0]} is a command of psql, not SQL."
    elif rest.startswith("${"):
        code, message = "placeholder", f"{rest.partition('}')[0]}}} is a Flyway placeholder without a value."
    elif rest.startswith(":"):
        code, message = "psql", f"{rest.split()[0]} is a variable of psql, not SQL."
    return Problem(problem.line, problem.column, message, code)


def statements(source: Source, pieces: list[Piece]) -> list[Statement]:
    """The statements of parsed pieces, in order."""
    context = known_names(pieces)
    return [
        statement(source, piece, position, kind_of(piece.which, piece.node, context))
        for position, piece in enumerate(pieces, start=1)
    ]


def statement(source: Source, piece: Piece, position: int, kind: Kind) -> Statement:
    """One statement, as its kind reads it."""
    line, column = source.place(piece.start)
    sql = source.slice(piece.start, piece.end)
    row, danger = matrix.row(kind.change), hazard(kind.hazard)
    return Statement(
        position=position,
        line=line,
        column=column,
        end_line=line + sql.count("\n"),
        sql=sql,
        kind=kind.name,
        change=row.change,
        risk=row.risk,
        data_loss=row.data_loss,
        action=row.action,
        locks=kind.locks,
        transactional=kind.transactional,
        says=kind.says,
        tags=kind.tags,
        destroys=kind.destroys,
        hazard=danger.risk,
        hazard_reason=danger.reason,
        notes=kind.notes,
        restart=kind.restart,
        hazard_id=danger.id,
        hazards=kind.hazards,
        relation=kind.relation,
        creates=kind.creates,
    )


def known_names(pieces: Iterable[Piece]) -> Context:
    """What the statements tell each other: where foreign keys point, which table an index is on."""
    context = Context()
    for piece in pieces:
        if piece.which == "create_stmt":
            table = bare(names.relation(piece.node.relation))
            for column, key in foreign_keys(piece.node):
                _remember(context, table, column, key)
        elif piece.which == "alter_table_stmt":
            _remember_altered(context, piece.node)
        elif piece.which == "index_stmt" and piece.node.idxname:
            context.index_tables[names.quoted(piece.node.idxname)] = names.relation(piece.node.relation)
    return context


def _remember_altered(context: Context, node: Any) -> None:
    table = bare(names.relation(node.relation))
    for each in node.cmds:
        definition = getattr(each.alter_table_cmd, "def")
        if each.alter_table_cmd.subtype == pb.AT_AddConstraint:
            if definition.constraint.contype == pb.CONSTR_FOREIGN:
                _remember(context, table, "", definition.constraint)
        elif each.alter_table_cmd.subtype == pb.AT_AddColumn:
            for constraint in definition.column_def.constraints:
                if constraint.constraint.contype == pb.CONSTR_FOREIGN:
                    _remember(context, table, definition.column_def.colname, constraint.constraint)


def _remember(context: Context, table: str, column: str, key: Any) -> None:
    parent = names.relation(key.pktable)
    columns = [column] if column else names.parts(key.fk_attrs)
    own = key.conname or f"{table}_{'_'.join(columns)}_fkey"
    context.foreign_keys.setdefault((table, names.quoted(own)), parent)
    context.references.setdefault(table, {})[parent] = None
    for each in columns:
        context.key_columns.setdefault((table, names.quoted(each)), parent)


def _by_place(problem: Problem) -> tuple[int, int, str]:
    return problem.line, problem.column, problem.message
