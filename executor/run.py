"""Run one attempt: claim, lock, script, checks, history row and COMMIT in a single transaction; before and
after it the steps that refuse one, each by itself.

Where it may stop, and what that means: until all locks are had nothing ran (no effect), from then on
everything is rolled back, and from COMMIT on only the target knows, so the resolver asks it.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import psycopg

from approvals.flyway.treatment import Treatment
from executor import checks, locks, marker
from executor.alone import Alone, partly, restart_needed
from executor.connect import (
    Connection,
    Endpoint,
    SocketCut,
    connect,
    identity,
    refuse_two_servers,
    refuse_unfit,
)
from executor.ending import PortalFailed, Stop, counted, lasted, said, why
from executor.errors import ExecutorError
from executor.history import HistoryChanged
from executor.line import Line
from executor.progress import At, Progress
from executor.resolve import (
    Attempt,
    Resolution,
    Unanswered,
    Verdict,
    resolve,
    resolve_alone,
    resolve_on,
    session_name,
)
from executor.script import Script
from executor.spec import (
    CheckResult,
    CheckSpec,
    LoneStep,
    Outcome,
    Recorder,
    Restart,
    Result,
    RunSpec,
    StepState,
)
from executor.telling import Telling
from executor.transaction import Transaction
from executor.validate import validate
from executor.watch import Deadline, Watch

PAUSE_S = (0.2, 1.0)
"""Between two tries for the locks: a random time within, so that two waiters don't march in step."""

ENDS = {Outcome.NO_EFFECT: " Nothing was changed.", Outcome.ROLLED_BACK: " Everything was rolled back."}


BackUp = Callable[[str], object]
"""Takes a backup by an exported snapshot, or raises ExecutorError."""


def run(
    spec: RunSpec,
    endpoint: Endpoint,
    recorder: Recorder,
    *,
    back_up: BackUp | None = None,
    line: Line | None = None,
) -> Result:
    """Run `spec` once against `endpoint`, telling `recorder`, and say how it ended. The control connection is
    that of the `line` which the caller has and keeps, or else one of its own.

    `back_up` is called within the transaction, once its locks keep writers out of the plan's tables; what
    others may still read they can read until it has returned.

    Never raises for what target, script or portal do: every such end is a Result. Nothing is repeated in
    here but the try for the locks, before which nothing has happened.
    """
    with Line(lambda: endpoint) if line is None else contextlib.nullcontext(line) as control:
        return _Run(spec, endpoint, recorder, control, back_up).run()


class _Run:
    """One attempt, from its first connection to its result."""

    control: Connection
    transaction: Transaction
    deadline: Deadline
    watch: Watch
    script: Script
    alone: Alone

    def __init__(
        self,
        spec: RunSpec,
        endpoint: Endpoint,
        recorder: Recorder,
        line: Line,
        back_up: BackUp | None = None,
    ) -> None:
        self.spec = spec
        self.line = line
        self.back_up = back_up
        self.endpoint = endpoint
        self.recorder = recorder
        self.tell = Telling(recorder, spec.limits.portal_write_s, endpoint.password)
        self.progress = Progress()
        self.committed = False
        self.restart: Restart | None = None

    def run(self) -> Result:
        try:
            validate(self.spec)
            with contextlib.ExitStack() as stack:
                self._connect(stack)
                try:
                    self._in_order()
                finally:
                    self.progress.locked = self.transaction.locked_at
                    self.progress.released = self.progress.released or time.monotonic()
                    self.progress.observed = self.watch.observed(datetime.now(UTC))
                self._after_commit()
                self._look_for_restart()
        except Stop as stop:
            return self._result(self._partly(stop))
        except (ExecutorError, PortalFailed, psycopg.Error) as error:  # only before BEGIN
            return self._result(self._partly(Stop(Outcome.NO_EFFECT, said(error))))
        return self._succeeded()

    def _connect(self, stack: contextlib.ExitStack) -> None:
        """Control connection first, for cancelling and resolving; then the attempt's own, and who it is."""
        self.tell(self.recorder.phase, "connect")
        self.control = self.line.control()
        session = self.endpoint.named(session_name(self.spec.execution_id))
        # `closing`, because leaving psycopg's own block would commit.
        connection = stack.enter_context(contextlib.closing(connect(session)))
        cuts = [stack.enter_context(SocketCut(each)) for each in (connection, self.control)]
        stack.callback(self._free_line, cuts[1])
        who = identity(connection)
        refuse_unfit(
            who,
            client_pid=connection.info.backend_pid,
            system_identifier=self.spec.expected_system_identifier,
            database_oid=self.spec.database_oid,
        )
        refuse_two_servers(self.control, who)
        if self.spec.marker:
            marker.require(connection)
        self.tell.listen(connection)
        self.transaction = Transaction(connection, self.spec, who)
        self.deadline = stack.enter_context(Deadline(self.spec.limits.client_deadline_s, *cuts))
        self.watch = stack.enter_context(Watch(self.control, who.backend_pid, self.recorder, cuts[0]))
        parts = (self.spec, self.tell, self.progress, self._stop_if_cancelled)
        self.alone = Alone(connection, *parts)
        self.script = Script(self.spec, self.transaction, *parts[1:])

    def _free_line(self, cut: SocketCut) -> None:
        """Whoever asks over the line next must not wait for a watch that hangs on a dead network."""
        if hasattr(self, "watch") and self.watch.hangs:
            cut()

    def _in_order(self) -> None:
        """What runs alone before the transaction, the transaction, and what runs alone after it."""
        if self.spec.alone:
            self._lonely(self.alone.hold)
        self._run_alone(self.spec.before)
        if self.spec.transaction:
            self._until_committed()
            self.committed = True
        self._run_alone(self.spec.after)

    # Steps that run alone

    def _run_alone(self, steps: tuple[LoneStep, ...]) -> None:
        """Run them; after COMMIT each needs its record before it begins as much as before."""
        if not steps:
            return
        if self.transaction.connection.closed:
            raise Stop(Outcome.NO_EFFECT, "The session was lost, so the steps after the transaction wait.")
        self.tell.past_return = False
        self._lonely(lambda: self.alone.run(steps))

    def _lonely(self, do: Callable[[], None]) -> None:
        try:
            do()
        except locks.LockBusy as busy:
            holder = locks.holder(self.control, self.transaction.who.backend_pid, busy)
            held = f"held by {holder}" if holder else "held by somebody else"
            raise Stop(Outcome.NO_EFFECT, f"{busy.what} was {held}.", blocker=holder) from busy
        except (HistoryChanged, PortalFailed, ExecutorError, psycopg.Error) as error:
            if self.transaction.connection.closed:
                self._lost_alone(error)
            raise self._stop_for(error) from error

    def _lost_alone(self, error: Exception) -> None:
        """The session is gone: the target says which steps are done, and lets none of the others begin."""
        self.watch.stop()
        what = self._loss()
        try:
            if self.spec.transaction and not self.committed:
                resolution = resolve(self.endpoint, Attempt.of(self.spec, None))
                if resolution.verdict is Verdict.UNKNOWN:
                    raise Unanswered(resolution.sentence)
            found = resolve_alone(
                self.endpoint, self.spec, None, self.alone.before, answered=self.alone.answered
            )
        except Unanswered as unanswered:
            raise Stop(Outcome.UNRESOLVED, f"{what} {unanswered}") from error
        for each in found:
            self.alone.found[each.position] = each
            if each.state is not StepState.PENDING:
                self.tell(self.recorder.settled, each)
        state = error.sqlstate if isinstance(error, psycopg.Error) else None
        raise Stop(Outcome.NO_EFFECT, what, failed_step=self.progress.step, sqlstate=state) from error

    def _partly(self, stop: Stop) -> Stop:
        found = self.alone.found if hasattr(self, "alone") else {}
        return partly(stop, found, committed=self.committed)

    # From BEGIN to COMMIT

    def _until_committed(self) -> None:
        """Everything in the transaction. Returns only if it has committed; raises Stop otherwise."""
        try:
            self._lock()
            self.progress.at = At.SCRIPT
            self.progress.doing = "Recording the backend"
            self.progress.backend = self.transaction.backend()
            self.tell(self.recorder.backend, self.progress.backend)
            self.script.run()
            self._commit()
        except Stop as stop:
            self._give_back(stop)
            raise
        except (HistoryChanged, PortalFailed, ExecutorError, psycopg.Error) as error:
            if self.transaction.connection.closed:
                self._lost(error)
                return
            ending = self._stop_for(error)
            self._give_back(ending)
            raise ending from error

    def _lock(self) -> None:
        """Try for all locks, in a transaction of its own each time, until the lock phase is over."""
        self.tell(self.recorder.phase, "lock")
        self.progress.locks_wanted = time.monotonic()
        until = self.progress.locks_wanted + self.spec.limits.lock_phase_s
        while True:
            self._stop_if_cancelled()
            self.progress.lock_tries += 1
            self.watch.forget()
            try:
                self.transaction.begin(readers_in=self.back_up is not None)
            except locks.LockBusy as busy:
                self._wait(busy, until)
            else:
                if self.back_up is not None:
                    self._back_up(self.back_up)
                self.progress.locks_had = time.monotonic()
                return

    def _back_up(self, back_up: BackUp) -> None:
        """The backup, while our locks keep writers out; then the locks of the plan, without letting go of
        these: who only reads there ends by itself."""
        self.progress.doing = "The backup within the transaction"
        self.tell(self.recorder.log, "info", "Writers wait from here on; the backup is taken meanwhile.")
        with self.transaction.unhurried() as snapshot:
            back_up(snapshot)
        self.progress.doing = "The locks after the backup"
        until = time.monotonic() + self.spec.limits.lock_phase_s
        while True:
            self._stop_if_cancelled()
            self.progress.lock_tries += 1
            try:
                self.transaction.take_all()
            except locks.LockBusy as busy:
                self._wait(busy, until, keep=True)
            else:
                return

    def _wait(self, busy: locks.LockBusy, until: float, *, keep: bool = False) -> None:
        """Somebody holds what we need: let go of all (but what we `keep`), say who, and pause; raises Stop
        when time is up."""
        pid = self.transaction.who.backend_pid
        blocker = locks.holder(self.control, pid, busy) or self.watch.blocker
        if not keep:
            self.transaction.rollback()
            self.transaction.locked_at = None
        if blocker and blocker.application == session_name(self.spec.execution_id):
            raise Stop(Outcome.UNRESOLVED, "This very execution runs already, over another connection.")
        held = f"held by {blocker}" if blocker else "held by somebody who has let go since"
        tries = f"{self.progress.lock_tries} tries"
        pause = random.uniform(*PAUSE_S)  # noqa: S311 (jitter, no secret)
        if time.monotonic() + pause > until:
            waited = time.monotonic() - (self.progress.locks_wanted or 0.0)
            sentence = f"After {waited:.0f} s and {tries}, {busy.what} was still {held}."
            raise Stop(Outcome.NO_EFFECT, sentence, blocker=blocker)
        self.tell.line("warning", f"Not granted in time: {busy.what}, {held} ({tries}). Trying again.")
        time.sleep(pause)

    def _commit(self) -> None:
        """The portal first, then COMMIT; whoever cancels from here on comes too late."""
        self.tell(self.recorder.phase, "commit")
        self.progress.doing = "COMMIT"
        self.watch.sample()
        self.tell(self.recorder.committing)
        if not self.watch.point_of_no_return():
            self._stop_if_cancelled()
        self.tell.past_return = True
        self.progress.at = At.COMMIT
        started = time.monotonic()
        self.transaction.commit()
        self.watch.answered()
        self.progress.released = time.monotonic()
        self.progress.commit_s = self.progress.released - started

    # After COMMIT

    def _after_commit(self) -> None:
        """The checks of that stage, all of them: what is committed stays, so people need to know it all."""
        wanted = checks.of_stage(self.spec.checks, "after commit")
        if not wanted:
            return
        self.tell(self.recorder.phase, "after commit")
        try:
            results = self._evaluate_after(wanted)
        except (ExecutorError, psycopg.Error) as error:
            sentence = f"Committed, but the checks after it could not all be evaluated: {said(error)}."
            raise Stop(Outcome.COMMITTED_CHECK_FAILED, sentence) from error
        failed = [result for result in results if not result.passed]
        if failed:
            sentence = "Committed, and stays so. " + " ".join(map(checks.failed, failed))
            raise Stop(Outcome.COMMITTED_CHECK_FAILED, sentence, failed_check=failed[0].check)

    def _evaluate_after(self, wanted: list[CheckSpec]) -> list[CheckResult]:
        connection = self.transaction.connection
        with contextlib.ExitStack() as stack:
            if connection.closed:  # lost at COMMIT, and found committed
                connection = stack.enter_context(contextlib.closing(connect(self.endpoint)))
            connection.execute("DISCARD ALL")  # temporary tables and settings of the script
            return [self.script.note(result) for result in checks.after(connection, self.spec, wanted)]

    def _look_for_restart(self) -> None:
        """Which of the script's settings wait for a restart; asked anew, because a session knows the files
        only as it has read them."""
        if not self.spec.parameters:
            self.restart = Restart(self.transaction.who.postmaster_start)
            return
        try:
            with contextlib.closing(connect(self.endpoint)) as connection:
                self.restart = restart_needed(connection, self.spec)
        except (ExecutorError, psycopg.Error) as error:
            sentence = f"All of it ran, but whether a restart is needed could not be asked: {said(error)}."
            raise Stop(Outcome.COMMITTED_CHECK_FAILED, sentence) from error

    # Ends

    def _stop_if_cancelled(self) -> None:
        if self.watch.cancel_requested:
            outcome = Outcome.NO_EFFECT if self.progress.at is At.LOCKING else Outcome.ROLLED_BACK
            raise Stop(outcome, "It was cancelled on request.", failed_step=self.progress.step)

    def _give_back(self, stop: Stop) -> None:
        """Roll back on the server; if that can't be told any more, the resolver has to see to it."""
        try:
            self.transaction.rollback()
        except psycopg.Error as error:
            if stop.outcome is Outcome.ROLLED_BACK:
                self._lost(error)

    def _stop_for(self, error: Exception) -> Stop:
        """The end that an error means, on a connection that still answers."""
        progress = self.progress
        locking = progress.at is At.LOCKING and not isinstance(error, HistoryChanged)
        outcome = Outcome.NO_EFFECT if locking else Outcome.ROLLED_BACK
        if self.watch.cancel_requested:
            return Stop(outcome, "It was cancelled on request.", failed_step=progress.step)
        if not isinstance(error, psycopg.Error):
            return Stop(outcome, str(error), failed_step=progress.step)
        blocker = self.watch.blocker if isinstance(error, psycopg.OperationalError) else None
        sentence = f"{progress.doing} failed: {why(error, blocker)}."
        return Stop(outcome, sentence, failed_step=progress.step, sqlstate=error.sqlstate, blocker=blocker)

    def _lost(self, error: Exception) -> None:
        """The connection is gone. Returns if the resolver finds that it committed all the same."""
        resolution = self._resolve()
        sentence = f"{self._loss()} {resolution.sentence}"
        at = self.progress.at
        if resolution.verdict is Verdict.COMMITTED:
            if at is At.COMMIT:
                self.tell.line("warning", sentence)
                return
            raise Stop(Outcome.PARTIAL, f"{sentence} The script must have ended the transaction by itself.")
        outcome = Outcome.ROLLED_BACK
        if at is At.LOCKING:
            outcome = Outcome.NO_EFFECT  # COMMIT was never sent
        elif resolution.verdict is Verdict.UNKNOWN:
            outcome = Outcome.UNRESOLVED
        state = error.sqlstate if isinstance(error, psycopg.Error) else None
        raise Stop(outcome, sentence, failed_step=self.progress.step, sqlstate=state) from error

    def _loss(self) -> str:
        if self.watch.cancel_requested:
            return "It was cancelled on request, and its backend was ended."
        what = "The deadline passed" if self.deadline.expired else "The connection was lost"
        return f"{what} during: {self.progress.doing}."

    def _resolve(self) -> Resolution:
        """Ask over the control connection, which is there already; else over a new one."""
        self.watch.stop()
        attempt = Attempt.of(self.spec, self.progress.backend)
        if not self.control.closed and not self.deadline.expired:
            resolution = resolve_on(self.control, attempt)
            if resolution.verdict is not Verdict.UNKNOWN:
                return resolution
        return resolve(self.endpoint, attempt)

    def _succeeded(self) -> Result:
        waiting = checks.of_stage(self.spec.checks, "after restart")
        settings = self.restart.settings if self.restart else ()
        sentence = " ".join(self._what_was_done())
        if settings:
            names = ", ".join(name for name, _, _ in settings)
            sentence += f" In force only after a restart of the server: {names}."
        if waiting:
            sentence += f" Still to be asked after a restart of the server: {counted(len(waiting), 'check')}."
        waits = bool(waiting or settings)
        return self._result(Stop(Outcome.AWAITING_RESTART if waits else Outcome.SUCCEEDED, sentence))

    def _what_was_done(self) -> Iterator[str]:
        spec, timings = self.spec, self.progress.timings()
        if spec.transaction:
            versions = ", ".join(f"V{item.version}" for item in spec.items)
            passed = sum(result.passed for result in self.progress.results)
            steps, rows = counted(len(spec.steps), "statement"), counted(len(spec.items), "history row")
            rows += " deleted" if spec.history_treatment is Treatment.DELETE else " marked as deleted"
            yield (
                f"Committed: {versions} undone by {steps} in {lasted(timings.script_s)}, "
                f"{counted(passed, 'check')} passed, {rows}, locks held for {lasted(timings.lock_held_s)}."
            )
        states = [found.state for found in self.alone.found.values()]
        for state, word in ((StepState.DONE, "done"), (StepState.UNDONE, "taken back")):
            if count := states.count(state):
                yield f"{counted(count, 'step')} ran alone: {word}."

    def _result(self, stop: Stop) -> Result:
        return Result(
            outcome=stop.outcome,
            sentence=stop.sentence + ENDS.get(stop.outcome, ""),
            failed_step=stop.failed_step,
            failed_check=stop.failed_check,
            sqlstate=stop.sqlstate,
            blocker=stop.blocker,
            checks=tuple(self.progress.results),
            locks=self.progress.observed,
            timings=self.progress.timings(),
            backend=self.progress.backend,
            restart=self.restart,
            committed=self.committed,
        )
