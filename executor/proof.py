"""Prove a way back on a scratch server: forward, back, and pg_dump finds the schema of before, byte for byte;
then forward again. Where the chain does not replay: back and forward on a clone of the live schema, which is
the weaker proof. Who asks gets the evidence as data."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from executor.declared import is_as_declared
from executor.pgtools import tool
from executor.schema.again import Stays, not_again
from executor.schema.archive import ARCHIVE
from executor.schema.complete.result import Script
from executor.schema.dump import DumpFailed, dump, libpq_environment, verdict
from executor.schema.reading import without_server
from executor.schema.replay import DoesNotReplay, File, Replay, place, sha256
from executor.schema.shadow import Shadow
from executor.schema.snapshot import snapshot

EXACT, MODULO_ORDER, DIFFERS = "exact", "exact modulo column order", "differs"
AS_DECLARED = "exact as declared"
ERROR, NOT_PROVABLE = "error", "not provable"
UP_DOWN_UP, DOWN_UP = "up-down-up", "down-up"
CLONE_SECONDS = 300
Say = Callable[[str], None]
Clone = Callable[[Shadow], None]
"""Gives an empty shadow the schema of a live database that has the migration applied."""


@dataclass(frozen=True, slots=True)
class Proof:
    """The evidence. `verdict` is one of the words above; *exact as declared* is a difference that consists of
    declared effects and nothing else (`executor.declared`). `reason` is a sentence (what failed, or why
    nothing could be proven); `step`, `line` (of the script) and `sqlstate` say where the script failed;
    `difference` is a unified diff of the dumps. `with_rows` says why the migration does not apply again where
    tables have rows ('' where it does, or nobody tried). `script_sha256` and `forward_sha256` bind it to the
    texts; `made_roles` are roles that the files name; `beyond` are statements that reach beyond the database
    and were left out; `stand_ins` are extensions that had their signatures only."""

    verdict: str
    way: str
    script_sha256: str
    forward_sha256: str
    reason: str = ""
    difference: str = ""
    step: int | None = None
    line: int | None = None
    sqlstate: str | None = None
    forward_again: bool | None = None
    with_rows: str = ""
    server_version: str = ""
    replayed: int = 0
    made_roles: tuple[str, ...] = ()
    stand_ins: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether a gate may rest on it: exact, at most but for the order of columns, and forward again; or
        as declared (what is left may well be in the way of going forward again, and `reason` says so)."""
        return self.verdict == AS_DECLARED or (
            self.verdict in (EXACT, MODULO_ORDER) and self.forward_again is True
        )

    def json(self) -> dict[str, Any]:
        """Plain values; without floats, so that they can be hashed."""
        return {
            "verdict": self.verdict,
            "way": self.way,
            "holds": self.holds,
            "script_sha256": self.script_sha256,
            "forward_sha256": self.forward_sha256,
            "reason": self.reason,
            "difference": self.difference,
            "step": self.step,
            "line": self.line,
            "sqlstate": self.sqlstate,
            "forward_again": self.forward_again,
            "with_rows": self.with_rows,
            "server_version": self.server_version,
            "replayed": self.replayed,
            "made_roles": list(self.made_roles),
            "stand_ins": list(self.stand_ins),
            "beyond": list(self.beyond),
            "milliseconds": round(self.seconds * 1000),
        }


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that the server refused."""

    step: int
    line: int
    sqlstate: str
    message: str


def prove(
    replay: Replay,
    chain: Sequence[File],
    script: str,
    *,
    live: str | Clone = "",
    left: Mapping[str, str] | None = None,
    stays: Sequence[Stays] = (),
    say: Say = lambda line: None,
) -> Proof:
    """Prove the way back of the last file of `chain`. `live` is a libpq string of a database that has that
    file applied, cloned (schema only) where the chain does not replay, or what clones it; '' for none. `left`
    are effects that are declared as left on purpose, `stays` what is known of rows that the script does not
    bring back: where the migration does not apply again for that, `reason` says so. `say` hears about
    progress. Raises DumpFailed, ToolMissing, and psycopg.Error where the scratch server itself fails."""
    started = time.monotonic()
    forward = chain[-1]
    empty = Proof(NOT_PROVABLE, UP_DOWN_UP, sha256(script), forward.digest)
    planned = Script.of(script)
    if planned.problems:
        return replace(empty, verdict=ERROR, reason=f"The script is refused: {planned.problems[0]}")
    try:
        say(f"replay to {chain[-2].name if len(chain) > 1 else 'an empty database'}")
        shadow = replay.behind(chain[:-1])
    except DoesNotReplay as broken:
        if not live:
            return replace(empty, reason=f"The chain does not replay: {broken}", sqlstate=broken.sqlstate)
        say("clone the live schema")
        clone = live if callable(live) else partial(clone_schema, live)
        found = _down_up(replay, clone, forward, planned, replace(empty, way=DOWN_UP), stays, say)
        found = replace(found, reason=f"{found.reason} The chain does not replay: {broken}".strip())
        return replace(found, seconds=time.monotonic() - started)
    try:
        found = _up_down_up(
            shadow, forward, planned, replace(empty, replayed=replay.replayed), left or {}, stays, say
        )
    finally:
        shadow.close()
    stands = [file.digest for file in chain]
    if found.verdict == EXACT and found.forward_again:
        _note(replay, stands)
    else:
        replay.forget()
    return replace(found, seconds=time.monotonic() - started)


def _note(replay: Replay, stands: list[str]) -> None:
    shadow = replay.kept()
    if shadow is not None:
        replay.note(shadow, stands)
        shadow.close()


def _up_down_up(
    shadow: Shadow,
    forward: File,
    script: Script,
    proof: Proof,
    left: Mapping[str, str],
    stays: Sequence[Stays],
    say: Say,
) -> Proof:
    text, beyond = without_server(forward.sql)
    before = dump(shadow.dsn, leave_out=(ARCHIVE,))
    first = snapshot(shadow.connection) if left else None
    say(f"apply {forward.name}")
    try:
        shadow.apply(text)
    except psycopg.Error as error:
        return replace(proof, reason=str(DoesNotReplay(forward, error, shadow)), sqlstate=error.sqlstate)
    second = snapshot(shadow.connection) if left else None
    proof = _circumstances(shadow, proof, (*beyond, *_beyond(script)))
    say("run the way back")
    failure = run_script(shadow, script)
    if failure is not None:
        return _failed(proof, failure)
    found = verdict(before, dump(shadow.dsn, leave_out=(ARCHIVE,)))
    if found.word == DIFFERS and first is not None and second is not None:
        say("hold the difference against what is declared")
        if is_as_declared(shadow, before, first, second, left):
            found = replace(found, word=AS_DECLARED)
    say(f"apply {forward.name} again")
    again, why = _again(shadow, forward, stays)
    return replace(proof, verdict=found.word, difference=found.difference, forward_again=again, reason=why)


def _down_up(
    replay: Replay,
    clone: Clone,
    forward: File,
    script: Script,
    proof: Proof,
    stays: Sequence[Stays],
    say: Say,
) -> Proof:
    """Back and forward on a clone of the live schema: that the way back leads to the schema of before is not
    shown, only that the migration leads from there to where it was."""
    shadow = Shadow(replay.server, role=replay.role)
    try:
        clone(shadow)
        proof = _circumstances(shadow, proof, (*without_server(forward.sql)[1], *_beyond(script)))
        before = dump(shadow.dsn, leave_out=(ARCHIVE,))
        say("run the way back")
        failure = run_script(shadow, script)
        if failure is not None:
            return _failed(proof, failure)
        say(f"apply {forward.name} again")
        again, why = _again(shadow, forward, stays)
        if not again:
            return replace(proof, verdict=DIFFERS, forward_again=False, reason=why)
        found = verdict(before, dump(shadow.dsn, leave_out=(ARCHIVE,)))
        return replace(proof, verdict=found.word, difference=found.difference, forward_again=True)
    finally:
        shadow.drop()


def _circumstances(shadow: Shadow, proof: Proof, beyond: tuple[str, ...]) -> Proof:
    version = shadow.connection.info.parameter_status("server_version") or ""
    return replace(
        proof,
        server_version=version,
        stand_ins=shadow.stand_ins,
        made_roles=shadow.roles,
        beyond=beyond,
    )


def _beyond(script: Script) -> tuple[str, ...]:
    return tuple(step.sql for step in script.steps if without_server(step.sql)[1])


def _failed(proof: Proof, failure: Failure) -> Proof:
    reason = f"Step {failure.step} (line {failure.line}) fails: {failure.sqlstate} {failure.message}"
    return replace(
        proof, verdict=ERROR, reason=reason, step=failure.step, line=failure.line, sqlstate=failure.sqlstate
    )


def _again(shadow: Shadow, forward: File, stays: Sequence[Stays]) -> tuple[bool, str]:
    try:
        shadow.apply(without_server(forward.sql)[0])
    except psycopg.Error as error:
        told = not_again(shadow, forward.sql, error).told(stays)
        return False, f"It does not apply again: {forward.name}, {told}"
    return True, ""


def run_script(shadow: Shadow, script: Script) -> Failure | None:
    """Run a script as its plan says: one statement per message, in one transaction but for those that refuse
    one. Statements that reach beyond the database are left out. None when all of it ran."""
    inside = False
    try:
        for step in script.steps:
            text, beyond = without_server(step.sql)
            if beyond or not text.strip():
                continue
            if step.transactional != inside:
                shadow.connection.execute("BEGIN" if step.transactional else "COMMIT")
                inside = step.transactional
            failure = _run_step(shadow, step.sql, inside=inside)
            if failure is not None:
                line, _ = place(step.sql, failure)
                message = failure.diag.message_primary or str(failure)
                return Failure(step.position, step.line + line - 1, failure.sqlstate or "", message)
        if inside:
            shadow.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            shadow.connection.execute("COMMIT")
        return None
    except psycopg.Error as error:
        last = script.steps[-1]
        message = error.diag.message_primary or str(error)
        return Failure(last.position, last.line, error.sqlstate or "", message)
    finally:
        shadow.settle()


def _run_step(shadow: Shadow, sql: str, *, inside: bool) -> psycopg.Error | None:
    for _ in range(10):
        try:
            if inside:
                shadow.connection.execute("SAVEPOINT step")
            shadow.connection.execute(sql.encode())
            if inside:
                shadow.connection.execute("RELEASE SAVEPOINT step")
            return None
        except psycopg.Error as error:
            if inside:
                shadow.connection.execute("ROLLBACK TO SAVEPOINT step")
            if not shadow.make_missing_role(error):
                return error
    return None


def clone_schema(live: str, shadow: Shadow) -> None:
    """Give a shadow the schema of a live database, without owners and privileges that the scratch server may
    not know. Raises DumpFailed with pg_dump's or psql's own words."""
    source, target = conninfo_to_dict(live), conninfo_to_dict(shadow.dsn)
    passwords = [str(parts.pop("password", "")) for parts in (source, target)]
    dumped = subprocess.run(
        [
            tool("pg_dump"),
            "--schema-only",
            "--no-owner",
            "--no-privileges",
            "-d",
            make_conninfo("", **source),
        ],
        env=libpq_environment(passwords[0]),
        capture_output=True,
        timeout=CLONE_SECONDS,
        check=False,
    )
    if dumped.returncode:
        raise DumpFailed(dumped.stderr.decode(errors="replace").strip())
    restored = subprocess.run(
        [tool("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", make_conninfo("", **target)],
        env=libpq_environment(passwords[1]),
        input=dumped.stdout,
        capture_output=True,
        timeout=CLONE_SECONDS,
        check=False,
    )
    if restored.returncode:
        raise DumpFailed(restored.stderr.decode(errors="replace").strip())
