"""The way back by reading: the weaker origin, for files that can't be run."""

from __future__ import annotations

from executor.schema.static.earlier import Earlier
from executor.schema.static.inverse import ORIGIN, StaticInverse, inverse_by_reading
from executor.schema.static.todo import WEAKER, Todo

__all__ = ["ORIGIN", "WEAKER", "Earlier", "StaticInverse", "Todo", "inverse_by_reading"]
