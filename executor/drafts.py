"""Drafts for the engineer: a generated script with its gaps, and checks. Is gone what the migration made, and
back what it took away?"""

from __future__ import annotations

from approvals.analysis import plan_check
from approvals.analysis.parser import SqlError
from approvals.models import Check
from executor.schema.archive import ARCHIVE
from executor.schema.generate import RUN, Generated
from executor.schema.names import dotted, literal
from executor.schema.reading import read
from executor.schema.reading.said import CHANGED, CREATED, DROPPED, RENAMED, ROWS, Said
from executor.schema.static.todo import stop

MOST = 200
"""Objects in one check."""
_RELATIONS = ("table", "foreign table", "view", "materialized view", "index", "sequence")
_Object = tuple[str, tuple[str, ...]]


def script_of(found: Generated) -> str:
    """The generated script; each gap is a statement that stops it, so that nobody overlooks one. Where all
    that the migration did stays, or it did nothing that lasts, the script says so: the rollback then is for
    the history alone."""
    if found.origin != RUN:
        return found.script
    if not found.gaps:
        return found.script or _nothing_to_undo(found)
    return "\n".join([*map(stop, found.gaps), found.script])


def _nothing_to_undo(found: Generated) -> str:
    """A statement that says why nothing is undone; '' where that is not known."""
    if found.left:
        lines = [f"-- {key}: {' '.join(reason.split())}" for key, reason in found.left]
        lines.append(
            "-- Where it stays, the migration fails when it is applied again, unless it says IF NOT EXISTS."
        )
        said = f"Nothing is undone, by choice: {', '.join(key for key, _ in found.left)}"
    elif found.from_backup or found.notes:
        return ""
    else:
        lines = []
        said = "Nothing is undone: the migration changed nothing that lasts"
    lines.append("-- Only the history row of the migration goes.")
    return "\n".join([*lines, f"SELECT {literal(said)} AS nothing_to_undo;", ""])


def checks_for(script: str) -> list[Check]:
    """Checks before commit, by the text of the script: of what it drops, gives back, and else of what it
    changes. None for a text that does not parse, or that says nothing of any object."""
    try:
        gone, back, kept = _sorted(read(script))
    except SqlError:
        return []
    drafts = [
        _check("What the migration made is gone", gone, there=True),
        _check("What the migration took away is back", back, there=False),
    ]
    if not any(drafts):
        drafts = [_check("What the script changes is there", kept, there=False)]
    return [check for check in drafts if check is not None and not plan_check(check.sql)]


def _sorted(said: list[Said]) -> tuple[list[_Object], list[_Object], list[_Object]]:
    """Objects that are gone, there, or only changed once the script has run, each once, in its order."""
    ends: dict[_Object, str] = {}
    for each in said:
        if each.name[:1] == (ARCHIVE,):
            continue
        if each.what in (CREATED, DROPPED):
            ends[each.kind, each.name] = each.what
        elif each.what == RENAMED:
            ends[each.kind, each.name] = DROPPED
            ends[each.kind, each.renamed] = CREATED
        elif each.what in (CHANGED, ROWS):
            ends.setdefault((each.kind or "table", each.name), CHANGED)
    return (
        [found for found, what in ends.items() if what == DROPPED],
        [found for found, what in ends.items() if what == CREATED],
        [found for found, what in ends.items() if what == CHANGED],
    )


def _check(name: str, objects: list[_Object], *, there: bool) -> Check | None:
    """How many of these are there, or are not; none must be."""
    asked = [sql for kind, path in objects[:MOST] if (sql := _exists(kind, path))]
    if not asked:
        return None
    rows = ",\n    ".join(f"({sql})" for sql in asked)
    wanted = "there" if there else "NOT there"
    return Check(name, f"SELECT count(*)\nFROM (VALUES\n    {rows}\n) AS found (there)\nWHERE {wanted}", "0")


def _exists(kind: str, path: tuple[str, ...]) -> str:
    """SQL that is true where the object is there; empty for kinds that are not asked about."""
    if kind in _RELATIONS:
        return f"to_regclass({literal(dotted(path))}) IS NOT NULL"
    if kind == "type":
        return f"to_regtype({literal(dotted(path))}) IS NOT NULL"
    if kind == "schema":
        return f"to_regnamespace({literal(dotted(path))}) IS NOT NULL"
    if kind == "extension":
        return f"EXISTS (SELECT FROM pg_extension WHERE extname = {literal(path[-1])})"
    if kind in ("function", "aggregate") and len(path) > 1:
        return (
            "EXISTS (SELECT FROM pg_proc WHERE pronamespace = "
            f"to_regnamespace({literal(dotted(path[:1]))}) AND proname = {literal(path[1])})"
        )
    return _part(kind, path)


_PARTS = {
    "column": ("pg_attribute", "attrelid", "attname", " AND NOT attisdropped"),
    "constraint": ("pg_constraint", "conrelid", "conname", ""),
    "trigger": ("pg_trigger", "tgrelid", "tgname", ""),
    "policy": ("pg_policy", "polrelid", "polname", ""),
    "rule": ("pg_rewrite", "ev_class", "rulename", ""),
}


def _part(kind: str, path: tuple[str, ...]) -> str:
    if kind not in _PARTS or len(path) != 3:
        return ""
    catalog, relation, name, more = _PARTS[kind]
    table = literal(dotted(path[:2]))
    return (
        f"EXISTS (SELECT FROM {catalog} WHERE {relation} = to_regclass({table})"
        f" AND {name} = {literal(path[2])}{more})"
    )
