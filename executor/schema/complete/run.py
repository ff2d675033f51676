"""Completeness by running: the migration, then the script, statement by statement, and a look after each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from psycopg.errors import Diagnostic

from approvals.analysis.parser import SqlError
from executor.schema.archive import ARCHIVE
from executor.schema.complete.claims import claimed
from executor.schema.complete.measured import Measured, measure
from executor.schema.complete.result import (
    RUN,
    Completeness,
    Fate,
    Finding,
    Role,
    Script,
    ScriptStep,
    StepFinding,
)
from executor.schema.complete.rows import Changes, row_findings, stays
from executor.schema.complete.settings import of_server, settings
from executor.schema.complete.steps import begin, execute
from executor.schema.effects import EXISTS, ORDER, Effect, Key, State, effects, owners, state
from executor.schema.inverse.conversions import conversions
from executor.schema.inverse.from_backup import data_gone
from executor.schema.inverse.rows import row_changes
from executor.schema.objects import Ref, Snapshot
from executor.schema.reading import read, without_server
from executor.schema.reading.said import CREATED, ROWS, Said, written
from executor.schema.scope import without
from executor.schema.shadow import Shadow
from executor.schema.snapshot import snapshot

HISTORY = ("flyway_schema_history",)
_MISSING = object()


@dataclass
class _Moment:
    """The schema after a step, and what was said and seen while it ran."""

    schema: Snapshot
    values: State
    failure: str = ""
    notices: list[str] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    rows: int = 0


def by_running(forward: str, script: Script, shadow: Shadow) -> Completeness:
    """`shadow` stands right before the migration. Raises psycopg.Error where the migration does not apply."""
    before = _look(shadow)
    said = _read(forward)
    measured = measure(forward, script, shadow, before, said)
    shadow.apply(without_server(forward)[0])
    after = _look(shadow)
    changes = row_changes(forward, before, after)
    watched = {each.action.ref for each in changes.deletions}
    run = _Run(shadow, before, after, watched)
    moments = [run.step(step) for step in script.steps]
    shadow.connection.execute("ROLLBACK")
    told = _Told(run, script.steps, moments)
    findings = told.findings(effects(before, after), said)
    back = [
        (step.position, each)
        for step, moment in zip(script.steps, moments, strict=True)
        for each in moment.said
    ]
    findings += settings(said, back)
    gone = data_gone(before, after, conversions(forward, before, after))
    of_rows = Changes(changes, list(gone), back, before, after)
    findings += row_findings(of_rows, told.rows_undone(), measured)
    notes = (*changes.notes, *_with_rows(measured, moments, script))
    again = _not_again(measured, findings)
    return Completeness(RUN, tuple(findings), tuple(told.steps(findings)), "", script.problems, notes, again)


def _not_again(measured: Measured | None, findings: Iterable[Finding]) -> str:
    """Why the migration does not apply again behind the script, where that was seen on rows."""
    if measured is None or measured.because or measured.again is None:
        return ""
    told = measured.again.told(stays(findings))
    return f"Behind this script the migration does not apply again on tables with rows: {told}."


def _with_rows(measured: Measured | None, moments: list[_Moment], script: Script) -> Iterable[str]:
    """What happens only where the tables have rows."""
    if measured is None:
        return
    if measured.because:
        yield f"What becomes of rows was not seen: {measured.because}."
    for step, moment in zip(script.steps, moments, strict=True):
        if step.position in measured.failures and not moment.failure:
            why = measured.failures[step.position]
            yield f"Step {step.position} fails where the tables have rows such as were made here: {why}"


def _look(shadow: Shadow) -> Snapshot:
    return without(snapshot(shadow.connection), schemas=(ARCHIVE,), tables=HISTORY)


def _read(text: str) -> list[Said]:
    try:
        return read(text)
    except SqlError:
        return []


class _Run:
    """Runs the steps in one transaction, each under a savepoint: one that fails does not hide the others."""

    def __init__(self, shadow: Shadow, before: Snapshot, after: Snapshot, watched: set[Ref]) -> None:
        self.shadow = shadow
        self.connection = shadow.connection
        self.before, self.after = before, after
        self.watched = watched
        self.first, self.second = state(before), state(after)
        self.last = _Moment(after, self.second)
        self.notices: list[str] = []
        self.connection.add_notice_handler(self._notice)
        begin(shadow)

    def _notice(self, diagnostic: Diagnostic) -> None:
        self.notices.append(diagnostic.message_primary or "")

    def step(self, step: ScriptStep) -> _Moment:
        """Run one step and look."""
        self.notices.clear()
        said = _read(step.sql)
        if said and all(map(of_server, said)):
            moment = _Moment(self.last.schema, self.last.values, said=said)
        else:
            failure, rows = execute(self.shadow, step)
            quiet = bool(said) and all(each.what == ROWS or each.quiet for each in said)
            schema = self.last.schema if failure or quiet else _look(self.shadow)
            values = self.last.values if schema is self.last.schema else state(schema)
            moment = _Moment(schema, values, failure, list(self.notices), said, rows)
        self.last = moment
        return moment


class _Told:
    """What the states after each step say about effects and steps."""

    def __init__(self, run: _Run, steps: list[ScriptStep], moments: list[_Moment]) -> None:
        self.run = run
        self.all = steps
        self.moments = moments
        self.states = [run.second, *(moment.values for moment in moments)]
        self.undoing: dict[int, list[str]] = {step.position: [] for step in steps}
        self.touched: set[Ref] = set()

    def findings(self, found: list[Effect], said: list[Said]) -> list[Finding]:
        """The fate of each effect."""
        lines = {(each.kind, each.name[:3]): each.line for each in reversed(said)}
        lines |= {("function", each.name[:2]): each.line for each in said if each.kind == "function"}
        made = []
        for effect in found:
            self.touched |= {ref for ref, _ in effect.facets}
            undone = all(self._as_before(self.states[-1], key) for key in effect.facets)
            steps = self._steps(effect) if undone else ()
            key = str(effect)
            for step in steps:
                self.undoing[step].append(key)
            names = [effect.ref, *owners(effect.ref, self.run.after), *owners(effect.ref, self.run.before)]
            keys = ((ref.kind, ref.path[:2] if ref.kind == "function" else ref.path) for ref in names)
            line = next((lines[key] for key in keys if key in lines), None)
            fate, reason = (Fate.UNDONE, "") if undone else (Fate.NOT_UNDONE, self._why(effect))
            if not undone and effect.attribute == ORDER:
                fate, reason = Fate.LEFT, "only the order of columns differs"
            made.append(Finding(key, key, fate, steps, reason, line))
        return made

    def _as_before(self, values: State, key: Key) -> bool:
        return bool(values.get(key, _MISSING) == self.run.first.get(key, _MISSING))

    def _steps(self, effect: Effect) -> tuple[int, ...]:
        """The steps after which each facet was as before, and stayed so."""
        found = set()
        for key in effect.facets:
            for number in range(len(self.states) - 1, 0, -1):
                if not self._as_before(self.states[number - 1], key):
                    found.add(self.all[number - 1].position)
                    break
        return tuple(sorted(found))

    def _why(self, effect: Effect) -> str:
        parts = [key for key in effect.facets if self._as_before(self.states[-1], key)]
        return (
            "only in parts"
            if parts and any(not self._as_before(self.run.second, key) for key in parts)
            else ""
        )

    def rows_undone(self) -> dict[Ref, int]:
        """Watched tables and the step that deleted rows there."""
        found = {}
        for step, moment in zip(self.all, self.moments, strict=True):
            for said in moment.said:
                ref = Ref("table", said.name)
                if said.what == ROWS and moment.rows > 0 and ref in self.run.watched:
                    found[ref] = step.position
        return found

    def steps(self, findings: Iterable[Finding]) -> Iterable[StepFinding]:
        """What each step is good for."""
        for finding in findings:
            for position in finding.steps:
                if position in self.undoing and finding.key not in self.undoing[position]:
                    self.undoing[position].append(finding.key)
        for number, (step, moment) in enumerate(zip(self.all, self.moments, strict=True), start=1):
            undoes = tuple(self.undoing[step.position])
            role, note = self._role(number, moment, undoes)
            yield StepFinding(step.position, step.line, step.sql, role, undoes, note)

    def _role(self, number: int, moment: _Moment, undoes: tuple[str, ...]) -> tuple[Role, str]:
        if moment.failure:
            return Role.FAILS, moment.failure
        foreign = self._foreign(number)
        if undoes:
            return Role.UNDOES, f"it also {foreign}" if foreign else ""
        if foreign:
            return Role.FOREIGN, f"it {foreign}, which the migration did not touch"
        if strange := next((each for each in moment.said if of_server(each)), None):
            return Role.FOREIGN, f"it {strange}, which the migration did not touch"
        if not without_server(self.all[number - 1].sql)[0].strip():
            return Role.HELPS, "the server reads its settings anew"
        if self.states[number - 1] != self.states[number]:
            return Role.HELPS, "it prepares another step"
        # A table that the script wrote anew gets its rows from the old one.
        own = {
            Ref("table", said.name)
            for moment in self.moments[:number]
            for said in moment.said
            if said.what == CREATED and said.kind == "table"
        }
        return claimed(moment.said, self.touched | own) or (Role.NOTHING, "; ".join(moment.notices))

    def _foreign(self, number: int) -> str:
        """What the step changed for good that was no effect of the migration, in words."""
        was, now = self.states[number - 1], self.states[number]
        keys = [key for key in was.keys() | now.keys() if was.get(key, _MISSING) != now.get(key, _MISSING)]
        lasting = [
            key for key in keys if key[0] not in self.touched and not self._as_before(self.states[-1], key)
        ]
        refs = {ref for ref, name in lasting if name != ORDER} or {ref for ref, _ in lasting}
        schema, before = self.moments[number - 1].schema, self.run.after
        words = []
        for ref in sorted(refs):
            if any(up in refs for up in (*owners(ref, schema), *owners(ref, before))):
                continue
            verb = (
                "creates" if (ref, EXISTS) not in was else "drops" if (ref, EXISTS) not in now else "changes"
            )
            words.append(f"{verb} {ref.kind} {written(ref.kind, ref.path)}")
        return ", ".join(words)
