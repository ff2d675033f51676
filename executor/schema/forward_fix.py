"""The draft of a corrective migration beside a rollback: the same schema, reached by going forward."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from approvals.analysis import LockMode, plan_script
from executor.schema.inverse import Inverse
from executor.schema.inverse.script import render
from executor.schema.loss import Loss

_LAST_NUMBER = re.compile(r"(\d+)(?!.*\d)")
_NOT_IN_A_NAME = re.compile(r"[^0-9A-Za-z]+")


@dataclass(frozen=True, slots=True)
class FixFile:
    """A migration file, and what must stand in the `.conf` beside it ('' for nothing)."""

    name: str
    sql: str
    conf: str = ""

    @property
    def conf_name(self) -> str:
        """The name of the settings' file."""
        return f"{self.name}.conf"


@dataclass(frozen=True, slots=True)
class Aspect:
    """One line of the comparison: what the rollback and what the forward fix mean in one respect."""

    about: str
    rollback: str
    fix: str


@dataclass(frozen=True, slots=True)
class ForwardFix:
    """The files, in their order, and the comparison. `gaps` are what neither way undoes."""

    files: tuple[FixFile, ...]
    comparison: tuple[Aspect, ...]
    gaps: tuple[str, ...]

    def json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "files": [
                {"name": each.name, "sql": each.sql, "conf_name": each.conf_name, "conf": each.conf}
                for each in self.files
            ],
            "comparison": [
                {"about": each.about, "rollback": each.rollback, "fix": each.fix} for each in self.comparison
            ],
            "gaps": list(self.gaps),
        }


def next_version(latest: str) -> str:
    """The version after `latest`: its last number plus one, as wide as it is written. Raises ValueError where
    it has no number."""
    match = _LAST_NUMBER.search(latest)
    if match is None:
        raise ValueError(f"“{latest}” is no version.")
    number = str(int(match[1]) + 1).zfill(len(match[1]))
    return latest[: match.start()] + number + latest[match.end() :]


def forward_fix(
    inverse: Inverse, *, undoes: str, description: str, latest: str, losses: Sequence[Loss] = ()
) -> ForwardFix:
    """Draft the corrective migration. `undoes` is the version that is undone, `description` its description,
    `latest` the newest version that the service has; `losses` is the data plan, where it was counted. Raises
    ValueError for a `latest` without a number."""
    title = _NOT_IN_A_NAME.sub("_", description).strip("_")
    inside = [step for step in inverse.steps if not step.outside]
    outside = [step for step in inverse.steps if step.outside]
    files, version = [], latest
    if inside or not outside:
        version = next_version(version)
        files.append(_file(f"V{version}__fix_{title}.sql", render(inside), undoes, outside=False))
    if outside:
        version = next_version(version)
        files.append(_file(f"V{version}__fix_{title}_outside.sql", render(outside), undoes, outside=True))
    gaps = (*inverse.gaps, *map(str, inverse.from_backup))
    return ForwardFix(tuple(files), tuple(_comparison(inverse, undoes, files, losses)), gaps)


def _file(name: str, sql: str, undoes: str, *, outside: bool) -> FixFile:
    head = f"-- Corrective migration: leads back to the schema before {undoes}.\n-- A draft: review it.\n\n"
    settings = []
    if outside:
        settings.append("executeInTransaction=false")
    if "${" in sql:
        settings.append("placeholderReplacement=false")
    body = sql or "-- Nothing to do: the schema is the same.\nSELECT 1;\n"
    return FixFile(name, head + body, "".join(f"{line}\n" for line in settings))


def _comparison(inverse: Inverse, undoes: str, files: list[FixFile], losses: Sequence[Loss]) -> list[Aspect]:
    lost = "; ".join(map(str, losses)) if losses else "; ".join(map(str, inverse.losses)) or "nothing"
    relations = plan_script(inverse.script).relations if inverse.script else {}
    locks = ", ".join(f"{mode.value} on {name}" for name, mode in relations.items()) or "none"
    heaviest = max(relations.values(), default=LockMode.ACCESS_SHARE, key=lambda mode: mode.strength)
    names = " and ".join(file.name for file in files)
    more = "1 more is" if len(files) == 1 else f"{len(files)} more are"
    return [
        Aspect("data that goes", lost, f"the same: {lost}"),
        Aspect(
            "locks", f"{locks}, waited for briefly and in name order", f"{locks}, waited for as Flyway waits"
        ),
        Aspect("who waits", heaviest.blocks, heaviest.blocks),
        Aspect("history", f"the row of {undoes} goes", f"the row of {undoes} stays, {more} added"),
        Aspect(
            "files",
            f"the file of {undoes} must be withdrawn or replaced, or the next migrate applies it again",
            f"{names} {'is' if len(files) == 1 else 'are'} added; no other file changes",
        ),
        Aspect(
            "checks",
            "run in the transaction; it commits only if they pass",
            "none: Flyway commits what has run",
        ),
        Aspect(
            "other environments",
            "each is rolled back by itself",
            "each gets it with its next deployment, staging first",
        ),
        Aspect(
            "what the team must do",
            "freeze deployments, run the version that fits the old schema, settle the file",
            "review, test in staging, deploy together with the version that fits the old schema",
        ),
    ]
