"""How long importing a large directory of migrations takes, against the real `flyway info` on the same one.

    python benchmarks/flyway_import.py [--files 5000] [--rounds 5] [--processes 2]

Processes in turns, each with its own start. Theirs is a JVM with open-source Flyway and one `info` on an
empty schema. Ours reads all files, works out names, order and checksums and analyses every statement: first
by itself, then as `manage.py import_migrations` with everything stored in a portal's database, and once more
with nothing changed. Both answers are compared first: a benchmark of two different results would say nothing.
Both sides run what is compiled before: theirs from jars, ours from byte code as it is installed, kept in a
directory of the run. Without that each start would compile the portal's own modules, which the image has
compiled (see Dockerfile). Needs Java and Maven.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def main() -> int:
    options = _options()
    if options.ours:
        print(json.dumps(ours(options.ours, analyse=not options.names_only)))
        return 0
    if options.worker:
        print(json.dumps(worker(*options.worker)))
        return 0
    from tests.differential import real
    from tests.environment import ESTATE

    if why := real.missing():
        print(f"Not measured: {why}.", file=sys.stderr)
        return 2
    class_path = real.prepared()
    cluster = ESTATE.staging
    cluster.start()
    try:
        with tempfile.TemporaryDirectory() as directory, tempfile.TemporaryDirectory() as compiled:
            os.environ["PYTHONPYCACHEPREFIX"] = compiled
            os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
            generate(Path(directory), options.files)
            settings = {
                "flyway.url": f"jdbc:postgresql://127.0.0.1:{cluster.port}/postgres",
                "flyway.user": "postgres",
                "flyway.password": cluster.password,
                "flyway.schemas": "never_made",
                "flyway.locations": f"filesystem:{directory}",
            }
            request = json.dumps({"verb": "info", "settings": settings}) + "\n"
            theirs = ["java", "-cp", class_path, "Driver"]
            own = [sys.executable, __file__, "--ours", directory]
            return compare(options, own, theirs, request) or catalog(options, directory, theirs, request)
    finally:
        cluster.stop()


def catalog(options: argparse.Namespace, directory: str, theirs: list[str], request: str) -> int:
    """Import into a portal's database: a service that has nothing yet, then the same one again."""
    from tests.environment import ESTATE

    portal = ESTATE.portal
    portal.start()
    try:
        with psycopg.connect(portal.superuser_dsn(), autocommit=True) as admin:
            admin.execute("DROP DATABASE IF EXISTS flyway_import")
            admin.execute("CREATE DATABASE flyway_import")
        url = portal.url("flyway_import", "postgres", portal.password)
        os.environ |= {"DATABASE_URL": url, "IMPORT_PROCESSES": str(options.processes)}
        manage = [sys.executable, "-W", "ignore", str(ROOT / "manage.py")]
        run([*manage, "migrate"], "")
        run([*manage, "import_migrations", "--help"], "")  # compiles what the others load
        firsts, agains, infos = [], [], []
        for number in range(options.rounds):
            service = f"round-{number}"
            run([*manage, "add_service", service, "--team", "benchmark"], "")
            command = [*manage, "import_migrations", service, directory]
            firsts.append(run(command, "")[0])
            infos.append(run(theirs, request)[0])
            agains.append(run(command, "")[0])
        tell("stored, the first time", firsts, infos)
        tell("stored, nothing changed", agains, infos)
        pairs = []
        for number in range(options.rounds):
            run([*manage, "add_service", f"worker-{number}", "--team", "benchmark"], "")
            answer = run(
                [sys.executable, "-W", "ignore", __file__, "--worker", f"worker-{number}", directory], ""
            )[1]
            pairs.append(json.loads(answer))
        first, again = (statistics.median(side) for side in zip(*pairs, strict=True))
        spread = ", ".join(f"{one / other:.1f}" for one, other in pairs)
        print(
            f"in one process, as a worker does it: {first:.2f} s, unchanged {again:.2f} s of a processor, "
            f"{statistics.median(one / other for one, other in pairs):.1f} times faster ({spread})"
        )
    finally:
        portal.stop()
    return 0


def tell(what: str, mine: list[Took], theirs: list[Took]) -> None:
    """One line: medians, the median of the ratios, and all of them; then the same of processor time."""
    ratios = [own / other for own, other in zip(mine, theirs, strict=True)]
    own, other = (statistics.median(took.processor for took in side) for side in (mine, theirs))
    print(
        f"{what}: ours {statistics.median(mine):.2f} s, flyway info {statistics.median(theirs):.2f} s, "
        f"ratio {statistics.median(ratios):.2f} ({', '.join(f'{ratio:.2f}' for ratio in ratios)}); "
        f"of the processors {own:.2f} s against {other:.2f} s, ratio {own / other:.2f}"
    )


def compare(options: argparse.Namespace, own: list[str], theirs: list[str], request: str) -> int:
    """Look at both answers, then measure in turns."""
    found = {(line[0], line[1]) for line in json.loads(run(own, "")[1])}
    lines = json.loads(run(theirs, request)[1])["value"]["lines"]
    told = {(line["file"], line["file_checksum"]) for line in lines}
    if found != told or len(found) != options.files:
        print(f"{len(found ^ told)} files differ: nothing to compare", file=sys.stderr)
        return 1
    print(f"{len(found)} files, equal checksums; {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    for what, command in (("with analysis", own), ("names and checksums", [*own, "--names-only"])):
        pairs = [(run(command, "")[0], run(theirs, request)[0]) for _ in range(options.rounds)]
        tell(what, [mine for mine, _other in pairs], [other for _mine, other in pairs])
    return 0


class Took(float):
    """Wall seconds of one process; `processor` are those that it had the processors, on all of them together.
    The first are what people wait for, the second don't change with what else the machine does."""

    processor: float


def run(command: list[str], stdin: str) -> tuple[Took, str]:
    """How long one process took, and what it printed."""
    environment = {"WAQITI_ENV": "test", **os.environ}
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    took, after = Took(time.perf_counter() - begin), resource.getrusage(resource.RUSAGE_CHILDREN)
    took.processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode or not done.stdout:
        raise SystemExit(f"{command[0]} failed")
    return took, done.stdout


def worker(service: str, directory: str) -> tuple[float, float]:
    """Processor seconds of a first import and of the same once more, in one process."""
    import django

    os.environ |= {"DJANGO_SETTINGS_MODULE": "waqiti_rollback.settings", "IMPORT_PROCESSES": "1"}
    django.setup()
    from approvals.catalog import import_directory
    from approvals.models import Service

    owner, took = Service.objects.get(name=service), []
    for _ in range(2):
        begin = time.process_time()
        import_directory(owner, Path(directory), actor=None)
        took.append(time.process_time() - begin)
    return took[0], took[1]


def ours(directory: str, *, analyse: bool) -> list[list[Any]]:
    """Read the directory as the import does; every file with its checksum."""
    gc.disable()
    from approvals.flyway.files import read_directory
    from approvals.flyway.settings import find_settings

    path = Path(directory)
    files = read_directory(path, find_settings(path)).files
    if analyse:
        from approvals.analysis import analyze

        for file in files:
            analyze(file.sql, name=file.path)
    return [[file.path, file.checksum] for file in files]


def generate(directory: Path, count: int) -> None:
    """Migrations of believable content and size, the same ones in every run."""
    dice = random.Random(5)
    for number in range(1, count + 1):
        folder = directory / f"{2020 + number * 6 // (count + 1)}"
        folder.mkdir(exist_ok=True)
        table = f"wallet_{number}"
        (folder / f"V{number}__{dice.choice(['create', 'index', 'extend'])}_{table}.sql").write_text(
            _statements(dice, table), newline=dice.choice(["\n", "\r\n"])
        )


def _statements(dice: random.Random, table: str) -> str:
    columns = ",\n".join(
        f"    column_{n} numeric(12, 2) NOT NULL DEFAULT {n}" for n in range(dice.randint(2, 9))
    )
    parts = [
        f"-- Wallets of batch {table}\nCREATE TABLE {table} (\n    id bigint PRIMARY KEY,\n{columns}\n);",
        f"CREATE INDEX {table}_by_column ON {table} (column_1);",
        f"ALTER TABLE {table} ADD COLUMN note text;",
        f"COMMENT ON TABLE {table} IS 'A batch of wallets; café';",
        f"INSERT INTO {table} (id) VALUES (1), (2), (3);",
    ]
    return "\n\n".join(parts[: dice.randint(1, len(parts))]) + "\n"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=min(os.cpu_count() or 1, 4))
    parser.add_argument("--ours", help=argparse.SUPPRESS)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--names-only", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
