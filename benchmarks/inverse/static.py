"""Account for every file of a Flyway tree on the static path: `python -m benchmarks.inverse.static DIR
[--server DSN]`. With a server, scripts without gaps are run behind their migrations, where those apply."""

from __future__ import annotations

import argparse
from collections import Counter
from itertools import groupby
from pathlib import Path

import psycopg

from benchmarks.inverse.chains import Step, steps
from executor.schema.dump import dump, verdict
from executor.schema.shadow import Shadow
from executor.schema.snapshot import snapshot
from executor.schema.static import Earlier, inverse_by_reading


def main(arguments: list[str] | None = None) -> int:
    """Print the sums; 1 where a script without gaps failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--server", help="a libpq connection string of a scratch server's superuser")
    parser.add_argument("--verbose", action="store_true")
    chosen = parser.parse_args(arguments)
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for _, chain in groupby(steps(chosen.directory, "flyway"), key=lambda step: step.chain):
        _chain(list(chain), chosen.server, counts, reasons, chosen.verbose)
    for word, count in counts.most_common():
        print(f"{count:6} {word}")
    for reason, count in reasons.most_common(25):
        print(f"        {count:5} {reason}")
    return 1 if counts["proof: error"] else 0


def _chain(
    chain: list[Step], server: str | None, counts: Counter[str], reasons: Counter[str], verbose: bool
) -> None:
    shadow = Shadow(server) if server else None
    before = Earlier()
    try:
        for step in chain:
            text = step.sql()
            counts["files"] += 1
            applied, dumped = False, ""
            if shadow is not None:
                dumped = dump(shadow.dsn)
                try:
                    shadow.apply(text)
                    applied = True
                except psycopg.Error:
                    counts["files that do not apply"] += 1
            live = snapshot(shadow.connection) if shadow is not None and applied else None
            made = inverse_by_reading(text, live, before)
            if applied or shadow is None:
                before.add(step.forward.name, text)
            counts["files without gaps" if not made.todos else "files with named gaps"] += 1
            counts["effects undone"] += made.undone
            counts["gaps"] += len(made.todos)
            for todo in made.todos:
                reasons[todo.why[:80]] += 1
            if applied and shadow is not None and not made.todos:
                word = _proof(shadow, made.script, dumped)
                counts[f"proof: {word.partition(':')[0]}"] += 1
                if verbose and word != "exact":
                    print(step.chain, step.name, word[:1500])
    finally:
        if shadow is not None:
            shadow.drop()


def _proof(shadow: Shadow, script: str, before: str) -> str:
    with shadow.copied() as copy:
        try:
            copy.apply(script)
        except psycopg.Error as error:
            return f"error: {error}"
        found = verdict(before, dump(copy.dsn))
        return found.word if found.word == "exact" else f"{found.word}: {found.difference}"


if __name__ == "__main__":
    raise SystemExit(main())
