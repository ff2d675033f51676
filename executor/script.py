"""Run the script of an attempt within its transaction: steps, checks, and the history rows they end with."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from executor import checks, orphans
from executor.ending import Stop
from executor.progress import Progress
from executor.spec import CheckResult, CheckSpec, ItemSpec, Outcome, RunSpec, StepSpec
from executor.telling import Telling
from executor.transaction import Transaction


class Script:
    """Everything between the last lock and COMMIT. Raises Stop at the first thing that isn't as planned;
    `between` is called before each step and check and may raise it too."""

    def __init__(
        self,
        spec: RunSpec,
        transaction: Transaction,
        tell: Telling,
        progress: Progress,
        between: Callable[[], None],
    ) -> None:
        self.spec = spec
        self.transaction = transaction
        self.tell = tell
        self.progress = progress
        self.between = between

    def run(self) -> None:
        """All items in their order, each item's checks right behind its steps, the request's at the end."""
        self.check(checks.of_stage(self.spec.checks, "before script"))
        for item in self.spec.items:
            self._item(item, last=item is self.spec.items[-1])
        self.progress.doing = "Looking at what the script left"
        self.transaction.assert_untouched()
        self._refuse_orphans()
        self.check(checks.of_stage(self.spec.request_checks, "before commit"))
        self.tell(self.tell.recorder.phase, "history")
        self.progress.doing = "Treating the history rows"
        self.transaction.treat_history()

    def check(self, wanted: Sequence[CheckSpec]) -> None:
        """Evaluate checks in their order; the first that does not pass is the end."""
        if not wanted:
            return
        started = time.monotonic()
        self.tell(self.tell.recorder.phase, "checks")
        for check in wanted:
            self.between()
            self.progress.doing = f"The check “{check.name}”"
            result = checks.evaluate(self.transaction.connection, self.spec, check)
            self.note(result)
            if not result.passed:
                raise Stop(Outcome.ROLLED_BACK, checks.failed(result), failed_check=check)
        self.progress.checks_s += time.monotonic() - started

    def note(self, result: CheckResult) -> CheckResult:
        """Keep a check's result and tell it."""
        self.progress.results.append(result)
        self.tell.flush()
        self.tell(self.tell.recorder.check_done, result.check, result.passed, result.actual, result.ms)
        return result

    def _item(self, item: ItemSpec, *, last: bool) -> None:
        started = time.monotonic()
        self.tell(self.tell.recorder.phase, "script")
        self.progress.doing = f"Preparing the script of {item.version}"
        self.transaction.become_script()
        for step in item.steps:
            self._step(step)
        self.progress.step = None
        if last:
            self.progress.doing = "A deferred constraint"
            self.transaction.force_constraints()
        self.progress.doing = f"Taking back control after the script of {item.version}"
        self.transaction.regain()
        self.progress.script_s += time.monotonic() - started
        self.check(checks.of_stage(item.checks, "before commit"))

    def _step(self, step: StepSpec) -> None:
        self.between()
        self.progress.step = step.position
        self.progress.doing = f"Step {step.position} (line {step.line})"
        self.tell(self.tell.recorder.step_started, step.position)
        started = time.perf_counter()
        rows, tag = self.transaction.step(step)
        milliseconds = (time.perf_counter() - started) * 1000
        self.tell.flush()
        self.tell(self.tell.recorder.step_done, step.position, rows, milliseconds, tag)

    def _refuse_orphans(self) -> None:
        if not self.transaction.may_skip_triggers():
            return
        self.progress.doing = "Looking for orphans"
        found = orphans.orphans(self.transaction.connection, self.spec)
        if found:
            raise Stop(Outcome.ROLLED_BACK, " ".join(found))
