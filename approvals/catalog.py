"""The catalog: a service's migrations become revisions, with everything wrong named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from django.db.models import Case, Q, QuerySet, When
from django.utils import timezone
from django.utils.translation import gettext as _

from . import access, audit, bulk, collector, importing, scripts, sources
from .errors import Denied, Refused
from .flyway.checksums import same_lines
from .flyway.files import FileProblem, MigrationFile
from .flyway.names import Kind
from .importing import Analysed, Progress, Reading
from .models import (
    ImportRun,
    ImportToken,
    Migration,
    MigrationRevision,
    Role,
    RollbackScript,
    Service,
    User,
)

STORED = {
    Kind.VERSIONED: Migration.Kind.VERSIONED,
    Kind.REPEATABLE: Migration.Kind.REPEATABLE,
    Kind.BASELINE: Migration.Kind.BASELINE,
}
SYNTAX, MYSQL, SCRIPT, PLACEHOLDER = "syntax", "mysql-dialect", "refused-script", "placeholder"
SAME_CHECKSUM = "same-checksum"
AT_ONCE = 1_000
"""So many rows go to the database in one statement."""

Identity = tuple[str, tuple[int, ...] | str]
"""What makes a migration the same one: its kind, and its version or description."""


class Known(NamedTuple):
    """A migration as it is in the catalog, with what its newest revision says."""

    pk: int
    facts: dict[str, Any]
    number: int
    sha256: str
    errors: list[dict[str, Any]]
    dialect: str


@dataclass
class _Tally:
    """What one import did, counted; which files are not as they were; and what it found wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    differences: dict[str, list[str]] = field(default_factory=dict)
    problems: list[FileProblem] = field(default_factory=list)


def import_directory(service: Service, directory: Path, *, actor: User | None) -> ImportRun:
    """`import_source` for a directory of this machine."""
    return import_source(service, sources.in_directory(directory), actor=actor)


def import_source(
    service: Service,
    source: sources.Source,
    *,
    actor: User | None,
    token: ImportToken | None = None,
    progress: Progress | None = None,
) -> ImportRun:
    """Read V, U, R and B files into the catalog and return the run with summary and problems.

    A changed file becomes a new revision, an unchanged one changes nothing, a missing one is marked removed.
    Bad files are reported and do not stop the good ones. `actor` None is the command line, or the pipeline
    that holds `token`. Reading and analysis come before the transaction; `progress` hears how many of the new
    files are analysed. Raises Refused where the source cannot be read as a whole, Denied for somebody who
    does not own the service.
    """
    require_importer(service, actor, token=token, action="catalog.imported")
    with collector.paused():
        return _import(service, source, actor, token, progress)


def _import(
    service: Service,
    source: sources.Source,
    actor: User | None,
    token: ImportToken | None,
    progress: Progress | None,
) -> ImportRun:
    reading = importing.read(source, service)
    before = _last(service)
    known = _known(service, before)
    analysed = importing.analysed(_new_texts(reading, known), progress=progress)
    with audit.unit_of_work("catalog.imported", actor=actor) as facts:
        service = Service.objects.select_for_update(no_key=True).get(pk=service.pk)
        if (last := _last(service)) != before:  # somebody else imported meanwhile
            known = _known(service, last)
        run = _Import(service, reading, actor, token, known, analysed).store()
        facts |= {"service": service.name, "summary": run.summary}
        if token is not None:
            facts["token"] = token.pk
        if run.commit:
            facts |= {"source": run.source, "commit": run.commit}
    return run


def require_importer(
    service: Service, actor: User | None, *, action: str, token: ImportToken | None = None
) -> None:
    """Raise Denied, on record, unless this person or the holder of this token may import; the command line
    may."""
    if token is not None:
        if not is_in_force(token):
            with audit.unit_of_work(action, actor=None):
                raise Denied(_("The token was revoked, or whoever made it may no longer import."))
    elif actor is not None and not may_import(service, actor):
        with audit.unit_of_work(action, actor=actor):
            raise Denied(_("Only an engineer of the owning team or an admin can import migrations."))


def importers(service: Service) -> QuerySet[User]:
    """Everybody for whom `may_import` holds."""
    owners = Q(groups__name=Role.ENGINEER, teams__services=service)
    return User.objects.filter(owners | Q(groups__name=Role.ADMIN), is_active=True).distinct()


def is_in_force(token: ImportToken) -> bool:
    """Whether imports with this token are let in: a token is worth no more than whoever made it is now."""
    return token.revoked_at is None and may_import(token.service, token.made_by)


def may_import(service: Service, actor: User) -> bool:
    """Whether this person may import migrations of the service."""
    return access.owns(actor, service.pk) or Role.ADMIN in actor.roles


def _new_texts(reading: Reading, known: Mapping[Identity, Known]) -> dict[str, str]:
    """What has to be analysed: the texts that no newest revision has."""
    sums = {identity: each.sha256 for identity, each in known.items()}
    return {
        file.path: reading.filled[file.path]
        for file in reading.files
        if file.name.kind in STORED and sums.get(_identity(file)) != reading.sha256[file.path]
    }


def _last(service: Service) -> ImportRun | None:
    return ImportRun.objects.filter(service=service).order_by("-id").only("id", "problems").first()


COMMIT = ("commit", "author", "committed_at")
FACTS = ("version", "description", "script", "removed_at", *COMMIT)


def _known(service: Service, last: ImportRun | None) -> dict[Identity, Known]:
    """The service's migrations by identity; one query, however many there are."""
    newest = (
        MigrationRevision.objects.filter(migration__service=service)
        .order_by("migration_id", "-number")
        .distinct("migration_id")
        .annotate(wrong=Case(*_not_wrong(last), default="analysis"))
        .values_list(
            "migration_id",
            "migration__kind",
            "migration__version_key",
            "number",
            "sha256",
            "wrong",
            *(f"migration__{name}" for name in FACTS),
        )
    )
    found: dict[Identity, Known] = {}
    for pk, kind, key, number, sha256, wrong, *values in newest:
        facts = dict(zip(FACTS, values, strict=True))
        repeatable = kind == Migration.Kind.REPEATABLE
        identity = (kind, facts["description"] if repeatable else tuple(map(int, key)))
        said = wrong or {}
        found[identity] = Known(
            pk, facts, number, sha256, said.get("errors") or [], said.get("dialect") or ""
        )
    return found


def _not_wrong(last: ImportRun | None) -> Iterator[When]:
    """Which revisions surely parse. To look into an analysis it has to be unpacked, so that is not done where
    the last import told of no problem at all: then all that it had in the directory does."""
    if last is not None and not last.problems:
        yield When(migration__removed_at=None, then=None)
    yield When(analysis__errors=[], then=None)


def _version_key(file: MigrationFile) -> list[int]:
    return list(file.name.version.parts) if file.name.version else []


def _identity(file: MigrationFile) -> Identity:
    version = file.name.version
    return STORED[file.name.kind].value, version.parts if version else file.name.description


def _double(file: MigrationFile, revision: MigrationRevision, sha256: str) -> FileProblem:
    message = _(
        "Its text is not that of revision %(number)d (SHA-256 %(now)s… instead of %(was)s…), but its "
        "checksum is, so Flyway does not notice the change. Not taken in: put the former text back, or add a "
        "comment, so that the checksum changes with the text."
    ) % {"number": revision.number, "now": sha256[:12], "was": revision.sha256[:12]}
    return FileProblem(file.path, None, None, SAME_CHECKSUM, message)


def _committed(commit: sources.Commit | None) -> dict[str, Any]:
    """The columns that say whose work it is."""
    if commit is None:
        return {"commit": "", "author": "", "committed_at": None}
    return {"commit": commit.id, "author": commit.author, "committed_at": commit.at}


class _Import:
    """The part of an import that writes; the caller holds the service's row locked."""

    def __init__(
        self,
        service: Service,
        reading: Reading,
        actor: User | None,
        token: ImportToken | None,
        known: Mapping[Identity, Known],
        analysed: Mapping[str, Analysed],
    ) -> None:
        self.service, self.reading, self.actor, self.token = service, reading, actor, token
        self.known, self.analysed = known, dict(analysed)
        self.stored = [file for file in reading.files if file.name.kind in STORED]
        self.identities = {file.path: _identity(file) for file in self.stored}
        self.new = {path for path, identity in self.identities.items() if self._is_new(path, identity)}
        self.tally = _Tally(problems=list(reading.problems))
        self.unresolved = {p.path for p in reading.problems if p.code == PLACEHOLDER}

    def store(self) -> ImportRun:
        """Write everything, a few statements for however many files, and the run itself."""
        self.tally.counts.update({"files": self.reading.files_seen, "removed": 0})
        if callbacks := sum(file.name.kind is Kind.CALLBACK for file in self.reading.files):
            self.tally.counts["callbacks"] = callbacks
        self._analyse(self.new - self.analysed.keys())
        self._mark_removed()
        self._refuse_doubles()
        self._store()
        self._store_undos([file for file in self.reading.files if file.name.kind is Kind.UNDO])
        source, tally = self.reading.source, self.tally
        return ImportRun.objects.create(
            service=self.service,
            by=self.actor,
            token=self.token,
            source=source.name[:500],
            **_committed(source.head),
            differences=tally.differences,
            settings=importing.settings_json(self.reading),
            summary=dict(tally.counts) | {"problems": dict(Counter(p.code for p in tally.problems))},
            problems=[asdict(each) for each in sorted(tally.problems, key=lambda p: (p.path, p.line or 0))],
        )

    def _is_new(self, path: str, identity: Identity) -> bool:
        known = self.known.get(identity)
        return known is None or known.sha256 != self.reading.sha256[path]

    def _analyse(self, paths: Iterable[str]) -> None:
        """What another import has meanwhile made new to us."""
        self.analysed |= importing.analysed({path: self.reading.filled[path] for path in paths})

    def _refuse_doubles(self) -> None:
        """Keep out each file whose text is another than an earlier one's of this migration, with an equal
        checksum: whoever reads the history could not tell which of the two was applied."""
        changed = {
            known.pk: file
            for file in self.stored
            if file.path in self.new and (known := self.known.get(self.identities[file.path]))
        }
        earlier = MigrationRevision.objects.filter(
            migration__in=changed, checksum__in={file.checksum for file in changed.values()}
        ).order_by("number")
        doubles: dict[str, FileProblem] = {}
        for revision in earlier.only("migration_id", "number", "checksum", "sql", "sha256"):
            file = changed[revision.migration_id]
            if revision.checksum == file.checksum and not same_lines(revision.sql, file.sql):
                doubles[file.path] = _double(file, revision, self.reading.sha256[file.path])
        self.tally.problems += doubles.values()
        self.stored = [file for file in self.stored if file.path not in doubles]

    def _store(self) -> None:
        created: list[MigrationFile] = []
        revised: list[tuple[int, MigrationFile, int]] = []
        changed: list[Migration] = []
        returned: list[str] = []
        for file in self.stored:
            known = self.known.get(self.identities[file.path])
            if known is None:
                created.append(file)
                continue
            facts = self._facts(file)
            if any(known.facts[name] != value for name, value in facts.items()):
                changed.append(Migration(pk=known.pk, **known.facts | facts))
            if known.facts["removed_at"] is not None:
                returned.append(file.path)
            if file.path in self.new:
                revised.append((known.pk, file, known.number + 1))
            else:
                self.tally.counts["unchanged"] += 1
                self._tell_errors(file, known.errors, known.dialect)
        Migration.objects.bulk_update(changed, FACTS, AT_ONCE)
        if created or revised:
            self._insert_revisions([*self._insert_migrations(created), *revised])
        self._tell("new", [file.path for file in created])
        self._tell("changed", [file.path for _pk, file, _number in revised])
        self._tell("returned", returned)

    def _tell(self, what: str, paths: list[str]) -> None:
        if paths:
            self.tally.counts[what] = len(paths)
            self.tally.differences[what] = sorted(paths)

    def _insert_migrations(self, files: Sequence[MigrationFile]) -> list[tuple[int, MigrationFile, int]]:
        """New migrations; each with its key and the number of its first revision."""
        keys = bulk.reserve(Migration, len(files))
        rows = [
            (
                pk,
                self.service.pk,
                STORED[file.name.kind].value,
                _version_key(file),
                *self._facts(file).values(),
            )
            for pk, file in zip(keys, files, strict=True)
        ]
        bulk.insert(Migration, ("id", "service_id", "kind", "version_key", *FACTS), rows)
        return [(pk, file, 1) for pk, file in zip(keys, files, strict=True)]

    def _insert_revisions(self, new: Iterable[tuple[int, MigrationFile, int]]) -> None:
        now, by = timezone.now(), self.actor.pk if self.actor else None
        rows = []
        for migration, file, number in new:
            text, risk, errors, dialect = self.analysed[file.path]
            self._tell_errors(file, errors, dialect)
            what = (file.path, file.sql, self.reading.sha256[file.path], file.checksum, text, risk)
            rows.append((migration, number, *what, now, by, *self._commit(file).values()))
        columns = ("path", "sql", "sha256", "checksum", "analysis", "risk", "imported_at", "imported_by_id")
        bulk.insert(MigrationRevision, ("migration_id", "number", *columns, *COMMIT), rows)

    def _facts(self, file: MigrationFile) -> dict[str, Any]:
        """What the migration's row has to say of the file; its commit only where that is known or over."""
        version, commit = file.name.version, self._commit(file)
        facts = {
            "version": version.text if version else "",
            "description": file.name.description,
            "script": file.path,
            "removed_at": None,
        }
        return facts | commit if commit["commit"] or file.path in self.new else facts

    def _commit(self, file: MigrationFile) -> dict[str, Any]:
        return _committed(self.reading.source.commits.get(file.path))

    def _tell_errors(self, file: MigrationFile, errors: list[dict[str, Any]], dialect: str) -> None:
        if not errors or file.path in self.unresolved:
            return
        code = MYSQL if dialect == "mysql" else SYNTAX
        message = errors[0]["message"] + (_(" It looks like MySQL.") if code == MYSQL else "")
        line, column = errors[0]["line"], errors[0]["column"]
        self.tally.problems.append(FileProblem(file.path, line, column, code, message, "warning"))

    def _mark_removed(self) -> None:
        """A file that was refused is still there; its migration keeps the last good revision."""
        bad = {problem.path for problem in self.reading.problems}
        there = set(self.identities.values())
        gone = [
            known
            for identity, known in self.known.items()
            if identity not in there
            and known.facts["removed_at"] is None
            and known.facts["script"] not in bad
        ]
        if gone:
            Migration.objects.filter(pk__in=[known.pk for known in gone]).update(removed_at=timezone.now())
        self._tell("removed", [known.facts["script"] for known in gone])

    # Undo files

    def _store_undos(self, files: Iterable[MigrationFile]) -> None:
        """Each becomes an imported script of its migration; whoever imports it counts as its author."""
        files = list(files)
        migrations = self._versioned() if files else {}
        imported = dict(
            RollbackScript.objects.filter(
                migration__in=migrations.values(), origin=RollbackScript.Origin.IMPORTED
            )
            .order_by("migration_id", "-number")
            .distinct("migration_id")
            .values_list("migration_id", "sha256")
        )
        for file in files:
            pk = migrations.get(file.name.version.parts if file.name.version else ())
            if pk is None:
                continue
            if imported.get(pk) == scripts.sha256(file.sql):
                self.tally.counts["unchanged"] += 1
            else:
                self._store_undo(Migration.objects.get(pk=pk), file)

    def _authors(self, file: MigrationFile) -> list[User]:
        """Who may not approve it: whoever imports it, and whoever has the address of its commit's author."""
        found = [self.actor] if self.actor else []
        commit = self.reading.source.commits.get(file.path)
        if commit is not None and (address := commit.author.rpartition("<")[2].rstrip(">")):
            found += User.objects.filter(email__iexact=address)
        return found

    def _versioned(self) -> dict[tuple[int, ...], int]:
        found = Migration.objects.filter(service=self.service, kind=Migration.Kind.VERSIONED)
        return {tuple(map(int, key)): pk for pk, key in found.values_list("pk", "version_key")}

    def _store_undo(self, migration: Migration, file: MigrationFile) -> None:
        last = migration.scripts.order_by("-number").first()
        try:
            script, _created = scripts.store(
                migration,
                sql=file.sql,
                checks=last.check_list() if last else [],
                origin=RollbackScript.Origin.IMPORTED,
                authors=self._authors(file),
                verbatim=not file.fills,
            )
        except Refused as refused:
            self.tally.problems.append(FileProblem(file.path, None, None, SCRIPT, str(refused)))
            return
        self.tally.counts["scripts"] += 1
        self.tally.differences.setdefault("scripts", []).append(file.path)
        for problem in script.plan["problems"][:1]:
            line, column = problem["line"], problem["column"]
            self.tally.problems.append(
                FileProblem(file.path, line, column, SCRIPT, problem["message"], "warning")
            )
