"""pg_dump as the judge: a schema's dump without what varies, and the verdict on two of them."""

from __future__ import annotations

import difflib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from executor.pgtools import tool

EXACT, MODULO_ORDER, DIFFERS = "exact", "exact modulo column order", "differs"
DUMP_SECONDS = 300


class DumpFailed(Exception):
    """pg_dump did not end well; the message is its own."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`word` is exact, exact modulo column order, or differs; `difference` is a unified diff of the dumps."""

    word: str
    difference: str = ""


def dump(dsn: str, *, leave_out: tuple[str, ...] = ()) -> str:
    """The schema as `pg_dump -s` writes it, owners and privileges included, comments and \\restrict lines
    removed. `leave_out` are schemas. Raises DumpFailed and ToolMissing."""
    parts = conninfo_to_dict(dsn)
    password = str(parts.pop("password", ""))
    command = [str(tool("pg_dump")), "--schema-only", "-d", make_conninfo("", **parts)]
    command += [f"--exclude-schema={schema}" for schema in leave_out]
    try:
        ran = subprocess.run(
            command,
            env=libpq_environment(password),
            capture_output=True,
            text=True,
            timeout=DUMP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DumpFailed(f"pg_dump took longer than {DUMP_SECONDS} seconds") from None
    if ran.returncode:
        raise DumpFailed(ran.stderr.strip())
    return clean(ran.stdout)


def libpq_environment(password: str) -> dict[str, str]:
    """What one of PostgreSQL's programs needs to know beside the address: nothing else of ours goes there."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "LC_ALL": "C",
        "PGPASSWORD": password,
        "PGCONNECT_TIMEOUT": "10",
    }


def clean(text: str) -> str:
    """The dump without comments, empty lines and the key of \\restrict, which is random."""
    return "\n".join(_kept(text)) + "\n"


def _kept(text: str) -> Iterator[str]:
    """Lines that count. Inside of function bodies a line that looks like a comment is part of the body."""
    tag: str | None = None
    for line in text.split("\n"):
        if tag is None:
            if not line.strip() or line.startswith(("--", "\\restrict", "\\unrestrict")):
                continue
            tag = _opened(line)
        elif _closes(line, tag):
            tag = None
        yield line


def _opened(line: str) -> str | None:
    """The tag of a dollar quote that is still open at the line's end."""
    _, found, rest = line.partition("AS $")
    if not found or "$" not in rest:
        return None
    tag = "$" + rest.partition("$")[0] + "$"
    return None if tag in rest.partition("$")[2] else tag


def _closes(line: str, tag: str) -> bool:
    return tag in line


def verdict(before: str, after: str) -> Verdict:
    """Compare two cleaned dumps."""
    if before == after:
        return Verdict(EXACT)
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "before", "after", lineterm="", n=2)
    text = "\n".join(lines)
    word = MODULO_ORDER if without_order(before) == without_order(after) else DIFFERS
    return Verdict(word, text)


_BY_COLUMN = ("COMMENT ON COLUMN ", "GRANT ", "ALTER TABLE ONLY ", "ALTER FOREIGN TABLE ONLY ")
_TABLES = ("CREATE TABLE ", "CREATE UNLOGGED TABLE ", "CREATE FOREIGN TABLE ")


def without_order(text: str) -> str:
    """The dump with the columns of each table sorted, and what is said column by column as well."""
    made: list[str] = []
    run: list[str] = []
    kind: str | None = None
    for piece in _pieces(text):
        now = next((start for start in ("    ", *_BY_COLUMN) if piece.startswith(start)), None)
        if now == "    " and kind is None and not (made and made[-1].startswith(_TABLES)):
            now = None
        if now != kind:
            made += sorted(run)
            run, kind = [], now
        if now is None:
            made.append(piece)
        else:
            run.append(piece.rstrip(",") if now == "    " else piece)
    return "\n".join(made + sorted(run))


def _pieces(text: str) -> Iterator[str]:
    """Lines, but comments on columns whole, however many lines they have."""
    held: list[str] = []
    for line in text.split("\n"):
        if held or line.startswith("COMMENT ON COLUMN "):
            held.append(line)
            if not line.endswith("';"):
                continue
            line = "\n".join(held)
            held = []
        yield line
    yield from held
