"""Execute an approved rollback: every gate again, a verified backup, then the one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import psycopg

from approvals import attempts, continuable, digests, policy, signed
from approvals.models import Execution, ExecutionLog, ExecutionStatus, Job, PolicyRule, RollbackItem
from executor import briefing, credentials, preflight, vault
from executor.attempt import carry_out, record
from executor.errors import Cancelled, ExecutorError
from executor.line import Left, Line
from executor.read import in_plain_words, read_facts, sync
from executor.recorder import Pulse, alive, worker_name
from executor.slots import Slot
from executor.spec import COMMITTED, Outcome
from executor.taking import take_backup

CANCELLED = "Cancelled before the script began."
GAPLESS_S = 30 * 60.0
"""So much longer a run may take from this side where its backup is taken within."""
STALE_S = 5.0
"""What was prepared and then waited for its turn for longer is prepared anew."""


class _NoLonger(ExecutorError):
    """What held as the execution began does not hold any more."""


class _SetAside(Exception):
    """It waited for its turn, and its run does not go on by now; that is on record."""


def job(job: Job) -> str:
    """Execute the job's execution, once. Returns the sentence that was recorded."""
    reading = signed.Reading()
    execution = attempts.claim(uuid.UUID(job.subject), worker=worker_name(), reading=reading)
    if execution is None:
        return "Nothing to do: it was taken before, or what is stored is not what was approved."
    rule = reading.rule or policy.rule_for(execution.rollback_target.rollback)
    with alive(execution) as pulse, _line(execution) as line, Slot() as slot:
        try:
            no_go = _prepare(execution, rule, reading, line, partial(_turn, execution, pulse, slot))
        except _SetAside as aside:
            return str(aside)
        except Cancelled as cancelled:
            no_go = str(cancelled)
        if no_go:
            attempts.record_outcome(execution, ExecutionStatus.NO_EFFECT, no_go)
            return no_go
        return _run(execution, rule, reading, line, pulse, slot)


def _prepare(
    execution: Execution, rule: PolicyRule, reading: signed.Reading, line: Line, turn: Callable[[], float]
) -> str:
    """All that comes before the attempt, until it is its turn; the reason not to go, or nothing."""
    rollback = execution.rollback_target.rollback
    if continuable.takes_backup(execution, rule):  # nothing is to wait between the backup and the script
        if turn() > STALE_S:
            reading.items = digests.items_of(rollback)
        return _ready(execution, rule, reading.items, line)
    no_go = _ready(execution, rule, reading.items, line)
    if no_go or turn() <= STALE_S:
        return no_go
    reading.items = digests.items_of(rollback)
    return _ready(execution, policy.rule_for(rollback), reading.items, line)


def _turn(execution: Execution, pulse: Pulse, slot: Slot) -> float:
    """Wait until this worker runs fewer scripts than it may; for how many seconds. Raises Cancelled,
    or _SetAside where its run does not go on by then."""
    waited = slot.take(lambda: pulse.cancelled, partial(_say_that_it_waits, execution))
    if waited and (why_not := attempts.set_aside_if_held(execution)):
        raise _SetAside(why_not)
    if waited and pulse.cancelled:
        raise Cancelled(CANCELLED)
    return waited


def _run(
    execution: Execution,
    rule: PolicyRule,
    reading: signed.Reading,
    line: Line,
    pulse: Pulse,
    slot: Slot,
) -> str:
    """The attempt, and its outcome."""
    backs_up = continuable.takes_backup(execution, rule)
    try:
        # A backup takes its time: what is stored is read and hashed once more behind it.
        spec = briefing.signed_spec(execution, rows=None if backs_up else reading.items)
    except ExecutorError as error:
        attempts.record_outcome(execution, ExecutionStatus.NO_EFFECT, str(error))
        return str(error)
    back_up = None
    if backs_up and rule.backup_gapless:
        back_up = partial(_back_up, execution)
        limits = replace(spec.limits, client_deadline_s=spec.limits.client_deadline_s + GAPLESS_S)
        spec = replace(spec, limits=limits)
    target = credentials.endpoint(execution.target, "executor")
    result = carry_out(execution, spec, target, pulse, back_up=back_up, line=line)
    if result.outcome is Outcome.SUCCEEDED:  # what did not succeed may stop others, once it is on record
        slot.give()
    record(execution, result, _left(execution, line) if result.outcome in COMMITTED else Left())
    return result.sentence


def _line(execution: Execution) -> Line:
    return Line(partial(credentials.endpoint, execution.target, "executor"))


def _say_that_it_waits(execution: Execution) -> None:
    text = "Waits for its turn: this worker runs as many scripts at once as it may."
    ExecutionLog.objects.create(execution=execution, level="info", text=text)


def _left(execution: Execution, line: Line) -> Left:
    return line.left(execution.target.history_schema, execution.target.history_table)


def _back_up(execution: Execution, snapshot: str | None = None) -> None:
    """The backup, `snapshot` as with `take_backup`, checked right before it is relied on. It may take half an
    hour: so all that the portal asks of a start is asked once more behind it. Raises ExecutorError."""
    backup = take_backup(execution, snapshot=snapshot)
    vault.check(backup.path, backup.sha256)
    if why_not := attempts.preflight(execution):
        raise _NoLonger(f"While the backup was taken this changed: {' '.join(why_not)}")


def _ready(execution: Execution, rule: PolicyRule, items: list[RollbackItem], line: Line) -> str:
    """Preflight and backup, before any lock on the target; the reason not to go, or nothing. A backup without
    a gap comes later. What continues another asks less, and what is over for it is not read again."""
    rollback = execution.rollback_target.rollback
    try:
        attempts.enter(execution, ExecutionStatus.PREFLIGHT)
        if not continuable.has_transaction(execution):
            sync(execution.target)
        else:
            where = execution.rollback_target
            read_facts(rollback, change_digest=execution.change_digest, only=where, items=items)
        if no_go := preflight.at_start(execution, rule, items, line):
            return no_go
        if continuable.takes_backup(execution, rule) and not rule.backup_gapless:
            _back_up(execution)
        if attempts.cancel_requested(execution.pk):
            return CANCELLED
    except (ExecutorError, psycopg.Error) as error:
        return f"Not started: {in_plain_words(error)}"
    return ""
