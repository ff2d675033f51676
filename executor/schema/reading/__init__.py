"""Statements as effects, read from the parse tree: for files that can't run to show their effects."""

from __future__ import annotations

from executor.schema.reading.reader import read, read_pieces, without_server

__all__ = ["read", "read_pieces", "without_server"]
