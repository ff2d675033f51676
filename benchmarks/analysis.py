"""How long the full analysis of a folder takes, against squawk on the same files.

    python benchmarks/analysis.py DIR [--rounds 10] [--glob 'V*.sql'] [--squawk PATH]

Two processes in turns, each with its own start: `manage.py analyze --json FILES` (the interpreter's and
Django's start included) and `squawk FILES`. Wall and processor time; the ratio of every pair, their median
and spread. Both write their findings to nowhere, after a first run whose findings are looked at.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from subprocess import DEVNULL, PIPE

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {"WAQITI_ENV": "test", **os.environ}
AIM = 3.0


def main() -> int:
    options = _options()
    files = sorted(str(path) for path in options.directory.rglob(options.glob))
    squawk = options.squawk or shutil.which("squawk") or str(Path(sys.executable).with_name("squawk"))
    if not files or not Path(squawk).exists():
        print(f"{len(files)} files match; squawk: {squawk}", file=sys.stderr)
        return 2
    ours = [sys.executable, str(ROOT / "manage.py"), "analyze", "--json", *files]
    theirs = [squawk, *files]
    size = sum(os.path.getsize(file) for file in files) / 1e6
    load = os.getloadavg()[0]
    print(f"{len(files)} files, {size:.1f} MB; {os.cpu_count()} processors, load {load:.1f}")
    statements = sum(len(file["statements"]) for file in json.loads(output(ours))["files"])
    lines = len(output(theirs).splitlines())
    print(f"analyze read {statements} statements; squawk printed {lines} lines")
    pairs = [(measure(ours), measure(theirs)) for _ in range(options.rounds)]
    report("wall time", [(own[0], other[0]) for own, other in pairs])
    report("processor time", [(own[1], other[1]) for own, other in pairs])
    return 0


def output(command: list[str]) -> str:
    """What a command prints. Ends the benchmark if that is nothing: it would time a failure."""
    done = subprocess.run(command, stdout=PIPE, stderr=DEVNULL, env=ENVIRONMENT, check=False, text=True)
    if not done.stdout:
        raise SystemExit(f"{command[0]} printed nothing: there is nothing to compare")
    return done.stdout


def measure(command: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of one process. Its exit code says only that it found something."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, stdout=DEVNULL, stderr=DEVNULL, env=ENVIRONMENT, check=False)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def report(what: str, pairs: list[tuple[float, float]]) -> None:
    ratios = sorted(own / other for own, other in pairs)
    own = statistics.median(pair[0] for pair in pairs)
    other = statistics.median(pair[1] for pair in pairs)
    median = statistics.median(ratios)
    verdict = "within" if median <= AIM else "above"
    print(
        f"{what}: analyze {own:.2f} s, squawk {other:.2f} s; ratio {median:.2f} "
        f"(lowest {ratios[0]:.2f}, highest {ratios[-1]:.2f}, {len(ratios)} pairs), {verdict} the aim of {AIM}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--glob", default="V*.sql")
    parser.add_argument("--squawk", help="the squawk program; default: on PATH, or beside this Python")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
