"""The matrix is the seed's, word for word, and goes on in the same columns; hazards are whole."""

from __future__ import annotations

import pytest

from approvals.analysis import HAZARDS, MATRIX, Risk, matrix, registry
from approvals.analysis.hazards import hazard
from approvals.analysis.registry import Context, Kind, registered

SEED = [
    ("CREATE TABLE", "HIGH", "Forward fix", "YES (if populated)"),
    ("DROP TABLE", "CRITICAL", "Restore from backup", "YES (permanent)"),
    ("ADD COLUMN", "LOW", "Drop column or keep", "Maybe (if populated)"),
    ("DROP COLUMN", "CRITICAL", "Restore from backup", "YES (permanent)"),
    ("ADD INDEX", "MINIMAL", "Drop index", "NO"),
    ("DROP INDEX", "LOW", "Recreate index", "NO"),
    ("ADD CONSTRAINT", "MEDIUM", "Drop constraint", "NO"),
    ("DROP CONSTRAINT", "LOW", "Add constraint", "NO"),
    ("ALTER TYPE", "MEDIUM", "Restore type", "Maybe (truncation)"),
    ("INSERT DATA", "LOW", "Delete data", "NO"),
    ("UPDATE DATA", "HIGH", "Restore from backup", "YES (requires backup)"),
    ("DELETE DATA", "CRITICAL", "Restore from backup", "YES (permanent)"),
]


def test_the_seeds_twelve_rows_come_first_word_for_word() -> None:
    rows = [(row.change, row.risk.name, row.action, row.data_loss) for row in MATRIX if row.origin == "seed"]

    assert rows == SEED
    assert rows == [(row.change, row.risk.name, row.action, row.data_loss) for row in MATRIX[:12]]


@pytest.mark.parametrize(
    "change",
    [
        *("ALTER SYSTEM", "VACUUM", "DO BLOCK", "TRUNCATE", "COPY IN", "GRANT", "REVOKE", "CREATE POLICY"),
        *("ATTACH PARTITION", "DETACH PARTITION", "CREATE PARTITION", "CREATE EXTENSION", "CREATE SEQUENCE"),
        *(
            "CREATE TRIGGER",
            "DROP TRIGGER",
            "CREATE FUNCTION",
            "REPLACE FUNCTION",
            "CREATE VIEW",
            "DROP VIEW",
        ),
        *("CREATE TYPE", "ADD ENUM VALUE", "RENAME COLUMN", "ALTER DEFAULT", "SET NOT NULL", "DROP NOT NULL"),
    ],
)
def test_it_goes_on_for_what_real_migrations_do(change: str) -> None:
    assert matrix.row(change).origin == "extended"


def test_every_row_stands_once_and_is_whole() -> None:
    assert len({row.change for row in MATRIX}) == len(MATRIX)
    for row in MATRIX:
        assert row.data_loss.split()[0] in ("YES", "NO", "Maybe")
        assert row.action


def test_an_unknown_change_is_critical() -> None:
    assert matrix.row(matrix.UNKNOWN).risk == Risk.CRITICAL
    assert hazard("unreadable").risk == Risk.CRITICAL


def test_every_hazard_stands_once_and_has_its_texts() -> None:
    assert len({each.id for each in HAZARDS}) == len(HAZARDS)
    for each in HAZARDS:
        assert all(text.endswith(".") for text in (each.reason, each.problem, each.solution))
        assert each.title


def test_kinds_that_name_their_row_and_hazard_name_existing_ones() -> None:
    kinds = set(registry._KINDS.values())

    assert len(kinds) > 90
    for kind in kinds:
        for own, known in (("change", matrix.row), ("hazard", hazard)):
            value = getattr(kind, own)
            if isinstance(value, str):
                known(value)


def test_two_kinds_cannot_read_the_same_statement() -> None:
    with pytest.raises(ValueError, match="Again and CreateIndex both read"):

        @registered("index_stmt")
        class Again(Kind):
            pass


def test_a_statement_without_a_kind_is_unknown() -> None:
    kind = registry.kind_of("made_up_stmt", None, Context())

    assert (kind.name, kind.change, kind.hazard) == ("UNKNOWN MADE UP", "UNKNOWN", "unreadable")
