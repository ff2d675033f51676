"""Files in, report out: what `manage.py analyze` reads and prints."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from approvals.analysis.model import Analysis, Problem, Statement
from approvals.analysis.reading import analyze


def sql_files(paths: Iterable[str]) -> Iterator[Path]:
    """The files among the paths as they are, and every `*.sql` file below the folders, in name order."""
    for each in paths:
        path = Path(each)
        if path.is_dir():
            yield from sorted(found for found in path.rglob("*") if found.suffix.lower() == ".sql")
        else:
            yield path


def analyze_file(path: Path) -> Analysis:
    """Read and analyse one file. A file that cannot be read or decoded yields that as its error."""
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        return Analysis(str(path), errors=(Problem(1, 1, f"{reason}.", "unreadable"),))
    try:
        return analyze(data.decode(), name=str(path))
    except UnicodeDecodeError as error:
        return Analysis(str(path), errors=(not_utf8(data, error.start),))


def not_utf8(data: bytes, offset: int) -> Problem:
    """Where a file stops being UTF-8, and what it may be instead."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return Problem(1, 1, "The file is UTF-16; Flyway and this portal read UTF-8.", "encoding")
    before = data[:offset].decode()
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    message = f"Byte 0x{data[offset]:02X} is not UTF-8; the file may be Latin-1."
    return Problem(line, column, message, "encoding")


def document(analyses: Iterable[Analysis]) -> dict[str, Any]:
    """The JSON document of `analyze --json`."""
    return {"files": [_file(analysis) for analysis in analyses]}


def _file(analysis: Analysis) -> dict[str, Any]:
    return {
        "path": analysis.name,
        "risk": analysis.risk.name if analysis.risk else None,
        "errors": [
            {"line": each.line, "column": each.column, "message": each.message} for each in analysis.errors
        ],
        "statements": [_statement(each) for each in analysis.statements],
    }


def _statement(statement: Statement) -> dict[str, Any]:
    return {
        "line": statement.line,
        "column": statement.column,
        "kind": statement.kind,
        "change": statement.change,
        "risk": statement.risk.name,
        "data_loss": statement.data_loss,
        "action": statement.action,
        "locks": [{"relation": lock.relation, "mode": lock.mode.value} for lock in statement.locks],
        "transactional": statement.transactional,
        "says": statement.says,
    }


def text(analysis: Analysis) -> str:
    """One file's report for people: a line per statement, with its strongest locks below."""
    risk = analysis.risk.name if analysis.risk else "nothing to rate"
    lines = [f"{analysis.name}: {risk}"]
    lines += [f"  {each.line}:{each.column}  ERROR     {each.message}" for each in analysis.errors]
    if analysis.dialect:
        lines.append(f"  It looks like {analysis.dialect.replace('mysql', 'MySQL')}.")
    lines += [f"  {note}" for note in analysis.notes]
    for each in analysis.statements:
        place = f"{each.line}:{each.column}"
        outside = "" if each.transactional else " [not in a transaction]"
        lines.append(f"  {place:>8}  {each.risk.name:<8}  {each.kind}: {each.says}{outside}")
        for lock in each.locks:
            note = f" ({lock.note})" if lock.note else ""
            lines.append(f"{'':22}{lock.mode} on {lock.relation}{note}")
    return "\n".join(lines)
