"""Directories that somebody has: what the import makes of each, against the verdict of the real Flyway.

    python -m tests.differential.given DIR [--name migration] [--each]

Looks at every folder of that name below DIR that holds a .sql file. Compared are whether Flyway refuses the
directory and why, and else its files in Flyway's order with version, description, type and checksum; of one
that it refuses the checksum of each file by itself. Prints the sum, with --each a line per directory; exit
code 1 where anything differs. Needs Java and Maven.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from approvals.flyway.files import read_directory
from approvals.flyway.settings import Settings
from tests.differential import real
from tests.differential.cases import Case, Ground, means, ours, theirs


@dataclass(frozen=True)
class Verdict:
    """One directory: in a word what Flyway made of it, how many files were compared, what the import finds
    wrong in it by code, and what we say differently."""

    sort: str
    files: int
    problems: Counter[str]
    difference: str = ""


def compared(case: Case) -> Verdict:
    """What both say of the case's directory, on an empty schema."""
    imported = read_directory(case.directory, Settings(), look_at_placeholders=False)
    found = case.read()
    codes = Counter(problem.code for problem in imported.problems)
    try:
        info = case.ask("info")
    except real.Refused as refusal:
        said = any(means(problem, str(refusal)) for problem in found.refusals)
        reason = str(refusal).partition("\n")[0]
        difference = "" if said else f"Flyway refuses, we don't: {reason}"
        alone = [_alone(case.ground, path) for path in sorted(case.directory.rglob("*.sql"))]
        different = ", ".join(told for _count, told in alone if told)
        return Verdict("refused", sum(count for count, _told in alone), codes, difference or different)
    if found.refusals:
        return Verdict(
            "read", len(info["lines"]), codes, f"we refuse, Flyway doesn't: {found.refusals[0].message}"
        )
    here, there = ours(case.foreseen()), theirs(info["lines"])
    difference = "" if here == there else f"{len(set(here) ^ set(there))} lines differ"
    sums = {(file.path, file.checksum) for file in imported.seen_by_flyway}
    if not difference and sums != {(line["file"], line["file_checksum"]) for line in info["lines"]}:
        difference = "the checksums of the import differ"
    return Verdict("read", len(there), codes, difference)


def _alone(ground: Ground, path: Path) -> tuple[int, str]:
    """A file of a directory that Flyway refuses, by itself: how many Flyway sees of it, none or one, and the
    file's name where the checksums differ."""
    with ground.case({path.name: path.read_bytes()}) as alone:
        try:
            told = {line["file_checksum"] for line in alone.ask("info")["lines"]}
        except real.Refused:
            return 0, "" if alone.read().refusals else path.name
        return len(told), "" if told == {file.checksum for file in alone.read().seen_by_flyway} else path.name


def directories(root: Path, name: str) -> Iterator[Path]:
    """Every folder of this name with a .sql file in it or below."""
    for path in sorted(root.rglob(name)):
        if path.is_dir() and any(path.rglob("*.sql")):
            yield path


def main() -> int:
    """Compare them all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path, metavar="DIR")
    parser.add_argument("--name", default="migration")
    parser.add_argument("--each", action="store_true")
    options = parser.parse_args()
    if why := real.missing():
        print(f"Not compared: {why}.", file=sys.stderr)
        return 2
    found = dict(_all(options.root.resolve(), options.name))
    for path, verdict in found.items():
        if options.each or verdict.difference:
            codes = (
                ", ".join(f"{n} {code}" for code, n in sorted(verdict.problems.items())) or "nothing wrong"
            )
            print(f"{path}: {verdict.sort}, {verdict.files} files; {codes}; {verdict.difference or 'alike'}")
    sorts = Counter(verdict.sort for verdict in found.values())
    different = sum(1 for verdict in found.values() if verdict.difference)
    files = Counter[str]()
    for verdict in found.values():
        files[verdict.sort] += verdict.files
    print(
        f"{len(found)} directories: {sorts['read']} read, of {files['read']} files, and "
        f"{sorts['refused']} refused, of {files['refused']}; every checksum compared; different: {different}"
    )
    return 1 if different or not found else 0


def _all(root: Path, name: str) -> Iterator[tuple[Path, Verdict]]:
    """Ask the real Flyway of each, in a database of this run's own."""
    from tests.servers import ESTATE, SUPERUSER, _create, _drop

    ESTATE.staging.start()
    flyway = real.RealFlyway()
    database = _create(ESTATE.staging, "template1", SUPERUSER)
    try:
        with database.connect() as connection:
            ground = Ground(flyway, database, connection)
            for number, path in enumerate(directories(root, name)):
                yield path.relative_to(root), compared(Case(ground, f"given_{number}", path, {}))
    finally:
        flyway.close()
        _drop(database)
        ESTATE.staging.stop()


if __name__ == "__main__":
    sys.exit(main())
