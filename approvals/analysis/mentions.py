"""Which relations a text names anywhere, whether it reads, changes or makes them."""

from __future__ import annotations

from approvals.analysis.parser import Source, pb, salvage, walk
from approvals.analysis.registry import bare as _bare


def bare(name: str) -> str:
    """The last part of a possibly qualified name, without quotes."""
    last = _bare(name)
    quoted = len(last) > 1 and last.startswith('"') and last.endswith('"')
    return last[1:-1].replace('""', '"') if quoted else last


def relations(sql: str) -> frozenset[str]:
    """The bare names of all relations in its statements. What can't be read names nothing; code in strings,
    such as bodies of functions, is not looked into."""
    pieces, _errors = salvage(Source(sql))
    return frozenset(
        node.relname for piece in pieces for node in walk(piece.node) if isinstance(node, pb.RangeVar)
    )
