"""The way back from one schema to another: ordered SQL, derived from what differs and proven by running
it."""

from __future__ import annotations

from executor.schema.inverse.derive import undo
from executor.schema.inverse.from_backup import FromBackup
from executor.schema.inverse.options import Choice, Options
from executor.schema.inverse.result import Inverse

__all__ = ["Choice", "FromBackup", "Inverse", "Options", "undo"]
