"""The form that all catalog queries have."""

from __future__ import annotations

from dataclasses import dataclass

USER_SCHEMA = "n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'"
"""Condition on `pg_namespace n`: schemas that belong to people, as `pg_dump` sees it."""


@dataclass(frozen=True, slots=True)
class Query:
    """Finds the objects of one kind. The columns are the OID, the sub-object's number, `parts` parts of the
    name, then attributes under their own names. Servers before `since` (14 for PostgreSQL 14) don't have
    it."""

    kind: str
    catalog: str
    parts: int
    sql: str
    since: int = 14
    superuser: bool = False


def not_of_extension(catalog: str, oid: str) -> str:
    """A condition: the object is no member of an extension."""
    return (
        f"NOT EXISTS (SELECT FROM pg_depend ext WHERE ext.classid = '{catalog}'::regclass"
        f" AND ext.objid = {oid}"
        " AND ext.objsubid = 0 AND ext.deptype = 'e')"
    )
