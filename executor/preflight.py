"""Look whether a rollback could run now: every gate again and the target itself, as a checklist on record.

The same look is taken before anybody presses the button and again by the worker when the execution begins.
What can't be looked at is never a go.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import psycopg

from approvals import backup_exceptions, continuable, digests, jobs, policy, preflights
from approvals.models import Execution, Job, PolicyRule, RollbackItem, RollbackRequest, RollbackTarget
from executor import briefing, credentials, foreseen, left, locks, rights
from executor.breaks import breaks
from executor.connect import Connection
from executor.errors import ExecutorError
from executor.line import Line
from executor.locks import Wanted
from executor.obstacles import Point, obstacles
from executor.read import in_plain_words, read_facts
from executor.spec import RunSpec
from executor.watch import no_longer_than

LOOK_S = 300.0
"""So long a look may take at most; each of its questions has 15 seconds."""


def job(job: Job) -> str:
    """Take the look that somebody asked for. Returns its sentence."""
    rollback = RollbackRequest.objects.get(pk=job.subject)
    if job.digest != rollback.change_digest:
        return "The change is another one by now; its own preflight says how it stands."
    read_facts(rollback, change_digest=rollback.change_digest, job=job)
    return _all(rollback, job)


def _all(rollback: RollbackRequest, job: Job) -> str:
    """Look at every target. Of a fleet, what stops it is told first, and of which target."""
    targets = list(rollback.rollback_targets.select_related("target", "rollback"))
    stops: list[str] = []
    # The canary last: its look is the one that pages show.
    for number, each in enumerate(reversed(targets), start=1):
        found = look(rollback, at=each)
        if not found.go:
            stops.append(f"{each.target}: {found.sentence}")
        if len(targets) > 1:
            jobs.tell(job, f"Looked at {number} of {len(targets)} targets.")
    if len(targets) == 1:
        return found.sentence
    return f"No-go on {len(stops)} of {len(targets)} targets. {stops[-1]}" if stops else found.sentence


def at_start(execution: Execution, rule: PolicyRule, items: Sequence[RollbackItem], line: Line) -> str:
    """Look again as the execution begins, under this rule of its policy and over its line; why not to go, or
    nothing. Facts, and the items, are read by the caller before."""
    found = look(execution.rollback_target.rollback, execution, rule=rule, items=items, line=line)
    return "" if found.go else found.sentence


def look(
    rollback: RollbackRequest,
    execution: Execution | None = None,
    *,
    at: RollbackTarget | None = None,
    rule: PolicyRule | None = None,
    items: Sequence[RollbackItem] | None = None,
    line: Line | None = None,
) -> preflights.Found:
    """All of the checklist, recorded. Never raises for the target: what it does not answer is a no-go. It is
    the target of the execution that is looked at, or `at`, or the first of the rollback. `rule`
    and `items` (of `digests.items_of`) spare reading them."""
    where = execution.rollback_target if execution else at or rollback.representative()
    rule = rule or policy.rule_for(rollback)
    items = digests.items_of(rollback) if items is None else items
    try:
        own = Line(partial(credentials.endpoint, where.target, "executor"))
        with own if line is None else contextlib.nullcontext(line) as over:
            points, harm = _look(over, where, rule, items, execution)
    except (ExecutorError, psycopg.Error) as error:
        points = [Point("target", "The target answers", "stop", in_plain_words(error))]
        harm = []
    return preflights.record(
        rollback,
        [point.as_json() for point in points],
        [point.as_json() for point in harm],
        execution=execution,
        rollback_target=where,
        items=items,
        rule=rule,
    )


def _look(
    line: Line,
    rollback_target: RollbackTarget,
    rule: PolicyRule,
    items: Sequence[RollbackItem],
    execution: Execution | None,
) -> tuple[list[Point], list[Point]]:
    spec = briefing.outline(rollback_target, items)
    connection = line.looking(spec.search_path)
    with no_longer_than(LOOK_S, connection):
        return _asked(connection, spec, rollback_target, rule, items, execution)


def _asked(
    connection: Connection,
    spec: RunSpec,
    rollback_target: RollbackTarget,
    rule: PolicyRule,
    items: Sequence[RollbackItem],
    execution: Execution | None,
) -> tuple[list[Point], list[Point]]:
    backs_up = rule.backup_required if execution is None else continuable.takes_backup(execution, rule)
    wanted = _wanted(connection, spec, preflights.rehearsed_locks(rollback_target))
    change = rollback_target.rollback.change_digest
    leave = partial(backup_exceptions.in_force, rollback_target.rollback_id, change)
    about, needs = foreseen.backup(connection, rollback_target, rule, leave) if backs_up else ([], None)
    found = list(obstacles(connection, spec, wanted, backup=backs_up, needs=needs))
    found += about
    found.append(rights.point(connection, spec, briefing.lone_statements(items), wanted))
    harm = list(breaks(connection, spec, wanted))
    if execution is not None and execution.continues is not None:
        found += left.points(connection, execution.continues, spec)
    return found, harm


def _wanted(connection: Connection, spec: RunSpec, rehearsed: Sequence[tuple[str, str]]) -> list[Wanted]:
    """The tables of the plan and those that the rehearsal was seen to lock, as the target has them."""
    seen = locks.wanted(connection, replace(spec, locks=tuple(rehearsed)))
    planned = {each.oid: each for each in locks.wanted(connection, spec)}
    for each in seen:
        before = planned.get(each.oid, each)
        planned[each.oid] = replace(each, mode=locks.together(before.mode, each.mode))
    return sorted(planned.values(), key=str)
