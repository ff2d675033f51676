"""What becomes of a migration's effects on rows: as it was seen on tables with rows, else as it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from executor.schema.again import Stays
from executor.schema.complete.claims import TAKES_BACK
from executor.schema.complete.measured import Measured, Seen
from executor.schema.complete.result import Fate, Finding
from executor.schema.complete.values import Held
from executor.schema.inverse.from_backup import FROM_BACKUP, FromBackup
from executor.schema.inverse.rows import RowChanges
from executor.schema.names import dotted, quoted
from executor.schema.objects import Ref, Snapshot
from executor.schema.reading.said import ROWS, Said, written

BY_CODE = "by a trigger, by a key that takes them along, or by code that the file runs"
_ADDED, _ON = "added rows to table ", " on table "
_ADDING = ("INSERT DATA", "COPY IN", "MERGE DATA")
_TAKING = ("DELETE DATA", "TRUNCATE", "DROP TABLE", "MERGE DATA")
_CHANGING = ("UPDATE DATA", "MERGE DATA")


@dataclass(frozen=True)
class Changes:
    """The effects on rows as far as texts and schemas tell: what the file does to them, and what is `gone`
    with the schema. `script` are pairs of step and effect."""

    of_file: RowChanges
    gone: Sequence[FromBackup]
    script: Sequence[tuple[int, Said]]
    before: Snapshot
    after: Snapshot


@dataclass(frozen=True)
class _Facet:
    """One side of what a table went through: `left` counts the rows that are not as before, of `all`; `words`
    say what is wrong with them."""

    left: Callable[[Held | None], int]
    all: int
    words: str


def row_findings(changes: Changes, undone: Mapping[Ref, int], measured: Measured | None) -> list[Finding]:
    """The effects of a migration on rows. `undone` are tables from which a step was seen to take the added
    rows where there were no others; `measured` is None where no rows were made."""
    found: dict[str, Finding] = {}
    for deletion in changes.of_file.deletions:
        path = deletion.action.ref.path
        step = undone.get(deletion.action.ref)
        key = f"added rows to table {written('table', path)}"
        by_schema = Finding(
            key, key, Fate.UNDONE if step else Fate.NOT_UNDONE, (step,) if step else (), "", deletion.line
        )
        seen = _seen(measured, dotted(path), changes)
        facet = _added(seen) if seen else None
        found[key] = _judged(by_schema, seen, facet, quiet=True) if seen and facet else by_schema
    for gap in [*changes.of_file.gaps, *changes.gone]:
        finding = _of_gap(gap, changes, measured)
        known = found.get(finding.key)
        if known is None or known.fate is Fate.UNDONE:
            found[finding.key] = finding
    for finding in _unread(changes, measured):
        found.setdefault(finding.key, finding)
    return list(found.values())


def _seen(measured: Measured | None, relation: str, changes: Changes) -> Seen | None:
    return measured.of(relation, changes.after, changes.before) if measured else None


def _of_gap(gap: FromBackup, changes: Changes, measured: Measured | None) -> Finding:
    """An effect that no statement undoes for certain: as it was seen, else by the script's text."""
    key = f"{gap.change} on table {gap.relation.removeprefix('public.')}"
    steps = tuple(
        dict.fromkeys(
            step
            for step, said in changes.script
            if said.what == ROWS
            and dotted(said.name) == gap.relation
            and said.attribute in TAKES_BACK.get(gap.change, ())
        )
    )
    fate = Fate.UNDONE if steps else Fate.NOT_UNDONE
    read = Finding(key, f"{key}: {gap.why}", fate, steps, gap.why, gap.line, measured=False)
    seen = _seen(measured, gap.relation, changes)
    facet = _facet(gap.change, seen) if seen else None
    if seen is not None and facet is not None:
        certain = gap.change != "ALTER TYPE" or gap.invertible or seen.end(facet.left) > 0
        if certain:
            return _judged(read, seen, facet)
    why = _unmeasured(gap, seen, facet, measured)
    ending = "seen only by reading" if steps else ""
    reason = "; ".join(filter(None, [gap.why, why, ending]))
    return replace(read, reason=reason if steps else f"{reason}. {FROM_BACKUP}")


def _judged(finding: Finding, seen: Seen, facet: _Facet, *, quiet: bool = False) -> Finding:
    left = seen.end(facet.left)
    if left:
        reason = f"{facet.words.format(left=left, all=facet.all)}. {FROM_BACKUP}"
        return replace(finding, fate=Fate.NOT_UNDONE, steps=(), reason=reason, measured=True)
    reason = "" if quiet else f"seen on {facet.all} rows"
    return replace(finding, fate=Fate.UNDONE, steps=seen.step(facet.left), reason=reason, measured=True)


def _unmeasured(gap: FromBackup, seen: Seen | None, facet: _Facet | None, measured: Measured | None) -> str:
    """Why an effect is only read."""
    if measured is None:
        return ""
    if measured.because:
        return measured.because
    if facet is not None:  # a type that was changed and changed back
        return "the rows that were made came back as they were, others may not"
    for ref, why in measured.empty.items():
        if dotted(ref.path) == gap.relation:
            return f"no rows could be made for it ({why})"
    if seen is None:
        return "its rows could not be compared"
    return f"none of {seen.rows} rows there is one that it changes" if seen.rows else "it has no rows there"


# What stays


def is_of_rows(key: str) -> bool:
    """Whether the key of an effect names one on the rows of a table."""
    return key.startswith(_ADDED) or key.partition(_ON)[0] in TAKES_BACK


def stays(findings: Iterable[Finding]) -> Iterator[Stays]:
    """The effects on rows that the script does not undo, declared or not."""
    for finding in findings:
        if finding.fate is not Fate.UNDONE and is_of_rows(finding.key):
            table = finding.key.removeprefix(_ADDED).rpartition(_ON)[2]
            relation = table if "." in table else f"public.{table}"
            place = f"line {finding.line}: " if finding.line else ""
            yield Stays(relation, f"{place}{finding.text}")


# What a table went through


def _facet(change: str, seen: Seen) -> _Facet | None:
    """The side of a table that a change is about; None where no row there shows it."""
    if change == "MERGE DATA":
        return _merged(seen)
    if change in _ADDING:
        return _added(seen)
    if change in _TAKING:
        return _taken(seen)
    if change in _CHANGING:
        return _values(seen, [name for name in seen.changed if name not in seen.retyped])
    if change == "DROP COLUMN":
        return _values(seen, seen.lost_columns)
    if change == "ALTER TYPE":
        return _values(seen, [name for name in seen.before.columns if name in seen.retyped])
    return None


def _added(seen: Seen) -> _Facet | None:
    if not seen.added:
        return None

    def left(then: Held | None) -> int:
        return seen.more(then) + seen.taken(then)

    if seen.end(seen.taken):
        words = (
            f"the script also takes away {seen.end(seen.taken)} of {seen.rows} rows that were there before"
        )
    else:
        words = "{left} of {all} rows stay"
    return _Facet(left, seen.added, words)


def _taken(seen: Seen) -> _Facet | None:
    if not seen.gone.rows:
        return None
    left = seen.lacking(seen.gone, seen.columns)
    return _Facet(left, len(seen.gone.rows), "{left} of {all} rows are not back as they were")


def _values(seen: Seen, columns: list[str]) -> _Facet | None:
    with_values = any(row[name] is not None for row in seen.stay.rows for name in columns)
    if not columns or not with_values:
        return None
    names = ", ".join(map(quoted, columns))
    left = seen.lacking(seen.stay, columns)
    return _Facet(
        left, len(seen.stay.rows), f"{{left}} of {{all}} rows have other values than before in {names}"
    )


def _merged(seen: Seen) -> _Facet | None:
    changed = [name for name in seen.changed if name not in seen.retyped]
    if not (seen.added or seen.gone.rows or changed):
        return None
    lacking = seen.lacking(seen.before, seen.columns)
    words = "{left} rows more or less than before, of {all}"
    return _Facet(lambda then: lacking(then) + seen.more(then), seen.rows + seen.added, words)


# What was seen and stands in no statement


def _unread(changes: Changes, measured: Measured | None) -> Iterator[Finding]:
    """Effects on rows that the file's text doesn't tell."""
    for ref, seen in measured.seen.items() if measured and not measured.because else ():
        told = _told(ref, seen, changes)
        if any(name not in seen.retyped for name in seen.changed) and not told & {*_CHANGING}:
            yield from _by_code("UPDATE DATA", seen, changes)
        if _other_partitions(ref, changes):
            continue
        if seen.gone.rows and not told & {*_TAKING}:
            yield from _by_code("DELETE DATA", seen, changes)
        if seen.added and not told & {*_ADDING}:
            yield from _by_code("INSERT DATA", seen, changes)


def _told(ref: Ref, seen: Seen, changes: Changes) -> set[str]:
    """The changes of a table that are known from the file or from the schemas."""
    there = changes.after.by_address.get(seen.table.address)
    names = {dotted(ref.path), dotted(there.path) if there else ""}
    told = {each.change for each in [*changes.of_file.gaps, *changes.gone] if each.relation in names}
    added = any(dotted(each.action.ref.path) in names for each in changes.of_file.deletions)
    return told | ({"INSERT DATA"} if added else set())


def _by_code(change: str, seen: Seen, changes: Changes) -> Iterator[Finding]:
    facet = _facet(change, seen)
    if facet is None:
        return
    there = changes.after.by_address.get(seen.table.address, seen.table.ref)
    table = written("table", there.path)
    key = f"added rows to table {table}" if change == "INSERT DATA" else f"{change} on table {table}"
    yield _judged(Finding(key, f"{key}: {BY_CODE}", Fate.NOT_UNDONE), seen, facet)


def _other_partitions(table: Ref, changes: Changes) -> bool:
    """Whether a partitioned table has other partitions behind the migration: rows come and go with them."""
    there = changes.after.by_address.get(changes.before[table].address)
    if there is None or changes.before[table]["form"] != "p":
        return False
    return len(changes.before.tree(table)) != len(changes.after.tree(there))
