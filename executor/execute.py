"""Execute an approved rollback: every gate again, a verified backup, then the one transaction."""

from __future__ import annotations

import uuid
from dataclasses import replace
from functools import partial

import psycopg

from approvals import attempts, continuable, digests, policy
from approvals.models import Execution, ExecutionStatus, Job, PolicyRule
from executor import briefing, credentials, preflight, vault
from executor.attempt import carry_out, record
from executor.errors import ExecutorError
from executor.line import Left, Line
from executor.read import in_plain_words, read_facts, sync
from executor.recorder import alive, worker_name
from executor.spec import COMMITTED
from executor.taking import take_backup

GAPLESS_S = 30 * 60.0
"""So much longer a run may take from this side where its backup is taken within."""


def job(job: Job) -> str:
    """Execute the job's execution, once. Returns the sentence that was recorded."""
    execution = attempts.claim(uuid.UUID(job.subject), worker=worker_name())
    if execution is None:
        return "Nothing to do: it was taken before, or what is stored is not what was approved."
    rule = policy.rule_for(execution.rollback_target.rollback)
    with alive(execution) as pulse, _line(execution) as line:
        if no_go := _ready(execution, rule, line):
            attempts.record_outcome(execution, ExecutionStatus.NO_EFFECT, no_go)
            return no_go
        target = credentials.endpoint(execution.target, "executor")
        try:
            spec = briefing.signed_spec(execution)
        except ExecutorError as error:
            attempts.record_outcome(execution, ExecutionStatus.NO_EFFECT, str(error))
            return str(error)
        back_up = None
        if continuable.takes_backup(execution, rule) and rule.backup_gapless:
            back_up = partial(_within, execution)
            limits = replace(spec.limits, client_deadline_s=spec.limits.client_deadline_s + GAPLESS_S)
            spec = replace(spec, limits=limits)
        result = carry_out(execution, spec, target, pulse, back_up=back_up, line=line)
        record(execution, result, _left(execution, line) if result.outcome in COMMITTED else Left())
        return result.sentence


def _line(execution: Execution) -> Line:
    return Line(partial(credentials.endpoint, execution.target, "executor"))


def _left(execution: Execution, line: Line) -> Left:
    return line.left(execution.target.history_schema, execution.target.history_table)


def _within(execution: Execution, snapshot: str) -> None:
    """The backup by the snapshot of the script's own transaction, which keeps writers out."""
    backup = take_backup(execution, snapshot=snapshot)
    vault.check(backup.path, backup.sha256)


def _ready(execution: Execution, rule: PolicyRule, line: Line) -> str:
    """Preflight and backup, before any lock on the target; the reason not to go, or nothing. A backup without
    a gap comes later. What continues another asks less, and what is over for it is not read again."""
    rollback = execution.rollback_target.rollback
    try:
        attempts.enter(execution, ExecutionStatus.PREFLIGHT)
        items = digests.items_of(rollback)
        if not continuable.has_transaction(execution):
            sync(execution.target)
        else:
            where = execution.rollback_target
            read_facts(rollback, change_digest=execution.change_digest, only=where, items=items)
        if no_go := preflight.at_start(execution, rule, items, line):
            return no_go
        if continuable.takes_backup(execution, rule) and not rule.backup_gapless:
            backup = take_backup(execution)
            vault.check(backup.path, backup.sha256)
        if attempts.cancel_requested(execution.pk):
            return "Cancelled before the script began."
    except (ExecutorError, psycopg.Error) as error:
        return f"Not started: {in_plain_words(error)}"
    return ""
