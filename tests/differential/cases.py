"""One case laid out twice: for the real Flyway in a directory and a schema, and for our rules."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from approvals.flyway.files import Directory, FileProblem, read_directory
from approvals.flyway.history import HistoryRow
from approvals.flyway.names import Kind, parse_name
from approvals.flyway.settings import Settings, from_keys
from approvals.flyway.table import current, render
from approvals.flyway.validate import Outlook, outlook
from tests.differential.real import RealFlyway, Refused
from tests.servers import Database

TABLE = "flyway_schema_history"
CREATE = """
    CREATE TABLE {table} (
        installed_rank INT NOT NULL, version VARCHAR(50), description VARCHAR(200) NOT NULL,
        type VARCHAR(20) NOT NULL, script VARCHAR(1000) NOT NULL, checksum INTEGER,
        installed_by VARCHAR(100) NOT NULL, installed_on TIMESTAMP NOT NULL DEFAULT now(),
        execution_time INTEGER NOT NULL, success BOOLEAN NOT NULL);
    ALTER TABLE {table} ADD CONSTRAINT {key} PRIMARY KEY (installed_rank);
    CREATE INDEX {index} ON {table} (success)"""
COLUMNS = HistoryRow._fields
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Ground:
    """The real Flyway and the database in which every case has a schema of its own."""

    flyway: RealFlyway
    database: Database
    connection: psycopg.Connection[Any]

    @contextmanager
    def case(self, files: Mapping[str, bytes], settings: Mapping[str, str] | None = None) -> Iterator[Case]:
        """A directory with these files and an empty schema, gone afterwards."""
        schema = f"case_{next(_numbers)}"
        directory = Path(tempfile.mkdtemp(prefix="flyway-"))
        try:
            for path, data in files.items():
                (directory / path).parent.mkdir(parents=True, exist_ok=True)
                (directory / path).write_bytes(data)
            self.connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
            yield Case(self, schema, directory, dict(settings or {}))
        finally:
            shutil.rmtree(directory)
            self.connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


@dataclass(frozen=True)
class Case:
    """One directory, one schema, one set of settings."""

    ground: Ground
    schema: str
    directory: Path
    extra: dict[str, str]

    @property
    def settings(self) -> dict[str, str]:
        """What the real Flyway is told."""
        cluster = self.ground.database.cluster
        return {
            "flyway.url": f"jdbc:postgresql://127.0.0.1:{cluster.port}/{self.ground.database.name}",
            "flyway.user": "postgres",
            "flyway.password": cluster.password,
            "flyway.schemas": self.schema,
            "flyway.locations": f"filesystem:{self.directory}",
            **self.extra,
        }

    @property
    def ours(self) -> Settings:
        """The same settings as we read them."""
        return from_keys({"flyway.schemas": self.schema, **self.extra})

    @property
    def table(self) -> sql.Identifier:
        return sql.Identifier(self.schema, TABLE)

    def ask(self, verb: str) -> Any:
        """What the real Flyway says of it."""
        return self.ground.flyway.ask(verb, self.settings)

    def write_history(self, rows: Sequence[HistoryRow]) -> None:
        """Make the history table with these rows."""
        create = sql.SQL(CREATE).format(
            table=self.table, key=sql.Identifier(f"{TABLE}_pk"), index=sql.Identifier(f"{TABLE}_s_idx")
        )
        self.ground.connection.execute(create)
        self.append(rows)

    def append(self, rows: Sequence[HistoryRow]) -> None:
        """Add rows to the history."""
        insert = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            self.table,
            sql.SQL(", ").join(map(sql.Identifier, COLUMNS)),
            sql.SQL(", ").join([sql.Placeholder()] * len(COLUMNS)),
        )
        with self.ground.connection.cursor() as cursor:
            cursor.executemany(insert, [[getattr(row, name) for name in COLUMNS] for row in rows])

    def history(self) -> list[HistoryRow]:
        """The rows as they stand in the table now; none without a table."""
        names = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
        query = sql.SQL("SELECT {} FROM {} ORDER BY installed_rank").format(names, self.table)
        try:
            return [HistoryRow(*row) for row in self.ground.connection.execute(query).fetchall()]
        except psycopg.errors.UndefinedTable:
            return []

    def read(self) -> Directory:
        """The directory as we read it."""
        return read_directory(self.directory, self.ours)

    def foreseen(self) -> Outlook:
        """What we say that Flyway will say."""
        ours = self.ours
        return outlook(
            self.read().seen_by_flyway,
            self.history(),
            out_of_order=ours.out_of_order,
            patterns=ours.ignore_patterns,
            validate_on_migrate=ours.validate_on_migrate,
            schema=self.schema,
        )


def must_agree(case: Case) -> str:
    """Compare everything; returns in a word what Flyway made of it. `migrate` really runs."""
    found = case.read()
    try:
        info = case.ask("info")
    except Refused as refusal:
        return _must_refuse(case, found, refusal)
    if _hidden_by_a_baseline(found):
        return "directory refused"
    assert not found.refusals, (found.refusals, info)
    expected = case.foreseen()
    assert expected.refusal is None, (expected.refusal, info)
    assert ours(expected) == theirs(info["lines"])
    assert render(expected.lines) == info["table"].rstrip("\n")
    assert current(expected.lines) == info["current"]
    verdict = case.ask("validate")
    assert verdict["passes"] == expected.passes, verdict
    assert [(c["version"], c["description"], c["code"], c["message"]) for c in verdict["complaints"]] == [
        (str(c.version or ""), c.description, c.code, c.message) for c in expected.complaints
    ]
    return _must_migrate(case, expected)


def _must_refuse(case: Case, found: Directory, refusal: Refused) -> str:
    if found.refusals:
        assert any(means(problem, str(refusal)) for problem in found.refusals), (found.refusals, refusal)
        return "directory refused"
    expected = case.foreseen()
    assert expected.refusal is not None, str(refusal)
    if expected.refusal.code == "UNKNOWN_MIGRATION_TYPE":
        assert "nknown migration type" in str(refusal), str(refusal)
    return "history refused"


def _hidden_by_a_baseline(found: Directory) -> bool:
    """Flyway compares neighbours only: a B file of the same version can stand between two V files, by the
    chance of a hash, and then Flyway runs one of the two. We refuse both, always."""
    baselines = {file.name.version for file in found.seen_by_flyway if file.name.kind is Kind.BASELINE}
    clashing = {problem.path.rpartition("/")[2] for problem in found.refusals}
    return bool(clashing) and all(parse_name(name).version in baselines for name in clashing)


# Where Flyway's message names no file, it says this.
WORDS = {
    "script-config": ("Unknown configuration", "should be either true or false", "shouldExecute"),
    "placeholder": ("No value provided for placeholder", "Failed to populate value"),
    "malformed-name": ("Invalid SQL filenames found",),
    "undo-refused": ("Invalid SQL filenames found",),
}


def means(problem: FileProblem, message: str) -> bool:
    """Whether this is what Flyway's message is about."""
    words = WORDS.get(problem.code)
    return any(word in message for word in words) if words else problem.path.rpartition("/")[2] in message


def _must_migrate(case: Case, expected: Outlook) -> str:
    before = {row.installed_rank for row in case.history()}
    refusal, ran = None, []
    try:
        ran = [one["path"].removeprefix(f"{case.directory}/") for one in case.ask("migrate")]
    except Refused as refused:
        refusal = str(refused)
    new = [row for row in case.history() if row.installed_rank not in before]
    if refusal is not None and " callback: Failed to execute script" in refusal:
        return "script failed"
    if refusal is not None and expected.run.stops is not None:
        assert "No value provided for placeholder" in refusal, refusal
        assert expected.run.stops.message.partition(",")[0] in refusal, (expected.run.stops, refusal)
        assert [row.script for row in new] == [file.path for file in expected.run.files]
        return "migrate stopped"
    if refusal is not None and refusal.startswith("Failed to execute script"):
        return _must_fail_in_the_next_script(expected, new, refusal)
    if expected.run.refusal is not None or refusal is not None:
        assert expected.run.refusal is not None, refusal
        assert refusal is not None, (expected.run.refusal, ran)
        for sentence in expected.run.refusal.message.split("\n"):
            assert sentence in refusal, (sentence, refusal)
        assert not new
        return "migrate refused"
    assert expected.run.stops is None
    assert ran == [file.path for file in expected.run.files]
    assert [(row.script, row.type, row.success) for row in new] == [
        (file.path, file.name.type, True) for file in expected.run.files
    ]
    return "migrated" if new else "clean"


def _must_fail_in_the_next_script(expected: Outlook, new: Sequence[HistoryRow], refusal: str) -> str:
    """PostgreSQL objects to the SQL, which nobody foresees; but this is the script whose turn it was."""
    assert expected.run.refusal is None, refusal
    files = expected.run.files
    assert [row.script for row in new] == [file.path for file in files[: len(new)]]
    assert refusal.startswith(f"Failed to execute script {files[len(new)].name.script}\n"), refusal
    return "script failed"


def theirs(lines: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    keys = ("version", "description", "type", "script", "state", "rank", "checksum", "file", "file_checksum")
    return [tuple(line[key] for key in keys) for line in lines]


def ours(expected: Outlook) -> list[tuple[Any, ...]]:
    found = []
    for line in expected.lines:
        file = line.file
        recorded = None
        if file is not None:
            filled = getattr(file, "filled_checksum", None)
            recorded = file.checksum if filled is None else filled
        found.append(
            (
                line.version and line.version.text,
                line.description,
                line.type,
                line.script,
                line.state.value,
                line.rank,
                line.row.checksum if line.row else recorded,
                file and file.path,
                recorded,
            )
        )
    return found


def row(
    rank: int,
    version: str | None,
    description: str,
    type_: str = "SQL",
    *,
    script: str = "",
    checksum: int | None = 0,
    success: bool = True,
) -> HistoryRow:
    """A history row with the rest filled in."""
    return HistoryRow(
        installed_rank=rank,
        version=version,
        description=description,
        type=type_,
        script=script or f"V{version}__{description}.sql",
        checksum=checksum,
        installed_by="flyway",
        installed_on=datetime(2025, 11, 22, 12, 0),  # noqa: DTZ001 - stored without a zone
        execution_time=12,
        success=success,
    )
