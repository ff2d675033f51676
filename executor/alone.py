"""Run the steps that refuse a transaction: one statement each, claimed on the target and in the portal first.

All of them run in one session, which is never opened a second time: whoever ends that session and lays
tombstones under the steps' claims knows that nothing more comes of them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg

from executor import history, locks, marker
from executor.connect import Answer, Connection, execute_one, one, set_session
from executor.ending import Stop, counted, why
from executor.looking import Look, Looker, Standing
from executor.looks import RELOAD, looker
from executor.progress import Progress
from executor.spec import LoneFound, LoneStep, Outcome, Restart, RunSpec, StepState
from executor.telling import Telling
from executor.transaction import settings_of

ENDED = (StepState.DONE, StepState.UNDONE)
PAUSE_S = (0.2, 1.0)
"""Between two short tries for a lock: a random time within, so that two waiters don't march in step."""
RELOADED_S = 10.0
"""The server reads its files in its own time after pg_reload_conf() has answered."""


class Alone:
    """Steps that run alone, on the session of the attempt. Raises Stop at the first that isn't as planned."""

    def __init__(
        self,
        connection: Connection,
        spec: RunSpec,
        tell: Telling,
        progress: Progress,
        between: Callable[[], None],
    ) -> None:
        self.connection = connection
        self.spec = spec
        self.tell = tell
        self.progress = progress
        self.between = between
        self.before: dict[int, Mapping[str, Any]] = {}
        self.found: dict[int, LoneFound] = {}

    @property
    def answered(self) -> list[int]:
        """The positions of the steps that the server has done, as it was asked right behind each."""
        return [position for position, each in self.found.items() if each.state in ENDED]

    def hold(self) -> None:
        """Be the only execution on this database while the session lasts, and keep Flyway out. Raises
        LockBusy where somebody else is there, HistoryChanged."""
        set_session(self.connection, lone_settings(self.spec, self.connection.info.server_version))
        locks.take_advisory(self.connection, self.spec, session=True)
        if self.spec.transaction:
            history.require_pins(self.connection, self.spec)

    def run(self, steps: Sequence[LoneStep]) -> None:
        """Run the steps in their order. Raises Stop, psycopg.Error where the connection is lost."""
        if not steps:
            return
        self.tell(self.tell.recorder.phase, "alone")
        for step in steps:
            self.between()
            self.progress.step, self.progress.doing = step.position, f"Step {step.position}"
            self._step(step)
        self.progress.step = None
        self.connection.execute("RESET ROLE; RESET ALL")

    def _step(self, step: LoneStep) -> None:
        asks = looker(step.sql)
        become(self.connection, self.spec, asks)
        before = step.before if step.before is not None else asks.before(self.connection)
        self.before[step.position] = before
        if step.before is not None and (found := self._already(step, asks, before)):
            self._settle(found)
            return
        self.tell(self.tell.recorder.claimed, step.position, dict(before), asks.undo(before))
        self._claim(step)
        become(self.connection, self.spec, asks)
        started = time.perf_counter()
        try:
            tag = self._send(step, asks, before)
        except psycopg.Error as error:
            if self.connection.closed:
                raise
            self._failed(step, asks, before, error)
        milliseconds = (time.perf_counter() - started) * 1000
        self.tell.flush()
        if step.statements[-1] == RELOAD:
            self._await_reload(asks, before)
        found = reading(step, asks.look(self.connection, before), answered=asks.repeatable)
        self._settle(found, milliseconds, tag)
        if found.state not in ENDED:
            raise self._stop(step, f"was answered with {tag}, but the target says otherwise: {found.says}")

    def _already(self, step: LoneStep, asks: Looker, before: Mapping[str, Any]) -> LoneFound | None:
        """How a step stands that needs no statement any more. Raises Stop where nobody knows."""
        look = asks.look(self.connection, before)
        if look.standing is Standing.OTHER:
            self._settle(reading(step, look))
            raise self._stop(
                step, f"was not begun: the target is neither as before nor as planned. {look.says}"
            )
        wanted = Standing.BEFORE if step.back else Standing.DONE
        return reading(step, look) if look.standing is wanted and not asks.repeatable else None

    def _claim(self, step: LoneStep) -> None:
        self.connection.execute("RESET ROLE")  # the right to claim is the executor's own
        try:
            marker.claim(self.connection, step.claim, self.spec.request_digest)
        except psycopg.errors.UniqueViolation:
            raise self._stop(
                step,
                "did not run: its claim is on the target already, so this late attempt may not go on.",
            ) from None

    def _send(self, step: LoneStep, asks: Looker, before: Mapping[str, Any]) -> str:
        tag = ""
        for statement in step.statements:
            first = statement == step.sql
            send = partial(execute_one, self.connection)
            if asks.crowds if first else asks.crowds_after:
                left = partial(self._left, asks, before) if first else tuple
                send = partial(self._in_short_tries, left)
            tag = send(statement).tag
        if not step.back and step.tags and tag not in step.tags:
            planned = " or ".join(step.tags)
            raise self._stop(step, f"was answered with {tag}, planned was {planned}.")
        return tag

    def _in_short_tries(self, left: Callable[[], Sequence[str]], statement: str) -> Answer:
        """Send what takes a lock behind which readers queue up: a try ends before anybody notices. Where it
        has done a part by then, as one partition of several, the next tries are for what is `left`."""
        limits = self.spec.limits
        until = time.monotonic() + limits.lock_phase_s
        waiting = [statement]
        while True:
            self.between()
            set_session(self.connection, {"lock_timeout": f"{limits.lock_timeout_ms}ms"})
            try:
                answer = execute_one(self.connection, waiting[0])
            except psycopg.errors.LockNotAvailable:
                pause = random.uniform(*PAUSE_S)  # noqa: S311 (jitter, no secret)
                if time.monotonic() + pause > until:
                    raise
                waiting = list(left()) or waiting
                time.sleep(pause)
            else:
                del waiting[0]
                if not waiting:
                    return answer

    def _left(self, asks: Looker, before: Mapping[str, Any]) -> Sequence[str]:
        return asks.look(self.connection, before).leftover

    def _failed(self, step: LoneStep, asks: Looker, before: Mapping[str, Any], error: psycopg.Error) -> None:
        """The server refused or cancelled it; what it has left behind decides how far it came."""
        self.connection.execute("RESET default_tablespace")
        found = reading(step, asks.look(self.connection, before))
        if found.state is StepState.DONE and asks.was_so(before):
            found = replace(found, state=StepState.FAILED)
        self._settle(found)
        said = f"failed: {why(error, None)}. {found.says}"
        raise self._stop(step, said, sqlstate=error.sqlstate) from error

    def _await_reload(self, asks: Looker, before: Mapping[str, Any]) -> None:
        until = time.monotonic() + RELOADED_S
        while asks.look(self.connection, before).standing is not Standing.DONE and time.monotonic() < until:
            time.sleep(0.05)

    def _settle(self, found: LoneFound, milliseconds: float | None = None, tag: str = "") -> None:
        self.found[found.position] = found
        self.tell(self.tell.recorder.settled, found, milliseconds, tag)

    def _stop(self, step: LoneStep, said: str, *, sqlstate: str | None = None) -> Stop:
        return Stop(
            Outcome.NO_EFFECT, f"Step {step.position} {said}", failed_step=step.position, sqlstate=sqlstate
        )


def become(connection: Connection, spec: RunSpec, asks: Looker) -> None:
    """The owner makes the objects and sees the schemas; the settings of the server are the executor's."""
    connection.execute("RESET ROLE; RESET ALL")
    settings = lone_settings(spec, connection.info.server_version)
    if asks.as_owner and spec.owner_role is not None:
        settings["role"] = spec.owner_role
    set_session(connection, settings)


def lone_settings(spec: RunSpec, version: int) -> dict[str, str]:
    """What is set while steps run alone. They wait long for others without keeping anybody waiting: what runs
    CONCURRENTLY holds no lock that stops readers or writers."""
    settings = settings_of(spec, version)
    settings.pop("transaction_timeout", None)
    return settings | {
        "lock_timeout": f"{int(spec.limits.lock_phase_s * 1000)}ms",
        "client_connection_check_interval": "1s",
    }


def reading(step: LoneStep, look: Look, *, answered: bool = False) -> LoneFound:
    """What a look means for a step that has begun. `answered`: the server said that it did it, and doing it
    leaves nothing to look at."""
    wanted, other = Standing.DONE, Standing.BEFORE
    done = StepState.DONE
    if step.back:
        wanted, other, done = other, wanted, StepState.UNDONE
    state = StepState.UNKNOWN
    if look.standing is wanted or (answered and look.standing is not Standing.BROKEN):
        state = done
    elif look.standing in (other, Standing.BROKEN):
        state = StepState.FAILED
    return LoneFound(position=step.position, state=state, says=look.says, leftover=look.leftover)


def look_again(
    connection: Connection,
    spec: RunSpec,
    before: Mapping[int, Mapping[str, Any]],
    end_sessions: Callable[[], None],
    *,
    answered: Collection[int] = (),
) -> list[LoneFound]:
    """How every step that runs alone stands, asked after its session is gone.

    Tombstones first, so that nothing new begins; then whatever got in before them is ended (`end_sessions`);
    then the target is asked. `before` is what was recorded before each step began; `answered` are those of
    which it was recorded that the server had done them: where the claim of one of these is gone, and what it
    did with it, nobody here knows why. Raises psycopg.Error.
    """
    for step in spec.alone:
        marker.tombstone(connection, step.claim, spec.request_digest)
    end_sessions()
    return [
        _looked(connection, spec, step, before.get(step.position), answered=step.position in answered)
        for step in spec.alone
    ]


def _looked(
    connection: Connection,
    spec: RunSpec,
    step: LoneStep,
    before: Mapping[str, Any] | None,
    *,
    answered: bool,
) -> LoneFound:
    connection.execute("RESET ROLE")
    row = marker.read(connection, step.claim)
    begun = row is not None and row.kind == "claim"
    if not begun and not answered:
        says = "It had not begun, and a tombstone keeps it from beginning."
        return LoneFound(position=step.position, state=StepState.PENDING, says=says)
    if before is None:
        says = "It had begun, and nobody knows what was there before it."
        return LoneFound(position=step.position, state=StepState.UNKNOWN, says=says)
    asks = looker(step.sql)
    become(connection, spec, asks)
    look = asks.look(connection, before)
    if begun:
        return reading(step, look, answered=answered and asks.repeatable)
    found = reading(step, look)
    says = f"It was done by our record, and its claim is not here: a failover or a restore. {look.says}"
    return replace(found, says=says, state=found.state if found.state in ENDED else StepState.UNKNOWN)


def restart_needed(connection: Connection, spec: RunSpec) -> Restart:
    """Which parameters of the plan wait for a restart of the server. On a session that is younger than the
    last reload, or has read it since. Raises psycopg.Error."""
    started = one(connection, "SELECT pg_postmaster_start_time()")[0]
    if not spec.parameters:
        return Restart(started)
    rows = connection.execute(
        """SELECT name, current_setting(name), coalesce((
                  SELECT setting FROM pg_file_settings f WHERE lower(f.name) = s.name
                   ORDER BY seqno DESC LIMIT 1), boot_val)
             FROM pg_settings s WHERE pending_restart AND name = ANY (%s) ORDER BY name""",
        (list(spec.parameters),),
    ).fetchall()
    return Restart(started, tuple((row[0], row[1], row[2]) for row in rows))


def partly(stop: Stop, found: Mapping[int, LoneFound], *, committed: bool) -> Stop:
    """The same end, told as it is where some steps had run by then and stay."""
    done = [position for position, each in found.items() if each.state in ENDED]
    rests = [each for each in found.values() if each.leftover or each.state is StepState.UNKNOWN]
    if stop.outcome not in (Outcome.NO_EFFECT, Outcome.ROLLED_BACK) or not (done or rests or committed):
        return stop
    stop.sentence = f"{stop.sentence} {_stays(done, rests, committed=committed)}"
    stop.outcome = Outcome.PARTIAL
    return stop


def _stays(done: list[int], rests: list[LoneFound], *, committed: bool) -> str:
    words = []
    if committed:
        words.append("The transaction is committed.")
    if done:
        words.append(f"{counted(len(done), 'step')} ran alone and stay: {', '.join(map(str, sorted(done)))}.")
    words += [f"Step {each.position}: {each.says}" for each in rests]
    return " ".join(words)
