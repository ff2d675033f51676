"""The advisory lock that Flyway holds on PostgreSQL while it migrates."""

from __future__ import annotations

_MAGIC = 77431708279161


def advisory_lock_id(schema: str, table: str) -> int:
    """The key of `pg_try_advisory_xact_lock` that keeps a migrate of this history table out.

    The sum of a constant and Java's hash of the quoted name (Flyway 13, `PostgreSQLAdvisoryLockTemplate`).
    """
    return _MAGIC + _java_hash(f"{_quoted(schema)}.{_quoted(table)}")


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _java_hash(text: str) -> int:
    """`String.hashCode`: over UTF-16 code units, as a signed 32-bit number."""
    units = text.encode("utf-16-be")
    value = 0
    for high, low in zip(units[::2], units[1::2], strict=True):
        value = (31 * value + (high << 8 | low)) & 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value
