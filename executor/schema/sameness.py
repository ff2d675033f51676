"""Are two schemas the same? One digest of all that a snapshot knows, to compare many databases by."""

from __future__ import annotations

import hashlib
import json

from executor.marker import SCHEMA
from executor.schema.objects import Snapshot
from executor.schema.scope import without


def digest(snapshot: Snapshot) -> str:
    """SHA-256 in hex over every object with all its attributes, owners and privileges included. Left out are
    the marker's schema, the positions of sequences, and what only one server knows, such as OIDs."""
    seen = without(snapshot, schemas={SCHEMA})
    things = sorted(
        json.dumps([ref.kind, ref.path, thing.attributes], sort_keys=True, default=_as_text)
        for ref, thing in seen.objects.items()
        if ref != ("schema", (SCHEMA,))
    )
    return hashlib.sha256("\n".join(things).encode()).hexdigest()


def _as_text(value: object) -> object:
    return sorted(map(str, value)) if isinstance(value, set | frozenset) else str(value)
