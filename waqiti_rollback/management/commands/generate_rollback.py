"""`manage.py generate_rollback FILE --chain DIR [--json]`: write the way back of a Flyway migration."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from approvals.generations import CHOICES
from executor.directory import BadInput, Chain, Step, read_chain, read_file
from executor.drafts import checks_for, script_of
from executor.generating import options_of
from executor.prover import workspace
from executor.schema.forward_fix import forward_fix
from executor.schema.generate import READ, Generated, generate
from executor.schema.replay import Replay
from waqiti_rollback.management.scratch import (
    BAD_INPUT,
    OPEN,
    add_server,
    given,
    in_plain_words,
    scratch_server,
)


class Command(BaseCommand):
    """Runs the files up to FILE on a scratch server and derives what takes FILE back; no portal is needed.

    Exit code 0: a script without gaps. 1: a script with gaps, each named. 2: nothing could be generated.
    """

    help = "Writes the way back of a migration: by running it on a scratch server, else by reading it."
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The file, its chain, the choices where more than one way leads back."""
        parser.add_argument(
            "file", type=Path, help="a versioned migration, such as V2025.11.22.001__keys.sql"
        )
        parser.add_argument(
            "--chain", type=Path, required=True, metavar="DIR", help="the directory of the files before it"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON document")
        parser.add_argument("--output", type=Path, metavar="FILE", help="write the script there")
        for name, ways in CHOICES.items():
            parser.add_argument(f"--{name.replace('_', '-')}", choices=ways, default=ways[0])
        parser.add_argument("--keep-data", action="store_true", help="keep tables and columns in place")
        parser.add_argument(
            "--fill",
            action="append",
            default=[],
            type=_fill,
            metavar="SCHEMA.TABLE.COLUMN=SQL",
            help="what rows get in a column that comes back NOT NULL; may be given several times",
        )
        parser.add_argument(
            "--live", default="", metavar="URL", help="a database that has the migration applied, to read"
        )
        add_server(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the script, and on stderr what people must know of it."""
        with in_plain_words():
            step, chain = _read(options["file"], options["chain"], given(options["placeholder"]))
            files = [*chain.below(step.version), step.file]
            chosen = {name: options[name] for name in (*CHOICES, "keep_data", "fill")}
            subject = str(options["chain"].resolve())
            with scratch_server(options["server"]) as server, workspace(server, subject):
                found = generate(
                    Replay(server, subject),
                    files,
                    options_of(chosen | {"purge_after": ""}),
                    live=options["live"],
                )
        document = _document(step, chain, found)
        if options["output"]:
            try:
                options["output"].write_text(document["script"], encoding="utf-8")
            except OSError as error:
                raise CommandError(
                    f"{options['output']} can't be written: {error.strerror}", returncode=BAD_INPUT
                ) from None
        if options["json"]:
            self.stdout.write(json.dumps(document, ensure_ascii=False, indent=1))
        else:
            if not options["output"]:
                self.stdout.write(document["script"], ending="")
            self.stderr.write("\n".join(_words(step, found, document)))
        if found.gaps:
            raise CommandError(f"{len(found.gaps)} left to do by hand.", returncode=OPEN)


def _fill(text: str) -> dict[str, Any]:
    name, found, value = text.partition("=")
    column = name.split(".")
    if not found or len(column) != 3 or not value.strip():
        raise ArgumentTypeError(f"{text} is not SCHEMA.TABLE.COLUMN=SQL")
    return {"column": column, "value": value}


def _read(path: Path, directory: Path, placeholders: dict[str, str]) -> tuple[Step, Chain]:
    """The file and the directory's chain. A file of the directory is read by the directory's rules."""
    chain = read_chain(directory, placeholders)
    for step in chain.steps:
        if path.name == step.file.name and path.resolve().is_relative_to(directory.resolve()):
            return step, chain
    step = read_file(path, directory, placeholders)
    refused = [
        each for each in chain.problems if each.severity == "error" and Path(each.path).name == path.name
    ]
    if refused and path.resolve().is_relative_to(directory.resolve()):
        first = refused[0]
        place = f", line {first.line}, column {first.column}" if first.line else ""
        raise BadInput(f"{first.path}{place}: {first.message}")
    return step, chain


def _document(step: Step, chain: Chain, found: Generated) -> dict[str, Any]:
    fix = None
    if found.inverse is not None:
        latest = max([*chain.steps, step], key=lambda each: each.version).version
        fix = forward_fix(
            found.inverse, undoes=f"V{step.version}", description=step.description, latest=str(latest)
        ).json()
    return {
        "file": step.file.name,
        "version": str(step.version),
        "forward_sha256": step.file.digest,
        **found.json(),
        "script": script_of(found),
        "checks": [asdict(check) for check in checks_for(found.script)],
        "forward_fix": fix,
        "problems": [
            {"path": each.path, "line": each.line, "column": each.column, "message": each.message}
            for each in chain.problems
        ],
    }


def _words(step: Step, found: Generated, document: dict[str, Any]) -> list[str]:
    lines = [f"{step.file.name}: {found.origin}{f', {found.verdict}' if found.verdict else ''}"]
    if found.origin == READ:
        lines.append(f"  It could not be run, so this is the weaker way: {found.because}")
    for number, lost in found.goes:
        lines.append(f"  Step {number} takes away {lost}")
    lines += [f"  From a backup only: {each}" for each in found.from_backup]
    for choice in found.choices:
        ways = "; ".join(f"{way}: {what}" for way, what in choice.ways)
        lines.append(f"  {choice.subject}: {choice.about}. Taken: {choice.taken}. ({ways})")
    lines += [f"  {note}" for note in found.notes]
    lines += [f"  TO DO: {gap}" for gap in found.gaps]
    lines += [f"  Check before commit: {each['name']}" for each in document["checks"]]
    return lines
