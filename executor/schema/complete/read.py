"""Completeness by reading, where the migration can't run: its statements against those of the script."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from approvals.analysis.parser import SqlError
from executor.schema.complete.claims import KEEPS, TAKES_BACK, keeps
from executor.schema.complete.result import READ, Completeness, Fate, Finding, Role, Script, StepFinding
from executor.schema.complete.settings import of_server, settings
from executor.schema.reading import read
from executor.schema.reading.said import (
    CHANGED,
    CREATED,
    DROPPED,
    NOTHING,
    PARTS,
    RENAMED,
    ROWS,
    UNREADABLE,
    Said,
)


def by_reading(forward: str, script: Script, because: str) -> Completeness:
    """Hold the texts against each other. A migration that does not parse yields one finding that blocks."""
    try:
        said = read(forward)
    except SqlError as error:
        text = f"the migration can't be read: {error.message}"
        finding = Finding("unreadable", text, Fate.NOT_UNDONE, measured=False)
        return Completeness(READ, (finding,), (), because, script.problems)
    back = [(step.position, each) for step in script.steps for each in _read(step.sql)]
    lasting = net(said)
    findings = [_finding(effect, back) for effect in lasting]
    findings += settings(said, back)
    steps = tuple(_steps(script, back, findings, lasting))
    return Completeness(READ, tuple(findings), steps, because, script.problems)


def _read(sql: str) -> list[Said]:
    try:
        return read(sql)
    except SqlError as error:
        return [Said(UNREADABLE, "", (), 1, 1, 1, attribute=error.message)]


def net(said: Iterable[Said]) -> list[Said]:
    """The effects that are left when the file is through: without what it made and dropped itself, and with
    what it made under the last name; changes of what it made belong to that."""
    found: list[Said] = []
    for each in said:
        if each.what == NOTHING or of_server(each):
            continue
        own = _own(found, each)
        if own is None:
            if _gives_back(found, each):
                continue
            found.append(each)
        elif each.what == DROPPED and (own.kind, own.name) == (each.kind, each.name):
            found.remove(own)
        elif each.what == RENAMED and (own.kind, own.name) == (each.kind, each.name):
            found[found.index(own)] = replace(own, name=each.renamed)
    return list(dict.fromkeys(found))


def _own(found: list[Said], each: Said) -> Said | None:
    """What the file itself made before and this belongs to."""
    for other in found:
        if other.what != CREATED or other.maybe == "OR REPLACE":
            continue
        same = other.kind == each.kind and other.name == each.name
        part = other.kind in ("table", "view", "materialized view") and (
            (each.kind in PARTS or each.kind == "index") and each.relation == other.name
        )
        column = other.kind == "column" and each.kind == "column" and each.name == other.name
        schema = other.kind == "schema" and each.name[:1] == other.name
        if same or part or column or schema:
            if each.what == CREATED and same:
                continue
            return other
    return None


def _gives_back(found: list[Said], each: Said) -> bool:
    """A constraint that is dropped and added again is changed."""
    if each.what != CREATED:
        return False
    for number, other in enumerate(found):
        if other.what == DROPPED and (other.kind, other.name) == (each.kind, each.name):
            found[number] = replace(each, what=CHANGED, attribute="definition", maybe="")
            return True
    return False


def _finding(effect: Said, back: list[tuple[int, Said]]) -> Finding:
    steps = tuple(dict.fromkeys(step for step, each in back if takes_back(each, effect)))
    fate = Fate.UNDONE if steps else Fate.NOT_UNDONE
    reason = ""
    if effect.what == UNREADABLE:
        fate, reason = Fate.NOT_UNDONE, "what it did can't be told without running it"
    elif not steps and (other := _other_kind(effect, back)):
        reason = f"step {other[0]} drops a {other[1].kind} of that name"
    elif effect.maybe:
        reason = f"{effect.maybe}: whether it did anything there can't be read"
    return Finding(str(effect), str(effect), fate, steps, reason, effect.line, measured=False)


def _other_kind(effect: Said, back: list[tuple[int, Said]]) -> tuple[int, Said] | None:
    for step, each in back:
        if (
            effect.what == CREATED
            and each.what == DROPPED
            and each.name == effect.name
            and each.kind != effect.kind
        ):
            return step, each
    return None


def takes_back(back: Said, effect: Said) -> bool:
    """Whether a statement of the script takes an effect of the migration back."""
    if effect.what == ROWS:
        fits = back.what == ROWS and back.attribute in TAKES_BACK.get(effect.attribute, ())
        return fits and back.name == effect.name
    if effect.what == RENAMED:
        renamed = back.what == RENAMED and (back.kind, back.name) == (effect.kind, effect.renamed)
        return renamed and back.renamed == effect.name
    if effect.what == CREATED:
        return _drops(back, effect)
    if effect.what == DROPPED:
        return back.what == CREATED and _same(back, effect)
    if effect.what == CHANGED:
        changed = back.what == CHANGED and back.attribute == effect.attribute and _same(back, effect)
        return changed or (effect.attribute == "definition" and back.what == CREATED and _same(back, effect))
    return False


def _drops(back: Said, effect: Said) -> bool:
    if back.what != DROPPED:
        return back.what == CHANGED and back.attribute == "schema" and _same(back, effect)
    if _same(back, effect):
        return True
    if back.kind in ("table", "view", "materialized view") and effect.relation == back.name:
        return effect.kind in PARTS or effect.kind == "index"
    if back.kind == "column" and effect.kind in ("index", "constraint") and effect.columns:
        return effect.relation == back.name[:2] and back.name[-1] in effect.columns
    return back.kind == "schema" and back.cascade and effect.name[:1] == back.name


def _same(back: Said, effect: Said) -> bool:
    if back.kind != effect.kind:
        return False
    if back.kind in ("function", "aggregate") and len(back.name) == 2:
        return back.name == effect.name[:2]
    return back.name == effect.name


def _steps(
    script: Script, back: list[tuple[int, Said]], findings: list[Finding], lasting: list[Said]
) -> Iterator[StepFinding]:
    touched = {effect.relation for effect in lasting}
    for step in script.steps:
        undoes = tuple(finding.key for finding in findings if step.position in finding.steps)
        said = [each for number, each in back if number == step.position]
        role, note = Role.UNDOES, ""
        if not undoes:
            role, note = _role(said, touched)
        yield StepFinding(step.position, step.line, step.sql, role, undoes, note)


def _role(said: list[Said], touched: set[tuple[str, ...]]) -> tuple[Role, str]:
    if not said or all(each.what == NOTHING for each in said):
        return Role.HELPS, "it changes nothing that lasts"
    if keeps(said):
        return Role.HELPS, KEEPS
    unread = [each.attribute for each in said if each.what == UNREADABLE]
    if unread:
        return Role.UNREADABLE, "; ".join(unread)
    if all(each.relation in touched for each in said):
        return Role.HELPS, "it changes what the migration touched"
    strange = [each for each in said if each.relation not in touched]
    if strange[0].what == DROPPED:
        return Role.FOREIGN, f"the migration made no {strange[0].object}"
    return Role.FOREIGN, f"the migration did nothing to {strange[0].object}"


__all__ = ["by_reading", "net", "takes_back"]
