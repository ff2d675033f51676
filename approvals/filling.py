"""Flyway's placeholders in files and scripts: their values on a target, and a script's plan with them.

One place for all who read, rate, hash or run a script. A script that uses placeholders is planned for its
target each time, from the values as they are then; the change digest covers the statements as filled, so
that a value that changed voids what was signed for another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from django.db.models import Case, When
from django.db.models.functions import Collate

from . import analysis
from .flyway.placeholders import DEFAULT, Filled, PlaceholderProblem, Syntax, fill, names
from .models import Environment, ImportRun, Migration, RollbackItem, RollbackScript, Service, Target

Plan = dict[str, Any]
_PLANNED = "_planned_for_its_target"
CODE = "placeholder"
CHANGING = {
    "flyway:user": "flyway",
    "flyway:timestamp": "1970-01-01 00:00:00",
    "flyway:workingDirectory": ".",
    "flyway:environment": "default",
}
"""Stand-ins for what differs from run to run."""


@dataclass(frozen=True)
class Values:
    """What fills placeholders: their values by lower-case name, and how they are written; `fills` is False
    where the service's settings switch them off. `exceptions` are the paths of the files whose own
    `.sql.conf` says otherwise than the settings."""

    known: tuple[tuple[str, str], ...] = ()
    syntax: Syntax = DEFAULT
    fills: bool = True
    exceptions: frozenset[str] = frozenset()
    separator: str = ":"

    def of_file(self, path: str) -> Values:
        """What counts in the file of this path."""
        return replace(self, fills=not self.fills) if path in self.exceptions else self

    def in_a_run(self, path: str) -> Values:
        """What counts in the file of this path, with stand-ins for what Flyway fills anew at each run."""
        own = CHANGING | {"flyway:filename": path.rpartition("/")[2]}
        named = {name.replace(":", self.separator, 1): value for name, value in own.items()}
        return self.of_file(path).over(named)

    def fill(self, sql: str) -> Filled:
        """The text as Flyway would send it. Raises PlaceholderProblem, which says where."""
        return fill(sql, dict(self.known), self.syntax) if self.fills else fill(sql, {}, _NEVER)

    def over(self, others: Mapping[str, str]) -> Values:
        """These values, and others where these say nothing."""
        known = {name.lower(): value for name, value in others.items()} | dict(self.known)
        return replace(self, known=tuple(sorted(known.items())))

    def names_in(self, sql: str) -> list[str]:
        """The placeholders that the text uses, in lower case, each once. Raises UnclosedPlaceholder."""
        if not self.fills or self.syntax.prefix not in sql:
            return []
        return sorted({name.lower() for name, _line, _column in names(sql, self.syntax)})


# No text holds these, since PostgreSQL's holds no NUL.
_NEVER = Syntax("\0", "\0")


def on_target(target: Target) -> Values:
    """What counts on a target: the imported settings' values, over them the service's, over these its own;
    and of Flyway's own those that are the same at every run."""
    own = {
        "flyway:defaultSchema": target.history_schema,
        "flyway:database": target.dbname,
        "flyway:table": target.history_table,
    }
    return _values(target.service, own, target.placeholders)


def of_service(service: Service) -> Values:
    """What counts where nobody names a target: that of the first one."""
    first = target_of(service)
    return on_target(first) if first is not None else _values(service, {}, {})


def target_of(service: Service) -> Target | None:
    """The target whose values count where nobody names one: a production target before others, by name."""
    production_first = Case(When(environment=Environment.PRODUCTION, then=0), default=1)
    return service.targets.order_by(production_first, Collate("name", "C")).first()


def _values(service: Service, own: Mapping[str, str], above: Mapping[str, str]) -> Values:
    last = ImportRun.objects.filter(service=service.pk).order_by("-at", "-id")
    settings = last.values_list("settings", flat=True).first() or {}
    found: dict[str, str] = {}
    separator = settings.get("placeholder_separator", ":")
    built_in = {name.replace(":", separator, 1): value for name, value in own.items()}
    for each in (built_in, settings.get("placeholders", {}), service.placeholders, above):
        found |= {name.lower(): str(value) for name, value in each.items()}
    syntax = Syntax(settings.get("placeholder_prefix", "${"), settings.get("placeholder_suffix", "}"))
    exceptions = frozenset(settings.get("placeholder_exceptions", ()))
    fills = settings.get("placeholder_replacement", True)
    return Values(tuple(sorted(found.items())), syntax, fills, exceptions, separator)


# Scripts


def used_in(migration: Migration, sql: str, *, origin: str = RollbackScript.Origin.WRITTEN) -> list[str]:
    """The placeholders that this text has as a script of the migration.

    A generated text comes from a database, where nothing is left to fill; whoever edits one goes on with
    its names as they stand.
    """
    if origin == RollbackScript.Origin.GENERATED:
        return []
    values = of_service(migration.service)
    try:
        found = values.names_in(sql)
        return [name for name in found if name not in _kept(migration, values)] if found else []
    except PlaceholderProblem:
        return [CODE]


def _kept(migration: Migration, values: Values) -> list[str]:
    """What the newest script has that looks like placeholders and is not filled."""
    last = migration.scripts.order_by("-number").first()
    if last is None or last.placeholders:
        return []
    try:
        return values.names_in(last.sql)
    except PlaceholderProblem:
        return []


def plan_text(migration: Migration, sql: str, *, origin: str = RollbackScript.Origin.WRITTEN) -> Plan:
    """The plan of a text that is (to be) a script of the migration, with the values its service knows."""
    if used_in(migration, sql, origin=origin):
        return _planned(sql, of_service(migration.service))
    plan: Plan = analysis.as_json(analysis.plan_script(sql))
    return plan


def example_of(migration: Migration, sql: str) -> str:
    """The text with the values that its service knows; as written where one is missing or none is filled."""
    try:
        names = used_in(migration, sql)
        return of_service(migration.service).fill(sql).text if names else sql
    except PlaceholderProblem:
        return sql


def plan_of(item: RollbackItem) -> Plan:
    """The plan of an item's script with the values of the request's target; empty without a script."""
    script = item.script
    if script is None or not script.placeholders:
        return script.plan if script else {}
    # Once for each item that was read: what is hashed and what is run are then the same, whatever happens.
    known: tuple[int, Plan] | None = item.__dict__.get(_PLANNED)
    if known is None or known[0] != script.pk:
        known = script.pk, _planned(script.sql, on_target(_target(item)))
        item.__dict__[_PLANNED] = known
    return known[1]


def sql_of(item: RollbackItem) -> str:
    """The text that runs for an item. Where a value is missing, the text as written: the plan says why it is
    refused. Empty without a script."""
    if item.script is None:
        return ""
    return text_on(_target(item), item.script.sql) if item.script.placeholders else item.script.sql


def text_for(item: RollbackItem, target: Target) -> str:
    """The text that runs for an item on one of its request's targets; see `sql_of`."""
    if item.script is None:
        return ""
    return text_on(target, item.script.sql) if item.script.placeholders else item.script.sql


def text_on(target: Target, sql: str) -> str:
    """A text with the values of a target; as written where one is missing."""
    try:
        return on_target(target).fill(sql).text
    except PlaceholderProblem:
        return sql


def _target(item: RollbackItem) -> Target:
    """The target whose values count: the first of the request. All targets of a fleet have the same."""
    return next(iter(item.rollback.rollback_targets.all())).target


@lru_cache(maxsize=64)
def _planned(sql: str, values: Values) -> Plan:
    try:
        filled = values.fill(sql)
    except PlaceholderProblem as problem:
        why = str(problem).partition(": ")[2]
        said = analysis.Problem(problem.line, problem.column, f"Flyway would refuse it: {why}.", CODE)
        refused: Plan = analysis.as_json(analysis.Plan(problems=(said,)))
        return refused
    plan: Plan = analysis.as_json(analysis.plan_script(filled.text))
    for each in (*plan["problems"], *plan["taken_over"], *(step["statement"] for step in plan["steps"])):
        if "end_line" in each:
            each["end_line"] = filled.written_place(each["end_line"], 1)[0]
        each["line"], each["column"] = filled.written_place(each["line"], each["column"])
    return plan
