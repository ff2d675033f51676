"""Run the chains: for every step the human and the generated way back, judged by pg_dump."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import psycopg

from benchmarks.inverse import rows
from benchmarks.inverse.chains import Step
from benchmarks.inverse.result import Result
from benchmarks.inverse.spent import Spent
from executor.schema.again import Stays, not_again
from executor.schema.dump import EXACT, dump, verdict
from executor.schema.inverse import Inverse, Options, undo
from executor.schema.inverse.options import APPEND, LEAVE, NEUTRAL
from executor.schema.loss import Loss, measure
from executor.schema.names import dotted
from executor.schema.objects import Ref, Snapshot
from executor.schema.replay import where
from executor.schema.shadow import Shadow
from executor.schema.sizes import sizes
from executor.schema.snapshot import snapshot

ERROR, REFUSED = "error", "refused"
TAKE_ROWS = ("DELETE DATA", "TRUNCATE", "MERGE DATA")
Prints = dict[Ref, tuple[int, str]]


class Chain:
    """One chain on one shadow."""

    def __init__(
        self, server: str, spent: Spent, *, human: bool = True, with_rows: bool = False, large: bool = False
    ) -> None:
        self.server, self.spent, self.large = server, spent, large
        self.human = human
        self.with_rows = with_rows
        self.shadow = Shadow(server)
        self.applied: list[str] = []
        self.prints: Prints = {}
        self.before: Snapshot = snapshot(self.shadow.connection)
        self.dump = dump(self.shadow.dsn)

    def close(self) -> None:
        """Drop the shadow."""
        self.shadow.drop()

    def step(self, step: Step) -> Result:
        """Apply one step and try both ways back; the shadow stands behind the step afterwards."""
        result = Result(step.chain, step.version, step.name)
        started, served = time.perf_counter(), self.spent.seconds
        try:
            self._step(step, result)
        finally:
            result.seconds = time.perf_counter() - started
            result.server_seconds = self.spent.seconds - served
        return result

    def _step(self, step: Step, result: Result) -> None:
        forward = step.sql()
        if not self._apply(forward, result):
            return
        result.applied = True
        try:
            self._ways_back(step, forward, result)
        except Exception as error:  # noqa: BLE001 (a step must not end the run; it is counted as an error)
            result.generated_verdict = result.generated_exact_verdict = ERROR
            result.reason = f"{type(error).__name__}: {error}"
            result.detail["traceback"] = traceback.format_exc()
            self.applied.append(forward)
            self._begin_again()

    def _apply(self, forward: str, result: Result) -> bool:
        """Apply the migration; where rows that were put there don't let it, without them."""
        for populated in (True, False) if self.with_rows else (False,):
            if populated:
                result.rows = rows.populate(self.shadow.connection, self.before)
            elif result.rows is not None:
                result.rows = (0, result.rows[1])
            if self.with_rows:
                self.prints = rows.fingerprints(self.shadow.connection, self.before)
            try:
                self.shadow.apply(forward)
                result.apply_error = None
                return True
            except psycopg.Error as error:
                line, column = where(self.shadow, forward, error)
                message = f"{error.sqlstate}: {str(error).splitlines()[0]}"
                result.apply_error = f"line {line}, column {column}: {message}"
                self._begin_again()
        return False

    def _ways_back(self, step: Step, forward: str, result: Result) -> None:
        after = snapshot(self.shadow.connection)
        started = time.perf_counter()
        served = self.spent.seconds
        # The shadow stands for the target here, so its sizes are those that decide.
        cheap = self._undo(after, forward, Options(fill_default=NEUTRAL, **self._cheap()))
        exact = cheap
        if any(choice.taken in (APPEND, LEAVE) for choice in cheap.choices):
            exact = self._undo(after, forward, Options.exact(fill_default=NEUTRAL))
        result.derive_seconds = time.perf_counter() - started
        result.derive_server_seconds = self.spent.seconds - served
        kept = rows.fingerprints(self.shadow.connection, after) if self.with_rows else {}
        result.data_loss = bool(cheap.losses)
        losses = self._count(exact, result) if self.with_rows else ()
        result.retried = max(cheap.retried, exact.retried)
        back = step.back_sql()
        if self.human and back is not None:
            result.human_verdict = self._elsewhere(back)[0]
        result.detail["script"] = exact.script
        if exact is not cheap and cheap.gaps:
            result.generated_verdict = REFUSED
        elif exact is not cheap:
            word, detail = self._elsewhere(cheap.script)
            result.generated_verdict = word
            result.detail["cheap"] = detail
            result.detail["cheap script"] = cheap.script
        if exact.gaps:
            result.generated_exact_verdict = REFUSED
            result.generated_verdict = result.generated_verdict or REFUSED
            result.reason = "; ".join(exact.gaps)
            self.applied.append(forward)
            self.before, self.dump = after, dump(self.shadow.dsn)
            return
        word, detail = self._here(exact, forward, result, after, (kept, losses))
        result.generated_exact_verdict = word
        if exact is cheap:
            result.generated_verdict = word
        if word != EXACT:
            result.reason = detail
            result.detail["exact"] = detail
        self.applied.append(forward)
        if word == EXACT and result.forward_again:
            self.before = snapshot(self.shadow.connection)
            self.dump = dump(self.shadow.dsn)
        else:
            self._begin_again()

    def _undo(self, after: Snapshot, forward: str, options: Options) -> Inverse:
        return undo(self.shadow.connection, self.before, after, options, forward=forward)

    def _cheap(self) -> dict[str, Any]:
        if self.large:
            return {"column_order": APPEND}
        return {"sizes": sizes(self.shadow.connection)}

    def _count(self, inverse: Inverse, result: Result) -> tuple[Loss, ...]:
        """What the data plan announces on tables with rows."""
        losses = measure(self.shadow.connection, inverse.goes)
        result.announced = {str(loss.lost): loss.count for loss in losses if not loss.nothing}
        result.data_loss = bool(result.announced)
        return losses

    def _elsewhere(self, script: str) -> tuple[str, str]:
        """Run a way back on a copy."""
        copy = self.shadow.copy()
        try:
            copy.apply(script)
            found = verdict(self.dump, dump(copy.dsn))
            return found.word, found.difference
        except psycopg.Error as error:
            return ERROR, f"{error.sqlstate}: {error}"
        finally:
            copy.drop()

    def _here(
        self,
        inverse: Inverse,
        forward: str,
        result: Result,
        after: Snapshot,
        stood: tuple[Prints, tuple[Loss, ...]],
    ) -> tuple[str, str]:
        """Run the generated way back on the shadow itself, and the migration again. `stood` is what the rows
        were behind the migration, and what was announced then."""
        kept, losses = stood
        try:
            self.shadow.apply(inverse.script)
        except psycopg.Error as error:
            return ERROR, f"{error.sqlstate}: {error}"
        found = verdict(self.dump, dump(self.shadow.dsn))
        if self.with_rows:
            back = snapshot(self.shadow.connection)
            prints = (self.prints, kept, rows.fingerprints(self.shadow.connection, back))
            taken = {each.relation for each in inverse.from_backup if each.change in TAKE_ROWS}
            added = {dotted(each.relation) for each in inverse.losses if each.condition}
            result.lost = list(rows.lost(self.before, after, prints, taken & added))
            result.unannounced = list(rows.unannounced(self.before, after, back, prints, inverse.losses))
            result.kept = list(rows.kept_though_announced(self.before, after, prints[1:], losses))
        try:
            self.shadow.apply(forward)
            result.forward_again = True
        except psycopg.Error as error:
            result.forward_again = False
            refused, stays = not_again(self.shadow, forward, error), [*map(Stays.of, inverse.from_backup)]
            result.again_because = list(refused.causes(stays))
            result.detail["forward again"] = refused.told(stays)
        return found.word, found.difference

    def _begin_again(self) -> None:
        """A new shadow with all that applied so far."""
        self.shadow.drop()
        self.shadow = Shadow(self.server)
        for text in self.applied:
            self.shadow.apply(text)
        self.before = snapshot(self.shadow.connection)
        self.dump = dump(self.shadow.dsn)


def run(
    server: str, steps: list[Step], *, human: bool = True, with_rows: bool = False, large: bool = False
) -> Iterator[Result]:
    """All steps, chain by chain. `large`: as if every table were too large to be written anew cheaply."""
    with Spent().measured() as spent:
        for _, chain in groupby(steps, key=lambda step: step.chain):
            runs = Chain(server, spent, human=human, with_rows=with_rows, large=large)
            try:
                for step in chain:
                    yield runs.step(step)
            finally:
                runs.close()
