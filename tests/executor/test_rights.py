"""A plan that its roles can't carry out says so before it begins, and not half-way."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest

from executor import locks, rights
from executor.connect import connect, set_session
from executor.obstacles import Point
from tests.executor.target import OWNER, Target, spec

TYPE = "CREATE TYPE level AS ENUM ('low'); ALTER TYPE level OWNER TO {}"


def asked(target: Target, *statements: str, tables: tuple[str, ...] = ("wallets",)) -> Point:
    """Ask about these statements that run alone, and about these tables, as a preflight does."""
    about = replace(spec(), locks=tuple((table, "ACCESS EXCLUSIVE") for table in tables))
    with contextlib.closing(connect(target.executor)) as connection:
        set_session(connection, {"search_path": "public, pg_temp"})
        wanted = locks.wanted(connection, about)
        return rights.point(connection, about, list(enumerate(statements, start=1)), wanted)


def test_what_belongs_to_the_services_owner_may_be_done(target: Target) -> None:
    target.do(TYPE.format(OWNER), "CREATE INDEX by_balance ON wallets (balance)")
    target.do(f"ALTER TABLE wallets OWNER TO {OWNER}")
    found = asked(
        target,
        "CREATE INDEX CONCURRENTLY other ON wallets (balance)",
        "DROP INDEX CONCURRENTLY by_balance",
        "REINDEX INDEX CONCURRENTLY by_balance",
        "VACUUM wallets",
        "ALTER TYPE level ADD VALUE 'high'",
        "VACUUM made_by_an_earlier_step",
    )
    assert (found.verdict, found.who) == ("go", ())
    assert "6 steps that run alone" in found.says


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "CREATE INDEX CONCURRENTLY i ON wallets (balance)",
            "wallets belongs to postgres, and only its owner",
        ),
        ("DROP INDEX CONCURRENTLY by_balance", "The index by_balance belongs to postgres"),
        ("REINDEX TABLE CONCURRENTLY wallets", "wallets belongs to postgres, and only its owner rebuilds"),
        ("VACUUM wallets", "wallets belongs to postgres: VACUUM would skip it with a warning"),
        ("ALTER TYPE level ADD VALUE 'high'", "The type level belongs to postgres"),
        ("ALTER SYSTEM SET server_version = '7'", "server_version is what the server was made with"),
        ("ALTER SYSTEM SET no_such_thing = 1", "This server has no parameter no_such_thing."),
    ],
)
def test_what_belongs_to_somebody_else_is_named_with_its_step(
    target: Target, statement: str, said: str
) -> None:
    me = target.value("SELECT current_user")
    target.do(
        "CREATE INDEX by_balance ON wallets (balance)", TYPE.format(me), f"ALTER TABLE wallets OWNER TO {me}"
    )
    target.do(f"ALTER DATABASE {target.value('SELECT current_database()')} OWNER TO {me}")
    found = asked(target, "VACUUM users", statement)
    assert found.verdict == "stop"
    assert found.who[0].startswith(("Step 2: " + said).replace("postgres", str(me))), found.who
