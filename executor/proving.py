"""Prove a script for the portal: on the scratch server, against the files of its service."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psycopg

from approvals import chains, proofs
from approvals.errors import Refused
from approvals.models import Job, Proof, Target
from executor import credentials, prover
from executor.completeness import completeness
from executor.connect import Endpoint
from executor.errors import ExecutorError
from executor.examine import Examined, examine
from executor.marker import SCHEMA
from executor.pgtools import ToolMissing
from executor.proof import NOT_PROVABLE, UP_DOWN_UP, Clone
from executor.proof import Proof as Evidence
from executor.restore import run_tool
from executor.schema import tenant
from executor.schema.dump import DumpFailed
from executor.schema.replay import File, sha256
from executor.schema.shadow import Shadow

log = logging.getLogger(__name__)

LOCK_WAIT_MS = 5_000
LONGEST_DIFFERENCE = 200_000


def job(job: Job) -> str:
    """Examine the script of the job's proof. Returns the sentence that was recorded."""
    asked = proofs.take(job)
    try:
        chain, text, why = _texts(asked)
        found = _unread(asked, why) if why else _examined(asked, chain, text)
    except (DumpFailed, ToolMissing) as error:
        raise ExecutorError(f"Nothing could be proven: {error}") from error
    proved = found.proof.json()
    if len(proved["difference"]) > LONGEST_DIFFERENCE:
        proved["difference"] = f"{proved['difference'][:LONGEST_DIFFERENCE]}\n…"
    return proofs.record(asked, completeness=found.completeness.json(), proved=proved, chain=chain)


def _texts(asked: Proof) -> tuple[chains.Chain, str, str]:
    """The files and the script as they are filled in; without texts, and why, where that is not possible."""
    used = asked.script.placeholders
    try:
        chain = chains.chain_of(asked.revision, asked.target, used=used)
        return chain, chains.filled(asked.revision, asked.script, asked.target), ""
    except Refused as refused:
        return chains.unfilled(asked.revision, asked.target, used=used), "", str(refused)


def _unread(asked: Proof, why: str) -> Examined:
    script, left = asked.script, asked.script.left
    found = completeness(asked.revision.sql, script.sql, because=why, left=left)
    digests = sha256(script.sql), sha256(asked.revision.sql)
    return Examined(found, Evidence(NOT_PROVABLE, UP_DOWN_UP, *digests, reason=why))


def _examined(asked: Proof, read: chains.Chain, text: str) -> Examined:
    left, chain = asked.script.left, files_of(read.files)
    server = prover.conninfo(credentials.prover())
    subject = subject_of(asked.script.migration.service.name, asked.target)

    def say(line: str) -> None:
        proofs.enter(asked, line[:1].upper() + line[1:])

    say("wait for the scratch server")
    with prover.workspace(server, subject) as bounds:
        replay = prover.shadow_of(server, subject)
        try:
            found_all = examine(replay, chain, text, live=live_of(asked.target), left=left, say=say)
        except (psycopg.Error, DumpFailed) as error:
            if not bounds.exceeded:
                raise
            found_all = _given_up(chain, text, left, bounds.exceeded)
            log.warning("a proof was given up: %s", error)
        if bounds.exceeded:
            found_all = _given_up(chain, text, left, bounds.exceeded)
            with contextlib.suppress(psycopg.Error):
                replay.forget()
    return found_all


def _given_up(chain: list[File], text: str, left: dict[str, str], why: str) -> Examined:
    found = completeness(chain[-1].sql, text, because=why, left=left)
    because = Evidence(NOT_PROVABLE, UP_DOWN_UP, sha256(text), chain[-1].digest, reason=why)
    return Examined(found, because)


def files_of(chain: Sequence[chains.ChainFile]) -> list[File]:
    """A chain as the shadow takes it."""
    return [File(each.name, each.sql) for each in chain]


def subject_of(service: str, target: Target | None) -> str:
    """Whose shadow it is: each target fills placeholders in its own way."""
    return f"{service}/{target.name if target else ''}"


def live_of(target: Target | None) -> str | Clone:
    """What clones the target's live schema; '' where the worker has no login that reads it."""
    endpoint = reader_of(target)
    return (lambda shadow: clone_structure(endpoint, shadow)) if endpoint is not None else ""


def reader_of(target: Target | None) -> Endpoint | None:
    """The login that reads the target; None where the worker has none."""
    if target is None:
        return None
    try:
        return credentials.endpoint(target, "backup")
    except credentials.CredentialsMissing:
        return None


def clone_structure(source: Endpoint, shadow: Shadow) -> None:
    """Give a shadow the target's schema, without rows, owners and privileges. Raises DumpFailed."""
    try:
        with tempfile.TemporaryDirectory(prefix="structure-") as directory:
            dump = Path(directory) / "structure.dump"
            arguments = [
                "--format=custom",
                "--schema-only",
                "--no-owner",
                "--no-privileges",
                "--no-publications",
                "--no-subscriptions",
                f"--lock-wait-timeout={LOCK_WAIT_MS}",
                f"--exclude-schema={SCHEMA}",
                f"--file={dump}",
            ]
            run_tool("pg_dump", source, arguments, while_running=_nothing)
            into = credentials.prover().on(shadow.name)
            if shadow.role:
                into = replace(
                    into, user=shadow.role, password=tenant.password_of(shadow.server, shadow.role)
                )
            restoring = ["--exit-on-error", "--no-owner", "--no-privileges", str(dump)]
            run_tool("pg_restore", into, restoring, while_running=_nothing)
    except ExecutorError as error:
        raise DumpFailed(str(error)) from None


def _nothing() -> None:
    """pg_dump ends by itself: it waits for locks only so long, and reads no rows."""
