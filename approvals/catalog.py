"""The catalog: a service's directory of migrations becomes revisions in the database, with everything wrong named."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from . import access, analysis, audit, scripts
from .errors import Denied, Refused
from .flyway.files import FileProblem, MigrationFile, read_directory
from .flyway.names import Kind
from .models import ImportRun, Migration, MigrationRevision, Role, RollbackScript, Service, User

STORED = {
    Kind.VERSIONED: Migration.Kind.VERSIONED,
    Kind.REPEATABLE: Migration.Kind.REPEATABLE,
    Kind.BASELINE: Migration.Kind.BASELINE,
}
SYNTAX, MYSQL, SCRIPT = "syntax", "mysql-dialect", "refused-script"


@dataclass
class _Tally:
    """What one import did, counted, and what it found wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[FileProblem] = field(default_factory=list)


def import_directory(service: Service, directory: Path, *, actor: User | None) -> ImportRun:
    """Read V, U, R and B files below `directory` into the catalog and return the run with summary and problems.

    A changed file becomes a new revision, an unchanged one changes nothing, a missing one is marked removed. Bad
    files are reported and do not stop the good ones. `actor` None is the command line. Raises Refused where the
    directory does not exist, Denied for somebody who does not own the service.
    """
    with audit.unit_of_work("catalog.imported", actor=actor) as facts:
        if actor is not None and not (access.owns(actor, service.pk) or Role.ADMIN in actor.roles):
            raise Denied(_("Only an engineer of the owning team or an admin can import migrations."))
        service = Service.objects.select_for_update(no_key=True).get(pk=service.pk)
        try:
            found = read_directory(directory)
        except NotADirectoryError as error:
            raise Refused(_("There is no directory %(path)s.") % {"path": directory}) from error
        tally = _Tally(problems=list(found.problems))
        tally.counts["files"] = len({p.path for p in found.problems} | {f.path for f in found.files})
        present = {_store(service, file, actor, tally) for file in found.files if file.name.kind in STORED}
        for file in found.files:
            if file.name.kind == Kind.UNDO:
                _store_undo(service, file, actor, tally)
        _mark_removed(service, present, {problem.path for problem in found.problems}, tally)
        run = ImportRun.objects.create(
            service=service,
            by=actor,
            summary=dict(tally.counts) | {"problems": dict(Counter(p.code for p in tally.problems))},
            problems=[
                asdict(problem) for problem in sorted(tally.problems, key=lambda p: (p.path, p.line or 0))
            ],
        )
        facts |= {"service": service.name, "summary": run.summary}
    return run


def _store(service: Service, file: MigrationFile, actor: User | None, tally: _Tally) -> int:
    """Write one V, R or B file; returns the migration's primary key."""
    version, description = file.name.version, file.name.description
    identity: dict[str, Any] = {"service": service, "kind": STORED[file.name.kind]} | (
        {"version_key": list(version.parts)} if version else {"description": description}
    )
    facts: dict[str, Any] = {
        "version": version.text if version else "",
        "description": description[:200],
        "script": file.path,
        "removed_at": None,
    }
    migration, created = Migration.objects.update_or_create(**identity, defaults=facts)
    read = analysis.analyze(file.sql, name=file.path)
    tally.problems += [_parse_problem(file, error, read.dialect) for error in read.errors[:1]]
    sha256 = hashlib.sha256(file.data).hexdigest()
    last = migration.revisions.order_by("-number").first()
    if last and last.sha256 == sha256:
        tally.counts["unchanged"] += 1
        return migration.pk
    tally.counts["new" if created else "changed"] += 1
    MigrationRevision.objects.create(
        migration=migration,
        number=last.number + 1 if last else 1,
        path=file.path,
        sql=file.sql,
        sha256=sha256,
        checksum=file.checksum,
        analysis=analysis.as_json(read),
        risk=read.risk,
        imported_by=actor,
    )
    return migration.pk


def _parse_problem(file: MigrationFile, error: analysis.Problem, dialect: str) -> FileProblem:
    code = MYSQL if dialect == "mysql" else SYNTAX
    hint = _(" It looks like MySQL.") if code == MYSQL else ""
    return FileProblem(file.path, error.line, error.column, code, error.message + hint, "warning")


def _store_undo(service: Service, file: MigrationFile, actor: User | None, tally: _Tally) -> None:
    """A U file becomes an imported script of its migration; whoever imports it counts as its author."""
    migration = Migration.objects.filter(
        service=service,
        kind=Migration.Kind.VERSIONED,
        version_key=list(file.name.version.parts),  # type: ignore[union-attr]
    ).first()
    if migration is None:
        return
    newest_first = migration.scripts.order_by("-number")
    last, imported = newest_first.first(), newest_first.filter(origin=RollbackScript.Origin.IMPORTED).first()
    if imported and imported.sha256 == scripts.sha256(file.sql):
        tally.counts["unchanged"] += 1
        return
    try:
        script, _created = scripts.store(
            migration,
            sql=file.sql,
            checks=last.check_list() if last else [],
            origin=RollbackScript.Origin.IMPORTED,
            authors=[actor] if actor else [],
        )
    except Refused as refused:
        tally.problems.append(FileProblem(file.path, None, None, SCRIPT, str(refused)))
        return
    tally.counts["scripts"] += 1
    for problem in script.plan["problems"][:1]:
        tally.problems.append(
            FileProblem(file.path, problem["line"], problem["column"], SCRIPT, problem["message"], "warning")
        )


def _mark_removed(service: Service, present: set[int], bad: set[str], tally: _Tally) -> None:
    """A file that was refused is still there; its migration keeps the last good revision."""
    gone = Migration.objects.filter(service=service, removed_at=None)
    gone = gone.exclude(pk__in=present).exclude(script__in=bad)
    tally.counts["removed"] += gone.update(removed_at=timezone.now())
