"""Columns that a table's own triggers write while a row comes: the file does not say what stands there."""

from __future__ import annotations

import re

from executor.schema.inverse.heard import INSERT, listeners
from executor.schema.objects import Ref, Snapshot

_BEFORE = re.compile(r"CREATE (?:CONSTRAINT )?TRIGGER .*? BEFORE ", re.DOTALL)
_ASSIGNED = re.compile(
    r"(?:;|\$|\*/|\b(?:begin|then|else|loop)\b|--[^\n]*\n)\s*new\s*\.\s*\"?(\w+)\"?\s*:?=|"
    r"\binto\s+(?:strict\s+)?new\s*\.\s*\"?(\w+)",
    re.IGNORECASE,
)


def rewritten(table: Ref, schema: Snapshot) -> set[str]:
    """Names of columns to which a BEFORE trigger for INSERT assigns, as its function's text says."""
    found: set[str] = set()
    for trigger in listeners(schema, table, INSERT):
        if trigger.ref.kind != "trigger" or not _BEFORE.match(trigger["definition"]):
            continue
        for need in schema.needs.get(trigger.ref, ()):
            text = schema[need]["definition"] if need.kind == "function" and need in schema else ""
            for names in _ASSIGNED.findall(text):
                found |= {name for word in names if word for name in (word, word.lower())}
    return found
