"""Propose how a script is split that has statements between BEGIN and COMMIT which refuse a transaction."""

from __future__ import annotations

from collections.abc import Iterable

from approvals.analysis.model import Plan, StepKind
from approvals.analysis.parser import Piece, Source, parse
from approvals.analysis.planning import REFUSES_TRANSACTION, plan_script
from approvals.analysis.transactions import outline


def split_script(sql: str) -> str:
    """The same statements, with those that refuse a transaction before BEGIN, or behind COMMIT where they
    stand behind what the transaction does; '' where there are none, or it would not run that way either."""
    plan = plan_script(sql)
    if not any(problem.code == REFUSES_TRANSACTION for problem in plan.problems):
        return ""
    source = Source(sql)
    pieces = parse(source)
    found = outline(pieces)
    alone = {step.statement.position for step in plan.steps if step.kind is StepKind.AUTOCOMMIT}
    moved = sorted(position for position in alone if found.is_inside(position))
    first = _first_inside(plan, default=found.end)
    text = _put_together(
        source,
        pieces,
        before=[position for position in moved if position < first],
        after=[position for position in moved if position > first],
        block=(found.begin, found.end),
    )
    return "" if plan_script(text).problems else text


def _first_inside(plan: Plan, *, default: int) -> int:
    """The first statement that does something in the transaction."""
    inside = (step.statement for step in plan.steps if step.kind is StepKind.TRANSACTIONAL)
    acting = (each.position for each in inside if each.change not in ("SESSION SETTING", "QUERY"))
    return next(acting, default)


def _put_together(
    source: Source, pieces: list[Piece], *, before: list[int], after: list[int], block: tuple[int, int]
) -> str:
    """The text with these statements (positions from 1) cut out, and put before BEGIN and behind COMMIT."""
    begin = pieces[block[0] - 1].start
    end = _behind(source.data, pieces[block[1] - 1].end)
    parts, at = [source.data[:begin], _lines(source, pieces, before)], begin
    for position in sorted([*before, *after]):
        start, stop = _span(source.data, pieces[position - 1])
        parts.append(source.data[at:start])
        at = stop
    rest = source.data[end:].lstrip(b"\n")
    tail = [b"\n" + _lines(source, pieces, after)] if after else []
    return b"".join([*parts, source.data[at:end].rstrip(), b"\n", *tail, rest]).decode()


def _lines(source: Source, pieces: list[Piece], positions: Iterable[int]) -> bytes:
    statements = (source.data[pieces[n - 1].start : pieces[n - 1].end].rstrip(b"; \n") for n in positions)
    return b"".join(statement + b";\n" for statement in statements)


def _span(data: bytes, piece: Piece) -> tuple[int, int]:
    """A statement with its semicolon; with its whole line where nothing else stands there."""
    start, stop = piece.start, _behind(data, piece.end)
    line = data.rfind(b"\n", 0, start) + 1
    ends = data.find(b"\n", stop)
    ends = len(data) if ends < 0 else ends + 1
    if not data[line:start].strip() and not data[stop:ends].strip():
        return line, ends
    return start, stop


def _behind(data: bytes, end: int) -> int:
    """Behind the semicolon that ends a statement."""
    rest = data[end:]
    gap = len(rest) - len(rest.lstrip())
    return end + gap + 1 if rest[gap : gap + 1] == b";" else end
