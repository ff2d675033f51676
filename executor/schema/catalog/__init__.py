"""Catalog queries, one module per family of objects. Each gives rows of OID, sub-object, name parts,
attributes."""

from __future__ import annotations

from executor.schema.catalog.query import Query

__all__ = ["Query"]
