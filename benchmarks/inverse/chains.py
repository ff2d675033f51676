"""Find the steps of a chain of migrations in a directory, in the order in which their tool would run them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from approvals.flyway.names import Kind, MalformedName, parse_name

LAYOUTS = ("updown", "folders", "flyway")
_UPDOWN = re.compile(r"(?P<name>.+?)(?P<dialect>\.[a-z0-9]+)?(?P<tx>\.autocommit)?\.up\.sql\Z")
_OTHER_DIALECTS = {"mysql", "sqlite3", "sqlite", "cockroach", "mariadb", "mssql"}


@dataclass(frozen=True)
class Step:
    """One forward file and, where people wrote one, its way back."""

    chain: str
    version: str
    name: str
    forward: Path
    back: Path | None

    def sql(self) -> str:
        """The forward SQL."""
        return self.forward.read_text(encoding="utf-8-sig", errors="replace")

    def back_sql(self) -> str | None:
        """The human way back; None where there is none."""
        return self.back.read_text(encoding="utf-8-sig", errors="replace") if self.back else None


def steps(directory: Path, layout: str) -> list[Step]:
    """The steps of all chains below a directory. Raises ValueError for an unknown layout."""
    finders = {"updown": _updown, "folders": _folders, "flyway": _flyway}
    if layout not in finders:
        raise ValueError(f"Unknown layout {layout!r}: choose one of {', '.join(LAYOUTS)}.")
    return list(finders[layout](directory))


def _key(name: str) -> tuple[int, str]:
    number = re.match(r"\d+", name)
    return (int(number[0]) if number else 0, name)


def _updown(directory: Path) -> Iterator[Step]:
    best: dict[tuple[Path, str], tuple[bool, Path]] = {}
    for path in directory.rglob("*.up.sql"):
        match = _UPDOWN.match(path.name)
        if match is None:
            continue
        dialect = (match["dialect"] or "").lstrip(".")
        if dialect in _OTHER_DIALECTS:
            continue
        key = (path.parent, match["name"] if dialect in ("postgres", "postgresql", "") else path.name)
        special = dialect in ("postgres", "postgresql")
        if key not in best or special:
            best[key] = (special, path)
    for (parent, name), (_, path) in sorted(
        best.items(), key=lambda item: (str(item[0][0]), _key(item[0][1]))
    ):
        back = path.with_name(path.name.removesuffix(".up.sql") + ".down.sql")
        chain = str(parent.relative_to(directory)) or "."
        yield Step(
            chain, name.partition("_")[0], name, path, back if back.exists() else _plain_back(parent, name)
        )


def _plain_back(parent: Path, name: str) -> Path | None:
    found = parent / f"{name}.down.sql"
    return found if found.exists() else None


def _folders(directory: Path) -> Iterator[Step]:
    for path in sorted(directory.rglob("up.sql"), key=_folder_key):
        back = path.with_name("down.sql")
        chain = str(path.parent.parent.relative_to(directory))
        version = path.parent.name.partition("_")[0]
        yield Step(chain, version, path.parent.name, path, back if back.exists() else None)


def _folder_key(path: Path) -> tuple[str, str, str]:
    """Diesel's order: the version without its dashes."""
    version, _, name = path.parent.name.partition("_")
    return str(path.parent.parent), version.replace("-", ""), name


def _flyway(directory: Path) -> Iterator[Step]:
    """Directory by directory: each is a chain of its own, as each service has its own."""
    for parent in sorted({path.parent for path in directory.rglob("*.sql")}):
        found = []
        for path in parent.glob("*.sql"):
            try:
                name = parse_name(path.name)
            except MalformedName:
                continue
            if name.kind is Kind.VERSIONED and name.version is not None:
                found.append((name.version, path))
        for version, path in sorted(found, key=lambda item: item[0]):
            back = path.with_name("U" + path.name[1:])
            chain = str(parent.relative_to(directory))
            yield Step(chain, str(version), path.stem, path, back if back.exists() else None)


_WHY_NOT = {
    Kind.UNDO: "a way back of its own, which Flyway does not run",
    Kind.REPEATABLE: "repeatable: it has no version to go back from",
    Kind.BASELINE: "a baseline: nothing comes before it",
}


def others(directory: Path, layout: str) -> list[tuple[str, str]]:
    """SQL files below the directory that are no steps, and why: none is left out in silence."""
    taken = set()
    for step in steps(directory, layout):
        taken |= {step.forward, step.back}
    found = []
    for path in sorted(directory.rglob("*.sql")):
        if path not in taken:
            found.append((str(path.relative_to(directory)), _why_not(path.name, layout)))
    return found


def _why_not(name: str, layout: str) -> str:
    if layout != "flyway":
        return "neither a forward file nor a way back of this layout, or one for another database"
    try:
        return _WHY_NOT.get(parse_name(name).kind, "Flyway takes it for no migration")
    except MalformedName as error:
        return f"Flyway does not run it: {error}"
