"""`manage.py import_migrations SERVICE SOURCE`: read a service's migrations into the catalog.

The source is a directory, a .zip, or a git repository: a URL, or with --revision the path of a mirror. Made
for pipelines that import on every push: what Flyway would trip over is printed as path:line:column. Exit
code 0 as soon as one file could be taken in, problems or not (--strict: only without problems); 1 where none
could, or where service or source do not exist.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from approvals import catalog, repositories, sources
from approvals.errors import Refused
from approvals.models import ImportRun, Service

TAKEN_IN = ("new", "changed", "unchanged", "scripts")


class Command(BaseCommand):
    # They load every page of the portal, which takes longer than reading a thousand files.
    requires_system_checks: list[str] = []
    help = "Read V, U, R and B files of a service into the catalog and say what Flyway would trip over."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("service", help="name of the service that owns the migrations")
        parser.add_argument("source", help="a directory, a .zip, or the URL of a git repository")
        parser.add_argument("--revision", default="", help="branch, tag or commit of the repository")
        parser.add_argument("--folder", default="", help="where the migrations are in it: db/migration")
        parser.add_argument("--json", action="store_true", help="print one JSON document")
        parser.add_argument(
            "--strict", action="store_true", help="exit code 1 where anything was found wrong"
        )

    def handle(self, *, service: str, **options: Any) -> None:
        owner = Service.objects.filter(name=service).first()
        if owner is None:
            known = ", ".join(Service.objects.values_list("name", flat=True)) or "none yet"
            raise CommandError(f"There is no service {service}; known are: {known}.")
        try:
            with _opened(**options) as source:
                run = catalog.import_source(owner, source, actor=None, progress=self._progress)
        except Refused as refused:
            raise CommandError(str(refused)) from refused
        self._document(run) if options["json"] else self._report(run)
        if not any(run.summary.get(count) for count in TAKEN_IN):
            raise CommandError(f"No file of {options['source']} could be taken in.")
        if options["strict"] and run.problems:
            raise CommandError(f"Found wrong: {len(run.problems)}.")

    def _progress(self, done: int, total: int) -> None:
        self.stderr.write(f"{done} of {total} new files analysed")

    def _document(self, run: ImportRun) -> None:
        words = {"service": run.service.name, "source": run.source, "commit": run.commit}
        self.stdout.write(json.dumps(words | {"summary": run.summary, "problems": run.problems}))

    def _report(self, run: ImportRun) -> None:
        for problem in run.problems:
            place = ":".join(
                str(part) for part in (problem["path"], problem["line"], problem["column"]) if part
            )
            self.stdout.write(f"{place}: {problem['severity']}: {problem['message']} [{problem['code']}]")
        if run.commit:
            self.stdout.write(f"commit {run.commit}")
        summary = dict(run.summary)
        codes = summary.pop("problems")
        self.stdout.write(", ".join(f"{count} {what}" for what, count in summary.items()))
        found = ", ".join(f"{count} {code}" for code, count in sorted(codes.items()))
        self.stdout.write(f"problems: {found or 'none'}")


@contextmanager
def _opened(*, source: str, revision: str, folder: str, **_others: Any) -> Iterator[sources.Source]:
    path = Path(source)
    if revision or "://" in source:
        url = source if "://" in source else str(path.absolute())
        with repositories.in_repository(url, revision=revision, folder=folder) as opened:
            yield opened
    elif path.suffix.lower() == ".zip":
        try:
            archive = path.open("rb")
        except OSError as bad:
            raise sources.SourceRefused(f"{source} cannot be read: {bad.strerror}.") from None
        with archive, sources.in_archive(archive, path.name, folder=folder) as opened:
            yield opened
    else:
        yield sources.in_directory(sources.below(path, sources.clean_folder(folder)) if folder else path)
