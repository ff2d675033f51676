"""Names as SQL: quoted where PostgreSQL's own quote_ident would quote them."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*\Z")
# Every word of pg_get_keywords() that is not unreserved, PostgreSQL 14 to 18.
_KEYWORDS = frozenset(
    """
    between bigint bit boolean char character coalesce dec decimal exists extract float greatest
    grouping inout int integer interval json json_array json_arrayagg json_exists json_object
    json_objectagg json_query json_scalar json_serialize json_table json_value least merge_action
    national nchar none normalize nullif numeric out overlay position precision real row setof smallint
    substring time timestamp treat trim values varchar xmlattributes xmlconcat xmlelement xmlexists
    xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable all analyse analyze and any
    array as asc asymmetric both case cast check collate column constraint create current_catalog
    current_date current_role current_time current_timestamp current_user default deferrable desc
    distinct do else end except false fetch for foreign from grant group having in initially intersect
    into lateral leading limit localtime localtimestamp not null offset on only or order placing primary
    references returning select session_user some symmetric system_user table then to trailing true
    union unique user using variadic when where window with authorization binary collation concurrently
    cross current_schema freeze full ilike inner is isnull join left like natural notnull outer overlaps
    right similar tablesample verbose
    """.split()  # noqa: SIM905 (a list of 120 strings reads worse)
)
LONGEST = 63
"""Bytes that PostgreSQL keeps of a name."""


def quoted(name: str) -> str:
    """One identifier."""
    if _PLAIN.match(name) and name not in _KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def dotted(parts: Iterable[str]) -> str:
    """A qualified name."""
    return ".".join(quoted(part) for part in parts)


def literal(text: str) -> str:
    """A string constant, whatever standard_conforming_strings says."""
    escaped = text.replace("'", "''")
    return " E'" + escaped.replace("\\", "\\\\") + "'" if "\\" in text else f"'{escaped}'"


def shortened(name: str, suffix: str) -> str:
    """`name` with a suffix, no longer than PostgreSQL keeps."""
    room = LONGEST - len(suffix.encode())
    return name.encode()[:room].decode(errors="ignore") + suffix
