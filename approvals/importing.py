"""Read a source for an import: settings, files, their digests, and the analysis of whatever is new."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from django.conf import settings as portal
from django.utils.translation import gettext as _

from . import analysis
from .errors import Refused
from .flyway.files import FileProblem, MigrationFile, read_directory
from .flyway.placeholders import PlaceholderProblem, substitute
from .flyway.settings import Settings, SettingsProblem, find_settings
from .models import Service
from .sources import Source

LONGEST_PATH = 1_000
TELL_EVERY_S = 1.0
AT_ONCE = 50
"""So many files go to another process together; fewer new ones than this are analysed where they are."""

Progress = Callable[[int, int], None]
# One encoder for all: json.dumps makes a new one for each text.
_ENCODE = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode


class Analysed(NamedTuple):
    """What is stored of an analysis: itself as JSON text, its highest risk, and what did not parse."""

    text: str
    risk: int | None
    errors: list[dict[str, Any]]
    dialect: str


@dataclass(frozen=True)
class Reading:
    """What was read: good files with their SHA-256 and with placeholders filled, and all problems.

    `files_seen` counts bad files too. Nothing of it is stored yet.
    """

    source: Source
    settings: Settings
    files: tuple[MigrationFile, ...]
    sha256: Mapping[str, str]
    filled: Mapping[str, str]
    problems: tuple[FileProblem, ...]
    files_seen: int


def read(source: Source, service: Service) -> Reading:
    """Read every file of the source, under the settings that lie beside them.

    Raises Refused where Flyway would refuse the settings, or the directory is gone.
    """
    try:
        settings = find_settings(source.directory)
        found = read_directory(source.directory, settings, look_at_placeholders=False)
    except SettingsProblem as problem:
        raise Refused(
            _("Flyway would refuse these settings: %(why)s.") % {"why": str(problem).rstrip(".")}
        ) from None
    except NotADirectoryError:
        raise Refused(_("There is no directory %(path)s.") % {"path": source.directory}) from None
    files = tuple(file for file in found.files if len(file.path) <= LONGEST_PATH)
    problems = [*found.problems, *(_too_long(file) for file in found.files if len(file.path) > LONGEST_PATH)]
    values = known_values(service, settings)
    filled = {}
    for file in files:
        try:
            filled[file.path] = _fill(file, values, settings)
        except PlaceholderProblem as problem:
            problems.append(_unresolved(file, problem))
            filled[file.path] = file.sql
    return Reading(
        source=source,
        settings=settings,
        files=files,
        sha256={file.path: hashlib.sha256(file.data).hexdigest() for file in files},
        filled=filled,
        problems=(*problems, *_of_settings(settings, service)),
        files_seen=len({p.path for p in found.problems} | {f.path for f in found.files}),
    )


def known_values(service: Service, settings: Settings) -> dict[str, str]:
    """Placeholders by lower-case name: from the settings, over them the service's, over these what every
    target has a value for (the first one's); and examples of what Flyway fills by itself."""
    targets = [{name.lower(): value for name, value in t.placeholders.items()} for t in service.targets.all()]
    shared = (
        {name: value for name, value in targets[0].items() if all(name in t for t in targets)}
        if targets
        else {}
    )
    own = dict.fromkeys(settings.built_in, "flyway")
    return {
        **own,
        **{name.lower(): value for name, value in settings.placeholders.items()},
        **{name.lower(): value for name, value in service.placeholders.items()},
        **shared,
    }


def _fill(file: MigrationFile, values: Mapping[str, str], settings: Settings) -> str:
    if not file.fills or settings.placeholder_prefix[0] not in file.sql:
        return file.sql
    return substitute(file.sql, values, settings.syntax)


def _unresolved(file: MigrationFile, problem: PlaceholderProblem) -> FileProblem:
    message = _("Flyway would refuse to run it: %(why)s.") % {"why": str(problem).partition(": ")[2]}
    return FileProblem(file.path, problem.line, problem.column, "placeholder", message, "warning")


def _too_long(file: MigrationFile) -> FileProblem:
    message = _("The path has more than 1,000 characters, as many as a history can hold: shorten it.")
    return FileProblem(file.path, None, None, "path-too-long", message)


def _of_settings(settings: Settings, service: Service) -> Iterator[FileProblem]:
    """Where the settings file says something else than the portal goes by."""
    if settings.path is None:
        return
    name = settings.path.name
    for key in settings.unresolved:
        message = _("%(key)s takes its value from an environment that is not known here.") % {"key": key}
        yield FileProblem(name, None, None, "setting-unresolved", message, "warning")
    for target in service.targets.all():
        here = (settings.history_schema or target.history_schema, settings.table)
        if here != (target.history_schema, target.history_table):
            message = _(
                "It keeps the history in %(here)s, but the portal reads %(there)s on %(target)s: change one."
            ) % {
                "here": ".".join(here),
                "there": f"{target.history_schema}.{target.history_table}",
                "target": target,
            }
            yield FileProblem(name, None, None, "history-elsewhere", message, "warning")


def settings_json(reading: Reading) -> dict[str, Any]:
    """What of the settings is kept with the import; empty where none were found, beside the migrations or
    beside one of them."""
    settings = reading.settings
    otherwise = [file.path for file in reading.files if file.fills != settings.placeholder_replacement]
    exceptions = {"placeholder_exceptions": otherwise} if otherwise else {}
    if settings.path is None:
        return exceptions
    return exceptions | {
        "file": settings.path.name,
        "history_schema": settings.history_schema,
        "table": settings.table,
        "grammar": asdict(settings.grammar),
        "locations": list(settings.locations),
        "out_of_order": settings.out_of_order,
        "ignore_patterns": [str(pattern) for pattern in settings.ignore_patterns],
        "validate_on_migrate": settings.validate_on_migrate,
        "placeholders": dict(settings.placeholders),
        "placeholder_replacement": settings.placeholder_replacement,
        "placeholder_prefix": settings.placeholder_prefix,
        "placeholder_suffix": settings.placeholder_suffix,
        "placeholder_separator": settings.placeholder_separator,
        "ignored": list(settings.ignored),
    }


def analysed(texts: Mapping[str, str], *, progress: Progress | None = None) -> dict[str, Analysed]:
    """The analysis of each text, by path; in as many processes as the setting IMPORT_PROCESSES says.

    `progress` is called with how many are done and how many there are, about once a second.
    """
    chunks = list(_chunks(list(texts.items()), AT_ONCE))
    found: dict[str, Analysed] = {}
    told = time.monotonic()
    for part in _each(chunks):
        found |= part
        if progress and time.monotonic() - told >= TELL_EVERY_S:
            told = time.monotonic()
            progress(len(found), len(texts))
    return found


def _chunks(items: Sequence[tuple[str, str]], size: int) -> Iterator[Sequence[tuple[str, str]]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _each(chunks: Sequence[Sequence[tuple[str, str]]]) -> Iterable[dict[str, Analysed]]:
    processes = min(portal.IMPORT_PROCESSES, len(chunks))
    # A worker's own processes may have no children, and a process with threads must not be forked.
    alone = multiprocessing.current_process().daemon or threading.active_count() > 1
    if processes < 2 or alone:
        yield from map(_analyse, chunks)
        return
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("fork")) as pool:
        yield from pool.map(_analyse, chunks)


def _analyse(texts: Sequence[tuple[str, str]]) -> dict[str, Analysed]:
    found: dict[str, Analysed] = {}
    for path, sql in texts:
        read = analysis.analyze(sql, name=path)
        plain = analysis.as_json(read)
        found[path] = Analysed(_ENCODE(plain), read.risk, plain["errors"], read.dialect)
    return found
