"""What reaches beyond the database, such as ALTER SYSTEM: never run on a scratch server, always read."""

from __future__ import annotations

from collections.abc import Sequence

from executor.schema.complete.result import Fate, Finding
from executor.schema.reading.said import SET, Said

SERVER_KINDS = frozenset({"server setting", "database setting", "role setting", "role", "database"})


def of_server(said: Said) -> bool:
    """Whether the effect is one on server, database or roles."""
    return said.kind in SERVER_KINDS


def settings(forward: Sequence[Said], script: Sequence[tuple[int, Said]]) -> list[Finding]:
    """The effects of a migration beyond its database. `script` are pairs of step and effect."""
    found: dict[str, Finding] = {}
    for said in forward:
        if not of_server(said):
            continue
        steps = tuple(
            dict.fromkeys(step for step, back in script if (back.kind, back.name) == (said.kind, said.name))
        )
        reason = "what it was before is not in the file" if steps and said.what == SET else ""
        found[str(said)] = Finding(
            str(said),
            f"{said} to {said.new}" if said.new else str(said),
            Fate.UNDONE if steps else Fate.NOT_UNDONE,
            steps,
            reason,
            said.line,
            measured=False,
        )
    return list(found.values())
