"""Generate the way back of a chain's last file: by running it where the chain replays, else by reading it.
What pages, tasks and commands call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from executor.schema.inverse import Choice, FromBackup, Inverse, Options, undo
from executor.schema.inverse.options import BY_SIZE
from executor.schema.inverse.result import REFUSED
from executor.schema.lost import Lost
from executor.schema.objects import Snapshot
from executor.schema.reading import without_server
from executor.schema.replay import DoesNotReplay, File, Replay
from executor.schema.scope import without
from executor.schema.sizes import sizes
from executor.schema.snapshot import snapshot
from executor.schema.static import Earlier, StaticInverse, inverse_by_reading

RUN, READ = "by running", "by reading"


@dataclass(frozen=True, slots=True)
class Generated:
    """A script and all that is known of it. `origin` is `by running` or, the weaker, `by reading`; `because`
    says why it was not run. `gaps` are what the script does not undo; any blocks. `from_backup` is data that
    no script gives back; `restore` brings kept data back behind the migration; `goes` pairs steps with what
    they take away, for `loss.measure`. `left` are effects that stay by choice, and why; `came`
    is what of the losses came with the migration. `verdict` is the generator's own (a proof has the last
    word)."""

    script: str
    origin: str
    verdict: str
    gaps: tuple[str, ...] = ()
    from_backup: tuple[FromBackup, ...] = ()
    choices: tuple[Choice, ...] = ()
    notes: tuple[str, ...] = ()
    restore: str = ""
    goes: tuple[tuple[int, Lost], ...] = ()
    because: str = ""
    left: tuple[tuple[str, str], ...] = ()
    came: frozenset[Lost] = frozenset()
    inverse: Inverse | None = None

    def json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "script": self.script,
            "origin": self.origin,
            "because": self.because,
            "verdict": self.verdict,
            "gaps": list(self.gaps),
            "from_backup": [str(each) for each in self.from_backup],
            "choices": [
                {"subject": each.subject, "about": each.about, "ways": dict(each.ways), "taken": each.taken}
                for each in self.choices
            ],
            "notes": list(self.notes),
            "restore": self.restore,
            "left": dict(self.left),
            "goes": [{"step": step, "what": str(lost)} for step, lost in self.goes],
        }


def generate(
    replay: Replay, chain: Sequence[File], options: Options | None = None, *, live: str = ""
) -> Generated:
    """The way back of the last file of `chain`. `live` is a libpq string of a database that has it applied:
    the sizes of its tables say which are small enough to be written anew, and it is read where the chain
    does not replay. Raises psycopg.Error where a server itself fails."""
    forward = chain[-1]
    options = _with_sizes(options or Options(), live)
    try:
        shadow = replay.behind(chain[:-1])
        try:
            before = snapshot(shadow.connection)
            replay.apply(shadow, forward, [file.digest for file in chain[:-1]])
            inverse = undo(shadow.connection, before, None, options, forward=forward.sql)
        finally:
            shadow.close()
    except DoesNotReplay as broken:
        return _read(chain, str(broken), live, options)
    return _told(inverse, without_server(forward.sql)[1])


def _with_sizes(options: Options, live: str) -> Options:
    """The options with the tables' sizes, where nobody gave them and they can be measured."""
    if not live or options.sizes is not None or options.column_order != BY_SIZE:
        return options
    with psycopg.connect(live, autocommit=True) as connection:
        return replace(options, sizes=sizes(connection))


def _told(inverse: Inverse, beyond: list[str]) -> Generated:
    gaps = (*inverse.gaps, *(f"{' '.join(sql.split())}: what it was before is not known" for sql in beyond))
    return Generated(
        script=inverse.script,
        origin=RUN,
        verdict=inverse.verdict if not beyond else REFUSED,
        gaps=gaps,
        from_backup=inverse.from_backup,
        choices=inverse.choices,
        notes=inverse.notes,
        restore=inverse.restore,
        goes=inverse.goes,
        left=inverse.left,
        came=inverse.came,
        inverse=inverse,
    )


def _read(chain: Sequence[File], because: str, live: str, options: Options) -> Generated:
    schema: Snapshot | None = None
    if live:
        with psycopg.connect(live, autocommit=True) as connection:
            schema = without(
                snapshot(connection), schemas=(options.archive_schema,), tables=options.ignore_tables
            )
    earlier = Earlier.of((file.name, file.sql) for file in chain[:-1])
    found: StaticInverse = inverse_by_reading(chain[-1].sql, schema, earlier)
    gaps = tuple(map(str, found.todos))
    return Generated(found.script, READ, REFUSED if gaps else "", gaps, because=because)


def generate_all(
    replay: Replay, chain: Sequence[File], options: Options | None = None, *, live: str = ""
) -> Iterator[tuple[File, Generated]]:
    """The ways back of all files of a chain, the first one first."""
    for number, file in enumerate(chain, start=1):
        yield file, generate(replay, chain[:number], options, live=live)
