"""The foreign keys of a dump, read from its own statements: while its rows are masked there are none yet."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from approvals.analysis.parser import Source, SqlError, parse, pb
from executor.errors import BackupFailed, CloneFailed
from executor.pgtools import ToolMissing, tool

Name = tuple[str, str, str]
"""Schema, table and column."""

_META = re.compile(r"^\\(un)?restrict .*$", re.MULTILINE)


def foreign_keys(dump: Path) -> Iterator[tuple[Name, Name]]:
    """The pairs of columns that the dump's foreign keys hold together, read from its own statements. Raises
    CloneFailed, BackupFailed."""
    try:
        pieces = parse(Source(_META.sub("", _post_data(dump))))
    except SqlError as error:
        raise CloneFailed(f"The keys in the backup can't be read, so it can't be masked: {error}") from None
    for piece in pieces:
        if piece.which == "alter_table_stmt":
            yield from _pairs(piece.node)


def _pairs(statement: Any) -> Iterator[tuple[Name, Name]]:
    here = statement.relation
    for command in statement.cmds:
        constraint = getattr(command.alter_table_cmd, "def").constraint
        if constraint.contype != pb.CONSTR_FOREIGN:
            continue
        there = constraint.pktable
        for mine, other in zip(constraint.fk_attrs, constraint.pk_attrs, strict=True):
            yield (
                (here.schemaname, here.relname, mine.string.sval),
                (there.schemaname, there.relname, other.string.sval),
            )


def _post_data(dump: Path) -> str:
    """What comes behind the rows in a dump, as statements."""
    with tempfile.NamedTemporaryFile(dir=dump.parent, prefix=".keys-", suffix=".sql") as file:
        arguments = ["--section=post-data", "--no-owner", "--no-privileges", f"--file={file.name}", str(dump)]
        try:
            subprocess.run(
                [tool("pg_restore"), *arguments],
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
                capture_output=True,
                check=True,
            )
        except ToolMissing as error:
            raise BackupFailed(str(error)) from None
        except subprocess.CalledProcessError as error:
            words = " ".join(error.stderr.decode("utf-8", "replace").split()[-40:])
            raise BackupFailed(f"The keys in the dump can't be read: {words}") from None
        return Path(file.name).read_text(encoding="utf-8", errors="replace")
