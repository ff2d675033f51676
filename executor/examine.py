"""Examine a script: is it complete, and does it lead back? Both on the shadow of its chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from executor.completeness import Completeness, completeness
from executor.proof import AS_DECLARED, EXACT, MODULO_ORDER, Clone, Proof, Say, prove
from executor.schema.complete.result import Fate
from executor.schema.complete.rows import is_of_rows, stays
from executor.schema.replay import DoesNotReplay, File, Replay


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found."""

    completeness: Completeness
    proof: Proof


def examine(
    replay: Replay,
    chain: Sequence[File],
    script: str,
    *,
    live: str | Clone = "",
    left: Mapping[str, str] | None = None,
    say: Say = lambda line: None,
) -> Examined:
    """Hold `script` against the last file of `chain`. `live` and `left` as for `executor.proof.prove`. Raises
    DumpFailed, ToolMissing, and psycopg.Error where the scratch server itself fails."""
    found = _completeness(replay, chain, script, left or {}, say)
    proof = prove(replay, chain, script, live=live, left=left, stays=tuple(stays(found.findings)), say=say)
    if found.again and proof.forward_again:
        proof = replace(proof, with_rows=found.again)
    return Examined(found, _in_the_way(proof, found, left or {}))


def _completeness(
    replay: Replay, chain: Sequence[File], script: str, left: Mapping[str, str], say: Say
) -> Completeness:
    forward = chain[-1]
    say(f"replay to {chain[-2].name if len(chain) > 1 else 'an empty database'}")
    try:
        shadow = replay.behind(chain[:-1])
    except DoesNotReplay as broken:
        return completeness(forward.sql, script, because=f"The files do not replay: {broken}", left=left)
    try:
        with shadow.copied() as copy:
            say("look what each step of the script undoes")
            return completeness(forward.sql, script, copy, left=left)
    finally:
        shadow.close()


def _in_the_way(proof: Proof, found: Completeness, left: Mapping[str, str]) -> Proof:
    """Rows that stay by declaration may keep the migration from applying again: that is as declared."""
    rows = any(
        each.fate is Fate.LEFT and each.key in left and is_of_rows(each.key) for each in found.findings
    )
    if rows and proof.verdict in (EXACT, MODULO_ORDER) and proof.forward_again is False:
        return replace(proof, verdict=AS_DECLARED)
    return proof
