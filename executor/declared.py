"""Does what a script leaves behind consist of declared effects and nothing else?"""

from __future__ import annotations

from collections.abc import Mapping

import psycopg

from executor.schema.archive import ARCHIVE
from executor.schema.dump import DIFFERS, dump, verdict
from executor.schema.effects import EXISTS, ORDER, Key, effects, state
from executor.schema.inverse import undo
from executor.schema.objects import Snapshot
from executor.schema.scope import without
from executor.schema.shadow import Shadow
from executor.schema.snapshot import snapshot

_MISSING = object()


def is_as_declared(
    shadow: Shadow, dumped: str, before: Snapshot, after: Snapshot, left: Mapping[str, str]
) -> bool:
    """`shadow` stands where the script has led; `dumped` and `before` are the schema before the migration,
    `after` the one behind it; `left` are the declared effects, by key.

    True where two things hold. Each attribute that differs from before belongs to a declared effect, and is
    just as the migration made it. And taking these differences back leads to the very dump of before, so that
    there is none that the comparison of attributes does not see. The shadow is as it was then.
    """
    before, after, now = (_in_scope(each) for each in (before, after, snapshot(shadow.connection)))
    if not _only(left, before, after, now):
        return False
    with shadow.copied() as copy:
        back = undo(copy.connection, before)
        if back.gaps:
            return False
        try:
            copy.apply(back.script)
        except psycopg.Error:
            return False
        return verdict(dumped, dump(copy.dsn, leave_out=(ARCHIVE,))).word != DIFFERS


def _in_scope(found: Snapshot) -> Snapshot:
    return without(found, schemas=(ARCHIVE,))


def _only(left: Mapping[str, str], before: Snapshot, after: Snapshot, now: Snapshot) -> bool:
    """Whether whatever differs from before is part of a declared effect, as the migration made it."""
    declared: set[Key] = set()
    for effect in effects(before, after):
        if left.get(str(effect), "").strip():
            declared.update(effect.facets)
    first, second, third = state(before), state(after), state(now)
    # Of what was created, the facets say that it is there; what it is like comes along.
    declared.update(key for key in second if (key[0], EXISTS) in declared)
    for key in first.keys() | third.keys():
        value = third.get(key, _MISSING)
        if value == first.get(key, _MISSING) or key[1] == ORDER:
            continue
        if key not in declared or value != second.get(key, _MISSING):
            return False
    return True
