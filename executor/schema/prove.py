"""Derive a way back on a shadow and judge it there: for tests and benchmarks of the generator itself."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from executor.schema.archive import ARCHIVE
from executor.schema.dump import EXACT, Verdict, dump, verdict
from executor.schema.inverse import Inverse, Options, undo
from executor.schema.objects import Snapshot
from executor.schema.shadow import Shadow
from executor.schema.snapshot import snapshot

ERROR = "error"


@dataclass(frozen=True, slots=True)
class Proof:
    """`verdict` is exact, exact modulo column order, differs or error. `difference` is readable;
    `sqlstate` and
    `message` say what the server refused. `forward_again`: whether the migration applied once more behind
    it."""

    verdict: str
    difference: str = ""
    sqlstate: str | None = None
    message: str | None = None
    forward_again: bool | None = None


def derive(forward: str, shadow: Shadow, options: Options | None = None) -> Inverse:
    """Apply a migration to a shadow that stands right before it, and derive its way back. The shadow stands
    behind the migration then. Raises psycopg.Error where the migration does not apply."""
    before = snapshot(shadow.connection)
    shadow.apply(forward)
    return undo(shadow.connection, before, None, options, forward=forward)


def judge(before: str, back: str, forward: str, shadow: Shadow) -> Proof:
    """Run a way back and the migration again: `before` is the dump that must come back, and the shadow
    stands behind the migration. (`executor.proof` does the same for a chain, as evidence.)"""
    try:
        shadow.apply(back)
    except psycopg.Error as error:
        return Proof(ERROR, sqlstate=error.sqlstate, message=error.diag.message_primary or str(error))
    found: Verdict = verdict(before, dump(shadow.dsn, leave_out=(ARCHIVE,)))
    return Proof(found.word, found.difference, forward_again=_again(forward, shadow))


def _again(forward: str, shadow: Shadow) -> bool:
    try:
        shadow.apply(forward)
    except psycopg.Error:
        return False
    return True


__all__ = ["ERROR", "EXACT", "Inverse", "Options", "Proof", "Snapshot", "derive", "judge"]
