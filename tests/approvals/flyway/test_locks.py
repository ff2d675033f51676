"""The lock that keeps a migrate out has the number that Flyway computes."""

from __future__ import annotations

import pytest

from approvals.flyway.locks import advisory_lock_id


@pytest.mark.parametrize(
    ("schema", "table", "expected"),
    [  # Java's own arithmetic
        ("public", "flyway_schema_history", 77433833903597),
        ("wallet", "flyway_schema_history", 77431085143645),
        ("Größe", "schema_version", 77430381138394),
        ("😀", 'he said "x"', 77430517927944),
        ("", "", 77431740737063),
    ],
)
def test_the_lock_of_a_history_table(schema: str, table: str, expected: int) -> None:
    assert advisory_lock_id(schema, table) == expected
