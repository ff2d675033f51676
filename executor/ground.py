"""What a rehearsal stands on, and what is said of it: backup, clone, masking, and the service's own tests."""

from __future__ import annotations

from typing import Any

from approvals import attempts, clones, history
from approvals.flyway.history import Rows
from approvals.masks import Masking
from approvals.models import Backup, Execution, ExecutionLog, RehearsalClone, Target
from executor import facts, service_tests
from executor.connect import Endpoint
from executor.ending import lasted
from executor.errors import Cancelled, masked
from executor.spec import Outcome, Result, RunSpec

NO_ROWS = "It had no rows: times, locks and counts are those of empty tables."


class Ground:
    """What a rehearsal stands on and what is said of it: the backup, the clone, how that was masked, and the
    service's own tests there."""

    def __init__(self, execution: Execution, masking: Masking) -> None:
        self.execution, self.masking = execution, masking
        self.data: dict[str, Any] = {}
        self.tested: service_tests.Verdict | None = None
        self._said = ""

    def say(self, words: str) -> None:
        """A line of the log, once; ends the rehearsal where somebody cancelled it."""
        if words != self._said:
            self._said = words
            ExecutionLog.objects.create(execution=self.execution, text=masked(words))
        if attempts.cancel_requested(self.execution.pk):
            raise Cancelled("It was cancelled on request.")

    def stands_on(
        self, backup: Backup, filled: dict[str, Any], kept: RehearsalClone | None, *, relied_on: bool
    ) -> None:
        """Remember it; a backup that was there before becomes evidence for these bytes."""
        if relied_on:
            taken = f"It was taken {backup.created_at:%Y-%m-%d %H:%M} UTC"
            clones.rely_on(
                self.execution, backup, f"{backup.sentence} {taken}, and the history is as it was then."
            )
        self.data = {
            "backup": {
                "id": backup.pk,
                "at": backup.created_at.isoformat(),
                "grade": int(backup.grade),
                "by_exception": backup.by_exception,
            },
            "filled": filled,
            "clone": kept
            and {"id": str(kept.pk), "made_at": kept.made_at.isoformat(), "seconds": kept.seconds},
            "reused": bool(kept and kept.uses),
        }

    def test(self, result: Result, spec: RunSpec, endpoint: Endpoint) -> None:
        """Run the service's own tests where the script passed, and keep their log."""
        target = self.execution.target
        command = service_tests.command_for(target.service.name)
        if command is None or result.outcome is not Outcome.SUCCEEDED:
            return
        self.say(f"The service's tests run: {command.name}")
        self.tested = service_tests.run(
            command,
            endpoint,
            role=spec.owner_role or "",
            version=_version_left(spec, target),
            cancelled=lambda: attempts.cancel_requested(self.execution.pk),
        )
        ExecutionLog.objects.bulk_create(
            ExecutionLog(execution=self.execution, level="tests", text=line or " ")
            for line in self.tested.lines
        )
        self.data["tests"] = {
            "command": self.tested.command,
            "seconds": round(self.tested.seconds, 3),
            "passed": self.tested.passed,
            "why": self.tested.why,
            "lines": len(self.tested.lines),
        }

    def sentence(self, result: Result) -> str:
        """How it went, in one or two sentences."""
        if result.outcome is not Outcome.SUCCEEDED:
            return f"Not passed: {result.sentence}"
        took = f"{lasted(result.timings.total_s)}, locks held for {lasted(result.timings.lock_held_s)}"
        rows = "" if self.masking.with_rows else f" {NO_ROWS}"
        if self.tested is None:
            return f"Passed on a copy of the target in {took}.{rows}"
        if self.tested.passed:
            tests = f"The service's tests passed there in {lasted(self.tested.seconds)}."
            return f"Passed on a copy of the target in {took}.{rows} {tests}"
        return (
            f"Not passed: the script ran on a copy of the target in {took}, but the service's tests did not "
            f"pass: {self.tested.why}.{rows}"
        )


def _version_left(spec: RunSpec, target: Target) -> str:
    """The version at which the schema stands when the request is done; empty where nothing is left."""
    gone = {item.version for item in spec.items}
    rows = [row for row in history.rows_of(target) if row.version is None or row.version not in gone]
    left = facts.current_version(Rows(rows))
    return left.text if left else ""
