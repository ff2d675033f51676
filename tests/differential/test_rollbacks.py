"""What the next `info`, `validate` and `migrate` do after a rollback: the real Flyway does as we say."""

from __future__ import annotations

import pytest
from psycopg import sql

from approvals.flyway.history import State
from tests.differential.cases import Ground, must_agree

pytestmark = pytest.mark.integration

FILES = {f"V{number}__x.sql": f"create table t{number} (id int);\n".encode() for number in (1, 2, 3)}

# Which version is taken back, what becomes of row and file, outOfOrder; then the state and what migrate does.
ROWS: dict[str, tuple[str, str, str, str, State | None, str]] = {
    "highest, row deleted, file kept": ("3", "delete", "kept", "false", State.PENDING, "migrated"),
    "highest, DELETE row, file kept": ("3", "marker", "kept", "false", State.PENDING, "migrated"),
    "below, row deleted, file kept": ("2", "delete", "kept", "false", State.IGNORED, "migrate refused"),
    "below, DELETE row, file kept": ("2", "marker", "kept", "false", State.IGNORED, "migrate refused"),
    "below, row deleted, kept, outOfOrder": ("2", "delete", "kept", "true", State.PENDING, "migrated"),
    "below, DELETE row, kept, outOfOrder": ("2", "marker", "kept", "true", State.PENDING, "migrated"),
    "below, row kept, file removed": ("2", "keep", "removed", "false", State.MISSING, "migrate refused"),
    "highest, row kept, file removed": ("3", "keep", "removed", "false", State.FUTURE, "clean"),
    "highest, DELETE row, file removed": ("3", "marker", "removed", "false", State.DELETED, "clean"),
    "below, DELETE row, file removed": ("2", "marker", "removed", "false", State.DELETED, "clean"),
    "highest, row deleted, file removed": ("3", "delete", "removed", "false", None, "clean"),
    "below, row deleted, file removed": ("2", "delete", "removed", "false", None, "clean"),
}


@pytest.mark.parametrize(
    ("version", "history", "fate", "order", "state", "does"), ROWS.values(), ids=ROWS.keys()
)
def test_after_a_rollback_flyway_does_what_the_table_says(
    ground: Ground, version: str, history: str, fate: str, order: str, state: State | None, does: str
) -> None:
    with ground.case(FILES, {"flyway.outOfOrder": order}) as case:
        assert must_agree(case) == "migrated"
        run = ground.connection.execute
        run(sql.SQL("DROP TABLE {}").format(sql.Identifier(case.schema, f"t{version}")))
        if history == "delete":
            run(sql.SQL("DELETE FROM {} WHERE version = %s").format(case.table), [version])
        elif history == "marker":
            run(
                sql.SQL(
                    """INSERT INTO {0} SELECT 4, version, description, 'DELETE', script, checksum,
                       installed_by, now(), 0, success FROM {0} WHERE version = %s"""
                ).format(case.table),
                [version],
            )
        if fate == "removed":
            (case.directory / f"V{version}__x.sql").unlink()
        lines = case.foreseen().lines
        last = [line.state for line in lines if line.version and line.version.text == version]
        assert last[-1:] == ([state] if state else [])
        assert must_agree(case) == does
