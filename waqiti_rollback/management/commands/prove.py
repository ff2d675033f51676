"""`manage.py prove SERVICE|DIR [--jobs N] [--json FILE]`: does each way back undo its migration, and is it
exact?"""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from approvals import chains, filling
from approvals.errors import Refused
from approvals.models import Migration, Service, Target
from executor.directory import read_chain
from executor.errors import ExecutorError, plain
from executor.examine import examine
from executor.pgtools import ToolMissing
from executor.prover import workspace
from executor.schema.dump import DumpFailed
from executor.schema.replay import File, Replay
from waqiti_rollback.management.scratch import (
    BAD_INPUT,
    OPEN,
    add_server,
    given,
    in_plain_words,
    scratch_server,
)

NO_SCRIPT, FAILED = "no script", "could not be examined"


@dataclass(frozen=True)
class Task:
    """One migration with the files below it and its way back; `refused` says why it can't be tried."""

    version: str
    chain: list[File]
    script: str | None
    script_name: str = ""
    left: dict[str, str] = field(default_factory=dict)
    refused: str = ""


class Command(BaseCommand):
    """Proves the `U` files of a directory, or the newest scripts of a service of the portal.

    Exit code 0: each script that is there holds and leaves nothing undone. 1: some do not, each named. 2:
    nothing could be proven.
    """

    help = "Runs migrations forward, back and forward again on a scratch server, and says what differs."
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What to prove, on how many shadows side by side, and where to write it down."""
        parser.add_argument(
            "subject", metavar="SERVICE|DIR", help="a service's name, or a directory of files"
        )
        parser.add_argument("--jobs", type=int, default=1, help="so many shadows side by side")
        parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was found there")
        add_server(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a line for each migration, what is missing below it, and the sum."""
        if options["jobs"] < 1:
            raise CommandError("--jobs is at least 1.", returncode=BAD_INPUT)
        with in_plain_words():
            tasks = _tasks(options["subject"], given(options["placeholder"]))
            if not tasks:
                raise CommandError(f"{options['subject']} has no versioned migration.", returncode=BAD_INPUT)
            results = []
            with scratch_server(options["server"]) as server:
                for result in _all(server, options["subject"], tasks, options["jobs"]):
                    results.append(result)
                    self.stdout.write("\n".join(_words(result)))
        summary = dict(Counter(result["verdict"] for result in results))
        self.stdout.write(_sum(results, summary))
        if options["json"]:
            document = {"subject": options["subject"], "steps": results, "summary": summary}
            try:
                options["json"].write_text(
                    json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8"
                )
            except OSError as error:
                raise CommandError(
                    f"{options['json']} can't be written: {error.strerror}", returncode=BAD_INPUT
                ) from None
        wrong = [each for each in results if each["script"] and not (each["holds"] and each["complete"])]
        if wrong:
            raise CommandError(f"{len(wrong)} of {len(results)} do not hold.", returncode=OPEN)


def _tasks(subject: str, placeholders: dict[str, str]) -> list[Task]:
    directory = Path(subject)
    if directory.is_dir():
        return _of_directory(directory, placeholders)
    try:
        service = Service.objects.filter(name=subject).first()
    except Exception as error:  # noqa: BLE001 (any trouble with the portal's database, in words)
        raise CommandError(
            f"{subject} is no directory, and the portal's database does not answer: {plain(error)}",
            returncode=BAD_INPUT,
        ) from None
    if service is None:
        raise CommandError(
            f"{subject} is neither a directory nor a service of this portal.", returncode=BAD_INPUT
        )
    return _of_service(service)


def _of_directory(directory: Path, placeholders: dict[str, str]) -> list[Task]:
    chain = read_chain(directory, placeholders)
    files = [step.file for step in chain.steps]
    tasks = [
        Task(
            str(step.version),
            files[:number],
            step.undo.sql if step.undo else None,
            step.undo.name if step.undo else "",
        )
        for number, step in enumerate(chain.steps, start=1)
    ]
    refused = [each for each in chain.problems if each.severity == "error"]
    for each in refused:
        place = f", line {each.line}, column {each.column}" if each.line else ""
        message = each.message.removeprefix(f"{each.path}: ")
        tasks.append(Task(each.path, [], None, refused=f"{each.path}{place}: {message}"))
    return tasks


def _of_service(service: Service) -> list[Task]:
    target: Target | None = filling.target_of(service)
    found = []
    migrations = service.migrations.filter(kind=Migration.Kind.VERSIONED, removed_at=None)
    for migration in migrations.order_by("version_key"):
        script = migration.scripts.order_by("-number").first()
        revision = chains.applied_revision(migration, target)
        try:
            chain = [File(each.name, each.sql) for each in chains.chain_of(revision, target).files]
            text = chains.filled(revision, script, target) if script else None
        except Refused as refused:
            found.append(Task(migration.version, [], None, refused=str(refused)))
            continue
        name = f"r{script.number}" if script else ""
        found.append(Task(migration.version, chain, text, name, script.left if script else {}))
    return found


def _all(server: str, subject: str, tasks: Sequence[Task], jobs: int) -> Iterator[dict[str, Any]]:
    if jobs == 1:
        yield from _part(server, subject, tasks)
        return
    size = -(-len(tasks) // jobs)
    parts = [tasks[start : start + size] for start in range(0, len(tasks), size)]
    connections.close_all()  # a connection of ours is of no use in another process
    with ProcessPoolExecutor(jobs, mp_context=get_context("fork")) as pool:
        subjects = [f"{subject}/{number}" for number in range(len(parts))]
        for results in pool.map(_part_list, [server] * len(parts), subjects, parts):
            yield from results


def _part_list(server: str, subject: str, tasks: Sequence[Task]) -> list[dict[str, Any]]:
    return list(_part(server, subject, tasks))


def _part(server: str, subject: str, tasks: Sequence[Task]) -> Iterator[dict[str, Any]]:
    """Neighbours share a shadow, so that it is replayed once."""
    for task in tasks:
        started = time.monotonic()
        result = _one(server, f"prove/{subject}", task)
        yield result | {"milliseconds": round((time.monotonic() - started) * 1000)}


def _one(server: str, subject: str, task: Task) -> dict[str, Any]:
    result: dict[str, Any] = {
        "version": task.version,
        "name": task.chain[-1].name if task.chain else "",
        "script": task.script_name,
        "verdict": NO_SCRIPT,
        "way": "",
        "holds": False,
        "complete": False,
        "not_undone": [],
        "strangers": [],
        "reason": task.refused,
        "completeness": None,
        "proof": None,
    }
    if task.refused or task.script is None:
        return result | ({"verdict": FAILED} if task.refused else {})
    try:
        with workspace(server, subject) as bounds:
            found = examine(Replay(server, subject), task.chain, task.script, left=task.left)
            if bounds.exceeded:
                return result | {"verdict": FAILED, "reason": bounds.exceeded}
    except (psycopg.Error, DumpFailed, ToolMissing, ExecutorError) as error:
        return result | {"verdict": FAILED, "reason": plain(error)}
    return result | {
        "verdict": found.proof.verdict,
        "way": found.proof.way,
        "holds": found.proof.holds,
        "complete": found.completeness.complete,
        "not_undone": [each.text for each in found.completeness.not_undone],
        "strangers": [
            f"step {each.position}, line {each.line}: {each.role}{f' ({each.note})' if each.note else ''}"
            for each in found.completeness.strangers
        ],
        "reason": " ".join(filter(None, [found.proof.reason, found.proof.with_rows])),
        "completeness": found.completeness.json(),
        "proof": found.proof.json(),
    }


def _words(result: dict[str, Any]) -> list[str]:
    lines = [f"{result['name'] or result['version']}: {result['verdict']}"]
    if result["reason"] and result["reason"] != lines[0]:
        lines.append(f"    {result['reason']}")
    lines += [f"    not undone: {each}" for each in result["not_undone"]]
    lines += [f"    {each}" for each in result["strangers"]]
    difference = (result["proof"] or {}).get("difference", "")
    if difference and not result["holds"]:
        lines += [f"    | {line}" for line in difference.splitlines()[:40]]
    return lines


def _sum(results: list[dict[str, Any]], summary: dict[str, int]) -> str:
    counts = ", ".join(f"{word} {count}" for word, count in sorted(summary.items()))
    complete = sum(1 for each in results if each["complete"])
    return f"{len(results)} migrations: {counts}; {complete} undo everything"
