"""What Flyway will do after a rollback: foreseen for what becomes of the history's row and of the file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from approvals.flyway.names import FileName, Kind
from approvals.flyway.patterns import FUTURE, Pattern
from approvals.flyway.rows import HistoryRow, Rows
from approvals.flyway.states import KnownFile, MigrationState, State
from approvals.flyway.treatment import Treatment, treated
from approvals.flyway.validate import UNRESOLVED, Outlook, Prospect
from approvals.flyway.versions import Version


class FileFate(StrEnum):
    """What becomes of the file of a migration that was taken back, in the next release."""

    REMOVED = "removed"
    REPLACED = "replaced"
    """by a corrected file of the same version"""
    SUPERSEDED = "superseded"
    """removed, and a file of a higher version comes in its place"""
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Forecast:
    """What `info`, `validate` and `migrate` will say (`outlook`), and what it means for this rollback.

    `states` are the words of `info` for the versions that were taken back; None: it does not show them.
    `comes_back`: the very file that was taken back is pending, so a migrate undoes the rollback. `blocked`:
    migrate refuses or stops half-way, so no deployment with this release succeeds. `sentence` says it to a
    person.
    """

    outlook: Outlook
    states: dict[Version, State | None]
    comes_back: bool
    blocked: bool
    sentence: str


def forecast(
    files: Iterable[KnownFile],
    rows: Iterable[HistoryRow],
    versions: Collection[Version],
    *,
    treatment: Treatment | Literal["delete", "mark"],
    fate: FileFate | Literal["removed", "replaced", "superseded", "kept"],
    out_of_order: bool = False,
    patterns: Sequence[Pattern] = (FUTURE,),
    replacements: Sequence[KnownFile] = (),
) -> Forecast:
    """Foresee Flyway after `versions` were taken back, from the files and the history as they are before.

    `replacements` are the corrected files, where there are some already; else any content is assumed, and for
    a superseded migration the next free version. `out_of_order` and `patterns` (ignoreMigrationPatterns) are
    the deployment's settings. Raises NotTreatable and CorruptHistory.
    """
    both = forecasts(
        files, rows, versions, treatment=treatment, fate=fate, patterns=patterns, replacements=replacements
    )
    return both[out_of_order]


def forecasts(
    files: Iterable[KnownFile],
    rows: Iterable[HistoryRow],
    versions: Collection[Version],
    *,
    treatment: Treatment | Literal["delete", "mark"],
    fate: FileFate | Literal["removed", "replaced", "superseded", "kept"],
    patterns: Sequence[Pattern] = (FUTURE,),
    replacements: Sequence[KnownFile] = (),
    validate_on_migrate: bool = True,
    schema: str = "public",
) -> tuple[Forecast, Forecast]:
    """The same without outOfOrder and with it; what both need is worked out once.

    `validate_on_migrate` is the deployment's too, `schema` that of the history table.
    """
    files, rows = list(files), rows if isinstance(rows, Rows) else Rows(rows)
    fate, treatment = FileFate(fate), Treatment(treatment)
    after = treated(rows, versions, treatment, installed_by="", installed_on=datetime.min)  # noqa: DTZ901
    ahead = Prospect(
        _release(files, rows, versions, fate, replacements),
        after,
        patterns=patterns,
        validate_on_migrate=validate_on_migrate,
        schema=schema,
    )
    old = {file.path for file in files if _undone(file, versions)} if fate is FileFate.KEPT else set()
    without, with_it = (ahead.outlook(out_of_order=order) for order in (False, True))
    return _told(without, versions, fate, old), _told(with_it, versions, fate, old)


def _told(seen: Outlook, versions: Collection[Version], fate: FileFate, old: Collection[str]) -> Forecast:
    """What an outlook means; `old` are the paths of files that were taken back and are still there."""
    lines = [line for line in seen.lines if line.version in versions]
    states = {version: _state(lines, version) for version in sorted(versions)}
    comes_back = any(
        line.state is State.PENDING and line.file is not None and line.file.path in old for line in seen.lines
    )
    says = _sentence(seen, states, fate, comes_back=comes_back)
    blocked = seen.run.refusal is not None or seen.run.stops is not None
    return Forecast(seen, states, comes_back, blocked, says)


@dataclass(frozen=True, slots=True)
class _Planned:
    """A file that will be written; nothing depends on its checksum, since no row of it stands."""

    path: str
    name: FileName
    checksum: int = 0


def _undone(file: KnownFile, versions: Collection[Version]) -> bool:
    return file.name.kind is Kind.VERSIONED and file.name.version in versions


def _release(
    files: Sequence[KnownFile],
    rows: Sequence[HistoryRow],
    versions: Collection[Version],
    fate: FileFate,
    replacements: Sequence[KnownFile],
) -> list[KnownFile]:
    if fate is FileFate.KEPT:
        return list(files)
    left = [file for file in files if not _undone(file, versions)]
    if fate is FileFate.REMOVED:
        return left
    if replacements:
        return [*left, *replacements]
    if fate is FileFate.REPLACED:
        return [*left, *(_Planned(file.path, file.name) for file in files if _undone(file, versions))]
    known = [file.name.version for file in files] + [
        Version.parse(row.version) for row in rows if row.version
    ]
    top = max(version.parts[0] for version in known if version) + 1 if any(known) else 1
    name = FileName(Kind.VERSIONED, Version.parse(str(top)), "", f"V{top}.sql")
    return [*left, _Planned(name.script, name)]


def _state(found: Sequence[MigrationState], version: Version) -> State | None:
    """The word for what there is of the version now: its file if one waits, else its row."""
    lines = [line for line in found if line.version == version]
    waiting = [line for line in lines if line.row is None]
    return (waiting or lines)[-1].state if lines else None


def _sentence(seen: Outlook, states: dict[Version, State | None], fate: FileFate, *, comes_back: bool) -> str:
    which = _listed(states)
    if seen.refusal is not None:
        if seen.refusal.code == UNRESOLVED:
            return f"Flyway refuses every command with this release: {seen.refusal.message}."
        return f"Flyway cannot work with this history at all: {seen.refusal.message}."
    if comes_back:
        pending = _listed([version for version, state in states.items() if state is State.PENDING])
        when = "as soon as migrate runs again" if seen.run.refusal else "at the next migrate"
        return f"{pending} comes back: info shows it as Pending, and {when} the rollback is undone."
    if seen.run.refusal is not None:
        why = seen.run.refusal.message.partition("\n")[0].rstrip(".")
        return f"No deployment succeeds with this release: validate fails and migrate refuses ({why})."
    if seen.run.stops is not None:
        done = ", ".join(file.name.script for file in seen.run.files)
        first = f"migrate applies {done} and then stops" if done else "migrate stops"
        return f"No deployment succeeds with this release: {first} ({seen.run.stops.message})."
    begin = _begin(which, states)
    if fate is FileFate.REPLACED and State.PENDING in states.values():
        return f"{begin}, and the next migrate applies the corrected file."
    if seen.run.files:
        names = ", ".join(file.name.script for file in seen.run.files)
        return f"{begin}, and nothing comes back: the next migrate applies {names}."
    return f"{begin}, and nothing comes back: validate passes, and migrate has nothing to do."


def _begin(which: str, states: dict[Version, State | None]) -> str:
    words = sorted({state.value for state in states.values() if state is not None})
    return f"info shows {which} as {' or '.join(words)}" if words else f"info no longer shows {which}"


def _listed(versions: Iterable[Version]) -> str:
    return ", ".join(f"V{version}" for version in versions)
