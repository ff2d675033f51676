"""What Flyway would trip over on a target: in its history as read, and in the directory as imported."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy
from django.utils.translation import ngettext, ngettext_lazy

from approvals.models import ImportRun, Target

from .target_overview import Line, Overview

FAIL, WARN = "fail", "warn"
# Of many findings of one sort so many are shown by name; a link leads to all.
SHOWN = 3


@dataclass(frozen=True)
class Finding:
    """One thing wrong: how bad in a word, a sentence, what follows from it, where, and where to look."""

    tone: str
    word: str | Promise
    title: str
    text: str | Promise = ""
    places: tuple[str, ...] = ()
    href: str = ""
    link: str | Promise = ""


def of_history(target: Target, overview: Overview) -> list[Finding]:
    """What is wrong in the history itself, the worst first."""
    return list(_of_history(target, overview))


def _of_history(target: Target, overview: Overview) -> Iterator[Finding]:
    if overview.corrupt:
        title = _("The history contradicts itself, so nothing can be rolled back here.")
        yield Finding(FAIL, lazy("Flyway stops"), title, overview.corrupt)
    if overview.refused:
        title = _("A repeatable migration has a placeholder without a value here.")
        text = _("%(where)s. Every command of Flyway stops at it: give the target a value, or the service.")
        yield Finding(FAIL, lazy("Flyway stops"), title, text % {"where": overview.refused})
    for version, rows in overview.duplicates.items():
        title = _("The history says twice that %(version)s was applied.") % {"version": version.text}
        ranks = ", ".join(str(row.installed_rank) for row in rows)
        text = _("Rows %(ranks)s. A DBA must say which of them is true.") % {"ranks": ranks}
        yield Finding(FAIL, lazy("Not certain"), title, text)
    for row in overview.failed:
        title = _("%(version)s failed here.") % {"version": row.version or row.description}
        text = _("Flyway refuses to migrate until repair has removed row %(rank)d.")
        yield Finding(FAIL, lazy("Flyway refuses"), title, text % {"rank": row.installed_rank})
    for row in overview.unreadable:
        title = _("Row %(rank)d has the type %(type)s.") % {"rank": row.installed_rank, "type": row.type}
        yield Finding(FAIL, lazy("Flyway stops"), title, lazy("Open-source Flyway stops at it."))
    for line in overview.lines:
        if line.is_trap:
            yield _trap(line)
    yield from _drift(overview)
    yield from _late(overview)


def _trap(line: Line) -> Finding:
    title = _("“%(name)s” looks like a rollback, and Flyway runs it by itself.") % {
        "name": line.flyway.description
    }
    text = lazy(
        "It is named as a repeatable migration, so the next migrate runs it whenever it has changed. Name it "
        "U<version>__description.sql, or move it out of the directory."
    )
    return Finding(FAIL, lazy("Runs by itself"), title, text, (line.flyway.script,))


def _drift(overview: Overview) -> Iterator[Finding]:
    drifted = overview.drifted()
    for line in drifted[:SHOWN]:
        title = _("%(version)s was changed after it was applied.") % {"version": _version(line)}
        text = _("Recorded is the checksum %(recorded)s, the file gives %(file)s. validate fails.") % {
            "recorded": line.flyway.row.checksum if line.flyway.row else "",
            "file": line.flyway.file.checksum if line.flyway.file else "",
        }
        yield Finding(WARN, lazy("Checksum drift"), title, text, (), _compare(line), lazy("Show the change"))
    more = len(drifted) - SHOWN
    if more > 0:
        title = ngettext("%(n)d more was changed.", "%(n)d more were changed.", more) % {"n": more}
        yield Finding(WARN, lazy("Checksum drift"), title, "", (), "?show=drift", lazy("Show them all"))


def _compare(line: Line) -> str:
    """The page that shows what was applied beside what the file is now."""
    if line.migration_id is None or line.flyway.row is None:
        return ""
    asked = urlencode({"applied": line.flyway.row.checksum})
    return f"{reverse('migration_detail', args=[line.migration_id])}?{asked}#difference"


def _late(overview: Overview) -> Iterator[Finding]:
    ignored = [line for line in overview.lines if line.flyway.state == "Ignored"]
    if ignored:
        n = len(ignored)
        title = ngettext(
            "%(n)d file is below the newest applied version and was never applied.",
            "%(n)d files are below the newest applied version and were never applied.",
            n,
        ) % {"n": n}
        text = lazy("Flyway ignores them and validate fails; with outOfOrder they are applied late.")
        places = tuple(_version(line) for line in ignored[:SHOWN])
        yield Finding(WARN, lazy("Ignored"), title, text, places, "?show=late", lazy("Show them"))


def _version(line: Line) -> str:
    return f"V{line.flyway.version.text}" if line.flyway.version else line.flyway.description


@dataclass(frozen=True)
class Sort:
    """A sort of problem of a directory: how bad in a word, how many in a sentence, and what follows."""

    tone: str
    word: str | Promise
    title: Any
    text: str | Promise


SORTS: dict[str, Sort] = {
    "rollback-as-repeatable": Sort(
        FAIL,
        lazy("Runs by itself"),
        ngettext_lazy(
            "%(n)d rollback is named as a repeatable migration.",
            "%(n)d rollbacks are named as repeatable migrations.",
            "n",
        ),
        lazy("Flyway would run it at the next migrate. Name it U<version>__… or move it away."),
    ),
    "duplicate-version": Sort(
        FAIL,
        lazy("Flyway refuses to start"),
        ngettext_lazy(
            "%(n)d file carries the version of another one.",
            "%(n)d files carry versions that others carry.",
            "n",
        ),
        lazy("Flyway takes none of them until only one is left."),
    ),
    "duplicate-description": Sort(
        FAIL,
        lazy("Flyway refuses to start"),
        ngettext_lazy(
            "%(n)d repeatable migration has the name of another one.",
            "%(n)d repeatable migrations have names that others have.",
            "n",
        ),
        lazy("Flyway takes none of them until only one is left."),
    ),
    "same-checksum": Sort(
        FAIL,
        lazy("Changed unnoticed"),
        ngettext_lazy(
            "%(n)d text was changed in a way that leaves its checksum as it was.",
            "%(n)d texts were changed in a way that leaves their checksums as they were.",
            "n",
        ),
        lazy("Flyway does not notice, and the history could not tell which text was applied. Not taken in."),
    ),
    "malformed-name": Sort(
        WARN,
        lazy("Skipped silently"),
        ngettext_lazy(
            "%(n)d name is no name of a migration.",
            "%(n)d names are no names of migrations.",
            "n",
        ),
        lazy("Flyway does not see these files, unless it validates names: then it refuses."),
    ),
    "syntax": Sort(
        WARN,
        lazy("Does not parse"),
        ngettext_lazy(
            "%(n)d file can't be read as SQL.",
            "%(n)d files can't be read as SQL.",
            "n",
        ),
        lazy("PostgreSQL would refuse them, and nothing can be said about undoing them."),
    ),
    "mysql-dialect": Sort(
        WARN,
        lazy("Does not parse"),
        ngettext_lazy(
            "%(n)d file looks like MySQL.",
            "%(n)d files look like MySQL.",
            "n",
        ),
        lazy("PostgreSQL would refuse them."),
    ),
    "refused-script": Sort(
        WARN,
        lazy("Script refused"),
        ngettext_lazy(
            "%(n)d rollback script is refused.",
            "%(n)d rollback scripts are refused.",
            "n",
        ),
        lazy("It could leave the transaction, or can't be read."),
    ),
    "undo-without-migration": Sort(
        WARN,
        lazy("Undoes nothing"),
        ngettext_lazy(
            "%(n)d rollback script belongs to no migration.",
            "%(n)d rollback scripts belong to no migration.",
            "n",
        ),
        lazy("There is no V file of its version."),
    ),
}


def of_directory(run: ImportRun | None) -> list[Finding]:
    """What the last import of a directory found wrong, one finding per sort, the worst first."""
    by_code: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for problem in run.problems if run else []:
        by_code[problem["code"]].append(problem)
    found = [_of_sort(run, code, problems) for code, problems in by_code.items() if run]
    return sorted(found, key=lambda finding: finding.tone != FAIL)


def _of_sort(run: ImportRun, code: str, problems: list[dict[str, Any]]) -> Finding:
    n = len(problems)
    address = f"{reverse('service_problems', args=[run.service.name])}?{urlencode({'code': code})}"
    places = tuple(_place(problem) for problem in problems[:SHOWN])
    link = lazy("By file, line and column")
    sort = SORTS.get(code)
    if sort is None:
        bad = any(problem["severity"] == "error" for problem in problems)
        title = _("%(code)s: %(n)d") % {"code": code.replace("-", " ").capitalize(), "n": n}
        word = _("Not taken in") if bad else _("To know")
        return Finding(FAIL if bad else WARN, word, title, problems[0]["message"], places, address, link)
    return Finding(sort.tone, sort.word, sort.title % {"n": n}, sort.text, places, address, link)


def _place(problem: dict[str, Any]) -> str:
    line, column = problem.get("line"), problem.get("column")
    where = f" {line}:{column}" if line and column else f" {line}" if line else ""
    return f"{problem['path']}{where}"
