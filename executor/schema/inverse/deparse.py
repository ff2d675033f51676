"""Definitions that the server writes in a way it would read differently: what must be written instead.

`code IN ('a', 'b')` on a varchar column comes out as `(code)::text = ANY ((ARRAY['a'::character varying,
…])::text[])`,
which, read again, casts each element instead of the array. Measured on PostgreSQL 15 and 18. The snapshot
taken
behind the way back decides whether the rewritten text was the right one; the server's own text is the
alternative.
"""

from __future__ import annotations

import re
from dataclasses import replace

from executor.schema.inverse.action import Action

KINDS = frozenset({"view", "materialized view", "constraint", "index", "policy", "rule", "column", "table"})
_CAST_ARRAY = re.compile(
    r"\((?P<left>[^()]+)\)::text (?P<operator>=|<>) (?P<word>ANY|ALL)"
    r" \(\((?P<array>ARRAY\[(?:'(?:[^']|'')*'::character varying(?:, )?)+\])\)::text\[\]\)"
)


def readable_again(text: str) -> str:
    """The definition such that reading it gives the expression it was written from."""
    return _CAST_ARRAY.sub(r"(\g<left>) \g<operator> \g<word> (\g<array>)", text)


def prefer_readable(action: Action) -> None:
    """Let an action try the rewritten text before the server's own."""
    if action.ref.kind not in KINDS:
        return
    made = []
    for statement in action.statements:
        sql = readable_again(statement.sql)
        if sql != statement.sql:
            statement = replace(statement, sql=sql, alternatives=(statement.sql, *statement.alternatives))
        made.append(statement)
    action.statements = tuple(made)
