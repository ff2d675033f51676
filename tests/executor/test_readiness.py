"""What a target lacks is named one by one, and a target that a DBA has prepared lacks nothing."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from executor.connect import connect
from executor.marker import EXECUTOR
from executor.readiness import lacking
from tests.executor.target import OWNER, Target

HISTORY = ("public", "flyway_schema_history")


def asked(target: Target, **changes: Any) -> list[str]:
    """Ask as the backup role, which is who reads targets."""
    given: dict[str, Any] = {"executor": EXECUTOR, "owner": OWNER, "history": HISTORY}
    with contextlib.closing(connect(target.backup)) as connection:
        return lacking(connection, **(given | changes))


def test_a_prepared_target_lacks_nothing(target: Target) -> None:
    assert asked(target) == []


@pytest.mark.parametrize(
    ("taken", "said"),
    [
        ("DROP SCHEMA waqiti_rollback CASCADE", "The schema waqiti_rollback is not set up"),
        (f"REVOKE USAGE ON SCHEMA waqiti_rollback FROM {EXECUTOR}", "The schema waqiti_rollback is not set"),
        (
            f"REVOKE INSERT, DELETE ON flyway_schema_history FROM {EXECUTOR}",
            f"{EXECUTOR} may not INSERT, DELETE on public.flyway_schema_history",
        ),
        ("DROP TABLE flyway_schema_history", "There is no table public.flyway_schema_history"),
    ],
)
def test_what_somebody_took_away_is_named(target: Target, taken: str, said: str) -> None:
    target.do(taken)
    (sentence,) = asked(target)
    assert sentence.startswith(said)


def test_a_target_with_a_reduced_guarantee_needs_no_marker(target: Target) -> None:
    target.do("DROP SCHEMA waqiti_rollback CASCADE")
    assert asked(target, marker=False) == []


def test_roles_that_are_not_there_are_named(target: Target) -> None:
    assert asked(target, executor="nobody_here") == [
        "The login nobody_here does not exist here. Run the setup SQL."
    ]
    assert asked(target, owner="nobody_here")[0].startswith("The owner role nobody_here does not exist")
    assert asked(target, executor=OWNER, owner=OWNER)[0].startswith(f"The role {OWNER} may not log in")


def test_what_steps_that_run_alone_need_is_named_too(target: Target) -> None:
    wanted = ("log_temp_files", "log_lock_waits")
    target.do(f"GRANT ALTER SYSTEM ON PARAMETER log_temp_files TO {EXECUTOR}")
    try:
        may_not, reads_not = asked(target, alter_system=wanted)
    finally:
        target.do(f"REVOKE ALTER SYSTEM ON PARAMETER log_temp_files FROM {EXECUTOR}")
    assert may_not == f"{EXECUTOR} may not ALTER SYSTEM SET log_lock_waits. Run the setup SQL again."
    assert reads_not.startswith(f"{EXECUTOR} may not reload the settings and read their files")
