"""The way back from one schema to another: ordered SQL, derived from what differs and proven by running
it."""

from __future__ import annotations

from executor.schema.inverse.derive import Inverse, undo
from executor.schema.inverse.from_backup import FromBackup
from executor.schema.inverse.options import Choice, Options

__all__ = ["Choice", "FromBackup", "Inverse", "Options", "undo"]
