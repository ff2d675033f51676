"""Hold the generator against real migrations: `python -m benchmarks.corpus DIR --layout updown --server
DSN`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import groupby
from pathlib import Path

from benchmarks.inverse.chains import LAYOUTS, Step, others, steps
from benchmarks.inverse.result import Result
from benchmarks.inverse.run import run


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
    parser.add_argument(
        "--large", action="store_true", help="the cheap way, as if no table were small enough to write anew"
    )
    parser.add_argument("--only", help="only chains whose name contains this")
    chosen = parser.parse_args(arguments)
    found = [
        step
        for step in steps(chosen.directory, chosen.layout)
        if not chosen.only or chosen.only in step.chain
    ]
    ways = {"human": not chosen.no_human, "with_rows": chosen.rows, "large": chosen.large}
    started = time.perf_counter()
    results = list(_all(found, chosen.server, chosen.jobs, ways))
    seconds = time.perf_counter() - started
    left = others(chosen.directory, chosen.layout)
    if chosen.json:
        document = {
            "steps": [result.json() for result in results],
            "others": [{"path": path, "why": why} for path, why in left],
        }
        chosen.json.write_text(json.dumps(document, indent=1))
    print(table(results))
    print(f"  {len(results) / seconds:.2f} steps a second with {chosen.jobs} jobs")
    print(f"  {len(left)} files are no steps")
    for why, count in Counter(why for _, why in left).most_common():
        print(f"    {count:4} {why}")
    return 1 if any(result.generated_exact_verdict == "error" for result in results) else 0


def _all(found: list[Step], server: str, jobs: int, ways: dict[str, bool]) -> Iterable[Result]:
    chains = [list(group) for _, group in groupby(found, key=lambda step: step.chain)]
    with ProcessPoolExecutor(max_workers=jobs) as pool:
        for results in pool.map(partial(_chain, server=server, ways=ways), chains):
            yield from results


def _chain(chain: list[Step], server: str, ways: dict[str, bool]) -> list[Result]:
    results = []
    for result in run(server, chain, **ways):
        results.append(result)
        for loss in result.lost:
            print(f"{result.chain}/{result.name}: LOST {loss}", file=sys.stderr)
        for loss in result.unannounced:
            print(f"{result.chain}/{result.name}: NOT ANNOUNCED {loss}", file=sys.stderr)
        for loss in result.kept:
            print(f"{result.chain}/{result.name}: KEPT THOUGH ANNOUNCED {loss}", file=sys.stderr)
        if result.forward_again is False:
            word = "as announced" if result.again_because else "OTHERWISE"
            print(
                f"{result.chain}/{result.name}: NOT AGAIN, {word}: {result.detail['forward again']}",
                file=sys.stderr,
            )
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
    again = [result for result in applied if result.forward_again is False]
    announced = sum(bool(result.again_because) for result in again)
    seconds = sum(result.seconds for result in applied) or 1.0
    served = sum(result.server_seconds for result in applied)
    own = sum(result.derive_seconds - result.derive_server_seconds for result in applied)
    retried = sum(result.retried > 0 for result in applied)
    lines.append(
        f"  forward again failed: {announced} after what only a backup brings back (announced);"
        f" {len(again) - announced} otherwise"
    )
    lines.append(f"  steps whose order had to be found by trying: {retried}")
    lines.append(
        f"  {seconds:.0f} s: {served / seconds:.0%} in PostgreSQL and pg_dump,"
        f" {own / seconds:.1%} in analysis and generation themselves"
    )
    populated = [result.rows for result in applied if result.rows]
    if populated:
        share = sum(filled for filled, _ in populated) / max(1, sum(total for _, total in populated))
        losing = sum(bool(result.lost) for result in applied)
        silent = sum(bool(result.unannounced) for result in applied)
        lines.append(
            f"  rows in {share:.0%} of the tables; steps that lost values the migration kept: {losing};"
            f" that lost values without announcing it: {silent}; that kept what was announced:"
            f" {sum(bool(result.kept) for result in applied)}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
