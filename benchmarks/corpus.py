"""Hold the generator against real migrations: `python -m benchmarks.corpus DIR --layout updown --server
DSN`."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import groupby
from pathlib import Path

from benchmarks.inverse.chains import LAYOUTS, Step, others, steps
from benchmarks.inverse.run import Result, run


def main(arguments: list[str] | None = None) -> int:
    """Run the chains below a directory and print the table; 1 where a generated way back was an error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--layout", choices=LAYOUTS, required=True)
    parser.add_argument(
        "--server", required=True, help="a libpq connection string of a scratch server's superuser"
    )
    parser.add_argument("--json", type=Path, help="write every step's result there")
    parser.add_argument("--jobs", type=int, default=1, help="chains at a time")
    parser.add_argument("--no-human", action="store_true", help="leave people's ways back out")
    parser.add_argument("--rows", action="store_true", help="put rows into the tables and watch over them")
    parser.add_argument("--only", help="only chains whose name contains this")
    chosen = parser.parse_args(arguments)
    found = [
        step
        for step in steps(chosen.directory, chosen.layout)
        if not chosen.only or chosen.only in step.chain
    ]
    results = list(_all(found, chosen.server, chosen.jobs, human=not chosen.no_human, rows=chosen.rows))
    left = others(chosen.directory, chosen.layout)
    if chosen.json:
        document = {
            "steps": [result.json() for result in results],
            "others": [{"path": path, "why": why} for path, why in left],
        }
        chosen.json.write_text(json.dumps(document, indent=1))
    print(table(results))
    print(f"  {len(left)} files are no steps")
    for why, count in Counter(why for _, why in left).most_common():
        print(f"    {count:4} {why}")
    return 1 if any(result.generated_exact_verdict == "error" for result in results) else 0


def _all(found: list[Step], server: str, jobs: int, *, human: bool, rows: bool) -> Iterable[Result]:
    chains = [list(group) for _, group in groupby(found, key=lambda step: step.chain)]
    with ProcessPoolExecutor(max_workers=jobs) as pool:
        for results in pool.map(
            _chain, chains, [server] * len(chains), [human] * len(chains), [rows] * len(chains)
        ):
            yield from results


def _chain(chain: list[Step], server: str, human: bool, rows: bool) -> list[Result]:
    results = []
    for result in run(server, chain, human=human, with_rows=rows):
        results.append(result)
        for loss in result.lost:
            print(f"{result.chain}/{result.name}: LOST {loss}", file=sys.stderr)
        for loss in result.unannounced:
            print(f"{result.chain}/{result.name}: NOT ANNOUNCED {loss}", file=sys.stderr)
        if result.applied and result.generated_exact_verdict != "exact":
            print(
                f"{result.chain}/{result.name}: {result.generated_exact_verdict}: {result.reason}",
                file=sys.stderr,
            )
    return results


def table(results: list[Result]) -> str:
    """The sums, for people."""
    applied = [result for result in results if result.applied]
    lines = [f"{len(results)} steps, {len(applied)} applied, {len(results) - len(applied)} failed to apply"]
    for title, attribute in (
        ("people's own", "human_verdict"),
        ("generated, cheap", "generated_verdict"),
        ("generated, exact", "generated_exact_verdict"),
    ):
        counts = Counter(getattr(result, attribute) for result in applied)
        judged = sum(count for word, count in counts.items() if word)
        parts = [f"{word} {count} ({count / judged:.1%})" for word, count in counts.most_common() if word]
        lines.append(f"  {title:18}" + ", ".join(parts))
    again = sum(result.forward_again is False for result in applied)
    seconds = sum(result.seconds for result in applied)
    derive = sum(result.derive_seconds for result in applied)
    retried = sum(result.retried > 0 for result in applied)
    lines.append(f"  forward again failed: {again}; steps whose order had to be found by trying: {retried}")
    lines.append(f"  {seconds:.0f} s, {derive:.0f} s of them deriving")
    populated = [result.rows for result in applied if result.rows]
    if populated:
        share = sum(filled for filled, _ in populated) / max(1, sum(total for _, total in populated))
        losing = sum(bool(result.lost) for result in applied)
        silent = sum(bool(result.unannounced) for result in applied)
        lines.append(
            f"  rows in {share:.0%} of the tables; steps that lost values the migration kept: {losing};"
            f" that lost values without announcing it: {silent}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
