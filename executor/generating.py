"""Generate a way back for the portal: on the scratch server, with what goes counted on the target."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import psycopg

from approvals import chains, filling, generations
from approvals.models import Check, Generation, Job, Migration
from executor import credentials, prover
from executor.connect import Endpoint, connect
from executor.drafts import checks_for, script_of
from executor.errors import ExecutorError, plain
from executor.proving import files_of, reader_of, subject_of
from executor.schema.archive import Room, refused
from executor.schema.forward_fix import forward_fix
from executor.schema.generate import Generated, generate
from executor.schema.inverse import Options
from executor.schema.loss import Loss, measure
from executor.schema.replay import File, Replay

LIVE_SECONDS = 60


def job(job: Job) -> str:
    """Generate what the job's generation asks for. Returns the sentence that was recorded."""
    asked = generations.take(job)
    started = time.monotonic()
    answer, checks = _generated(asked)
    answer["milliseconds"] = round((time.monotonic() - started) * 1000)
    return generations.record(asked, answer=answer, checks=checks)


def _generated(asked: Generation) -> tuple[dict[str, Any], list[Check]]:
    def say(line: str) -> None:
        generations.enter(asked, line)

    target = asked.target or filling.target_of(asked.migration.service)
    chain = files_of(chains.chain_of(asked.revision, target).files)
    server = prover.conninfo(credentials.prover())
    subject = subject_of(asked.migration.service.name, target)
    options = options_of(asked.options, label=asked.pk.hex[:8])
    reader = reader_of(target)
    say("Waiting for the scratch server")
    with prover.workspace(server, subject) as bounds:
        replay = prover.shadow_of(server, subject)
        say(f"Running {len(chain)} files, and deriving the way back of {chain[-1].name}")
        try:
            found, losses, why = _derive(
                replay,
                chain,
                options,
                reader,
                counted=asked.target is not None,
                ran_at=generations.ran_at(asked),
            )
        except psycopg.Error as error:
            raise ExecutorError(bounds.exceeded or f"The scratch server refused: {plain(error)}") from error
        if bounds.exceeded:
            raise ExecutorError(bounds.exceeded)
    answer = found.json() | {"script": script_of(found)}
    earlier = generations.counted_before(asked)
    answer["losses"] = [
        said | {"text": str(each), "earlier": earlier.get(generations.what_of(said))}
        for each, said in ((each, each.json()) for each in losses)
    ]
    answer["counted_at"] = datetime.now(UTC).isoformat() if losses else None
    answer["counted_on"] = asked.target.name if asked.target and not why else ""
    answer["not_counted"] = why
    answer["forward_fix"] = _fix(asked.migration, found, losses)
    return answer, checks_for(found.script)


def _derive(
    replay: Replay,
    chain: list[File],
    options: Options,
    reader: Endpoint | None,
    *,
    counted: bool,
    ran_at: datetime | None = None,
) -> tuple[Generated, tuple[Loss, ...], str]:
    """The way back, what goes with it as counted, and why it was not counted. What is too large to be kept by
    copying is not kept."""
    live = ""
    if reader is not None:
        live = prover.conninfo(reader, statement_seconds=LIVE_SECONDS, read_only=True)
    found = generate(replay, chain, options, live=live)
    if not counted:
        return found, (), ""
    if reader is None:
        return found, (), "The worker has no “backup” login for this target."
    try:
        losses = _measured(reader, found, ran_at)
        if options.keep_data:
            plain_way = generate(replay, chain, replace(options, keep_data=False), live=live)
            too_large = refused(_measured(reader, plain_way, ran_at), Room())
            if too_large:
                found = generate(replay, chain, replace(options, not_kept=too_large), live=live)
                losses = _measured(reader, found, ran_at)
    except (psycopg.Error, ExecutorError) as error:
        return found, (), plain(error, reader.password)
    return found, losses, ""


def _measured(reader: Endpoint, found: Generated, ran_at: datetime | None) -> tuple[Loss, ...]:
    with closing(connect(reader)) as connection:
        return measure(connection, found.goes, applied_at=ran_at, came=found.came)


def options_of(given: dict[str, Any], *, label: str = "") -> Options:
    """The stored choices as the generator takes them; `label` ends the names of data that is kept."""
    return Options(
        column_order=given["column_order"],
        enum_value=given["enum_value"],
        index=given["index"],
        fill={tuple(each["column"]): each["value"] for each in given["fill"]},
        fill_default=given["fill_default"],
        keep_data=given["keep_data"],
        archive_label=label,
        purge_after=date.fromisoformat(given["purge_after"]) if given["purge_after"] else None,
    )


def _fix(migration: Migration, found: Generated, losses: tuple[Loss, ...]) -> dict[str, Any] | None:
    """The draft of a corrective migration; None where the way back was only read."""
    if found.inverse is None:
        return None
    newest = Migration.objects.filter(
        service=migration.service_id, kind=Migration.Kind.VERSIONED, removed_at=None
    ).order_by("-version_key")[0]
    return forward_fix(
        found.inverse,
        undoes=f"V{migration.version}",
        description=migration.description,
        latest=newest.version,
        losses=losses,
    ).json()
