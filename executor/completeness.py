"""Is a way back complete? Every effect of a migration is undone by a step, left on purpose, or not undone,
and every step that undoes nothing the migration did is named. By running where possible, else by reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import psycopg

from executor.schema.complete.read import by_reading
from executor.schema.complete.result import Completeness, Fate, Finding, Role, Script, StepFinding
from executor.schema.complete.run import by_running
from executor.schema.shadow import Shadow

__all__ = ["Completeness", "Fate", "Finding", "Role", "StepFinding", "completeness"]


def completeness(
    forward: str,
    script: str,
    shadow: Shadow | None = None,
    *,
    because: str = "",
    left: Mapping[str, str] | None = None,
    history_table: str = "flyway_schema_history",
) -> Completeness:
    """Hold a script against its migration.

    `shadow` stands right before the migration and is of no further use afterwards; without one, or where the
    migration does not apply to it, both are only read, and `because` (or the server's refusal) says why.
    `left` are effects that an author declares as left on purpose: key and reason. Statements that reach
    beyond the database, such as ALTER SYSTEM, are never run and always read.
    """
    planned = Script.of(script, history_table)
    found: Completeness | None = None
    if shadow is not None:
        try:
            found = by_running(forward, planned, shadow)
        except psycopg.Error as error:
            reason = error.diag.message_primary or str(error)
            because = f"The migration does not apply on the scratch server: {error.sqlstate} {reason}"
    if found is None:
        found = by_reading(forward, planned, because or "There is no scratch server to run it on.")
    return _declared(found, left or {})


def _declared(found: Completeness, left: Mapping[str, str]) -> Completeness:
    """Effects that are not undone, but declared."""

    def one(finding: Finding) -> Finding:
        if finding.fate is Fate.NOT_UNDONE and left.get(finding.key, "").strip():
            return replace(finding, fate=Fate.LEFT, reason=left[finding.key])
        return finding

    return replace(found, findings=tuple(one(finding) for finding in found.findings))
