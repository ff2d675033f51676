"""Ask for checks to be tried on a copy of the target, and record what the worker saw.

A trial is a help for whoever writes a script. It is no evidence: only a rehearsal of the exact bytes is.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from . import analysis, audit, filling, jobs, scripts, workflow
from .errors import Refused
from .models import Check, Job, RollbackItem, RollbackRequest, Trial, User

LONGEST = 200_000


def ask(rollback: RollbackRequest, position: int, *, sql: str, checks: Sequence[Check], actor: User) -> Trial:
    """Ask a worker to try these checks around this script of the item at `position`.

    Nothing is stored as a script. Raises Denied for anybody but the requester, Refused where the script can't
    be run in one transaction, a check is not one SELECT of one value, or a trial of theirs is under way.
    """
    with audit.unit_of_work("trial.asked", actor=actor, rollback=rollback) as facts:
        rollback = workflow.locked(rollback)
        workflow.require_party(rollback, actor, workflow.Party.REQUESTER)
        workflow.require(rollback, workflow.EDITABLE)
        item = rollback.items.select_related("migration").get(position=position)
        _require_elsewhere(rollback)
        _require_room(actor)
        sql = sql.replace("\r\n", "\n")
        _require_runnable(filling.text_on(rollback.representative().target, sql))
        if not checks:
            raise Refused(_("There is no check to try."))
        scripts.require_readable(checks)
        _require_scripts_above(rollback, item)
        key = uuid.uuid4()
        trial = Trial.objects.create(
            id=key,
            rollback=rollback,
            revision=rollback.revision,
            position=position,
            migration=item.migration,
            sql=sql,
            checks=[asdict(check) for check in checks],
            job=jobs.ask(Job.Kind.TRY, subject=key, actor=actor),
        )
        facts |= {
            "migration": str(item.migration),
            "sql_sha256": audit.digest_of(sql),
            "checks": len(checks),
        }
    return trial


def _require_elsewhere(rollback: RollbackRequest) -> None:
    """What nobody approved never runs on a production server, not even in a copy there."""
    target = rollback.representative().target
    if target.is_production and target.rehearsal_target_id is None:
        raise Refused(_("%(target)s names no staging server to make a copy on.") % {"target": target})


def _require_room(actor: User) -> None:
    """One at a time per person: each makes a database. Asks of one person queue at their own row."""
    User.objects.select_for_update(no_key=True).get(pk=actor.pk)
    for other in Trial.objects.filter(job__asked_by=actor, job__finished_at=None).select_related("job"):
        if other.is_open:
            raise Refused(_("Your last trial is still under way; it ends by itself."))


def _require_runnable(sql: str) -> None:
    if len(sql) > LONGEST:
        raise Refused(_("The script is longer than 200,000 characters; rehearse it instead."))
    plan = analysis.plan_script(sql)
    for problem in plan.problems:
        raise Refused(
            _("The script, line %(line)d, column %(column)d: %(message)s")
            % {"line": problem.line, "column": problem.column, "message": problem.message}
        )
    for step in plan.steps:
        if step.kind is not analysis.StepKind.TRANSACTIONAL:
            raise Refused(
                _("The script, line %(line)d: %(kind)s can't run in a transaction, so not here either.")
                % {"line": step.statement.line, "kind": step.statement.kind}
            )


def _require_scripts_above(rollback: RollbackRequest, item: RollbackItem) -> None:
    for above in rollback.items.filter(position__lt=item.position).select_related("migration", "script"):
        if above.script is None or not above.script.readable:
            raise Refused(
                _("%(above)s goes before %(migration)s and has no script that can run yet. Write that first.")
                % {"above": above.migration, "migration": item.migration}
            )


def take(job: Job) -> Trial:
    """The trial of a job that a worker has claimed. Raises Refused where the request changed meanwhile."""
    trial = Trial.objects.select_related("rollback", "migration", "job").get(pk=job.subject)
    if trial.revision != trial.rollback.revision:
        raise Refused(_("The request was changed before a worker came to it. Try the checks again."))
    return trial


def enter(trial: Trial, doing: str) -> None:
    """The worker says what it does now; people see it while they wait."""
    Trial.objects.filter(pk=trial.pk).update(doing=doing[:300], doing_since=timezone.now())


def record(
    trial: Trial,
    *,
    tried_on: str,
    results: list[dict[str, Any]],
    script_error: dict[str, Any] | None,
    notes: list[str],
) -> str:
    """The worker's answer. Returns it as a sentence, which the job gets."""
    with audit.unit_of_work("trial.ended", actor=None, rollback=trial.rollback) as facts:
        trial.tried_on, trial.results, trial.script_error = tried_on, results, script_error
        trial.notes, trial.doing = notes, ""
        trial.save(update_fields=["tried_on", "results", "script_error", "notes", "doing"])
        facts |= {
            "migration": str(trial.migration),
            "checks": len(results),
            "passed": trial.passed,
            "script_ran": script_error is None,
        }
    if script_error is not None:
        return _("The script ended with an error at line %(line)s, column %(column)s.") % script_error
    return ngettext(
        "%(passed)d of %(count)d check gave what it must.",
        "%(passed)d of %(count)d checks gave what they must.",
        len(results),
    ) % {"passed": trial.passed, "count": len(results)}


def abandoned() -> list[Trial]:
    """Trials whose worker ended without a word; from now on they count as failed."""
    found = [
        trial
        for trial in Trial.objects.filter(job__state=Job.State.CLAIMED).select_related("rollback", "job")
        if trial.is_silent
    ]
    for trial in found:
        jobs.finish(trial.job, failed=True, sentence=_("The worker ended during the trial. Ask again."))
    return found


def latest_of(rollback: RollbackRequest) -> dict[int, Trial]:
    """The newest trial of each item's present migration, by the item's position; two queries."""
    places = dict(rollback.items.values_list("position", "migration_id"))
    found = Trial.objects.filter(rollback=rollback).order_by("position", "-job").distinct("position")
    return {
        trial.position: trial
        for trial in found.select_related("job")
        if places.get(trial.position) == trial.migration_id
    }


def ahead(trial: Trial) -> int:
    """How many jobs of the same queue were asked for before this one and are not done."""
    return jobs.ahead(trial.job)
