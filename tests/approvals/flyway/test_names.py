"""File names are read by Flyway's grammar."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.flyway.names import CALLBACKS, FileName, Kind, MalformedName, is_sql, parse_name
from approvals.flyway.versions import Version

UNDERSTOOD = [
    # file name, kind, version, description
    ("V1__Create_users.sql", Kind.VERSIONED, "1", "Create users"),
    ("V2025.11.22.001__Fix_fk_cascades.sql", Kind.VERSIONED, "2025.11.22.001", "Fix fk cascades"),
    ("V1_2__x.SQL", Kind.VERSIONED, "1.2", "x"),
    ("V002.sql", Kind.VERSIONED, "002", ""),
    ("V002__.sql", Kind.VERSIONED, "002", ""),
    ("V1___x.sql", Kind.VERSIONED, "1", " x"),
    ("V1__a__b.sql", Kind.VERSIONED, "1", "a  b"),
    ("V1__a.b.sql", Kind.VERSIONED, "1", "a.b"),
    ("V1__Größe.sql", Kind.VERSIONED, "1", "Größe"),
    ("U300__Undo_it.sql", Kind.UNDO, "300", "Undo it"),
    ("B7__Baseline.sql", Kind.BASELINE, "7", "Baseline"),
    ("R__Views.sql", Kind.REPEATABLE, None, "Views"),
    ("afterMigrate.sql", Kind.CALLBACK, None, ""),
    ("afterMigrate__grants.sql", Kind.CALLBACK, None, "grants"),
    ("afterMigrateError__tell.sql", Kind.CALLBACK, None, "tell"),
]

REFUSED = [
    # file name, what the message has to say
    ("R999__Rollback.sql", "cannot contain a version"),
    ("R999__Rollback.sql", "U999__Rollback.sql if it takes migration 999 back"),
    ("Rollback.sql", "cannot contain a version"),
    ("R.sql", "no description"),
    ("R__.sql", "no description"),
    ("R___.sql", "no description"),
    ("V__x.sql", "must contain a version"),
    ("V.sql", "must contain a version"),
    ("U__x.sql", "must contain a version between U and __"),
    ("V1_add_users.sql", "double underscore"),
    ("V1_add_users.sql", "name it like V1__add_users.sql"),
    ("V003A__mfa.sql", "'003A' is not a version"),
    ("V1.__x.sql", "is not a version"),
    ("Vcurrent__x.sql", "is not a version"),
    ("V" + "1" * 51 + "__x.sql", "51 characters"),
    ("afterMigrate1__x.sql", "cannot contain a version"),
    ("afterMigrateX.sql", "of a callback cannot contain a version"),
    ("AfterMigrate.sql", "does not begin with V, U, R, B"),
    ("v1__x.sql", "capital letter"),
    ("production-indexes.sql", "does not begin with V, U, R, B or the name of a callback"),
    ("V1__x.sql.conf", "does not end in .sql"),
    ("V1__x.sql ", "does not end in .sql"),
    ("V1__x", "does not end in .sql"),
    (".sql", "does not begin with"),
    ("", "does not end in .sql"),
    ("V1__a\nb.sql", "cannot be shown"),
    ("V1__a\udce9.sql", "cannot be shown"),
]

ROLLBACKS = [
    "R__Rollback_V006_Decimal_Precision.sql",
    "R__rollback.sql",
    "R__Roll_back_users.sql",
    "R__RollbackV006.sql",
    "R__Rolling_back_users.sql",
    "R__Undo_V6.sql",
    "R__UndoV6.sql",
    "R__Revert_users.sql",
    "R__V006_Rollback.sql",
    "R__2025.11.22_undo.sql",
]
NO_ROLLBACKS = [
    "R__Views.sql",
    "R__Rollbacks_per_day.sql",
    "R__Undocumented_columns.sql",
    "R__Reverted.sql",
    "R__View_of_rollback_counts.sql",
    "V6__Rollback_of_V5.sql",
    "U6__Rollback.sql",
    "beforeUndo__Rollback.sql",
]


@pytest.mark.parametrize(("filename", "kind", "version", "description"), UNDERSTOOD)
def test_a_good_name_is_understood(filename: str, kind: Kind, version: str | None, description: str) -> None:
    name = parse_name(filename)
    assert name == FileName(kind, Version.parse(version) if version else None, description, filename)
    assert (name.version.text if name.version else None) == version


@pytest.mark.parametrize(("filename", "says"), REFUSED)
def test_a_bad_name_is_refused_with_what_is_wrong(filename: str, says: str) -> None:
    with pytest.raises(MalformedName) as refused:
        parse_name(filename)
    assert says in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("event", CALLBACKS)
def test_every_callback_is_known_with_and_without_description(event: str) -> None:
    for filename in (f"{event}.sql", f"{event}__x.sql"):
        name = parse_name(filename)
        assert name.kind is Kind.CALLBACK
        assert name.event == event


def test_only_callbacks_have_an_event() -> None:
    assert parse_name("V1__x.sql").event is None


@pytest.mark.parametrize("filename", ROLLBACKS)
def test_a_repeatable_migration_named_like_a_rollback_is_seen(filename: str) -> None:
    assert parse_name(filename).looks_like_rollback


@pytest.mark.parametrize("filename", NO_ROLLBACKS)
def test_other_names_are_no_rollbacks_in_disguise(filename: str) -> None:
    assert not parse_name(filename).looks_like_rollback


@given(st.text())
def test_any_text_is_a_name_or_malformed(text: str) -> None:
    for filename in (text, text + ".sql", "V" + text + ".sql", "R" + text + ".sql"):
        with contextlib.suppress(MalformedName):
            assert parse_name(filename).script == filename


@given(
    kind=st.sampled_from([kind for kind in Kind if kind is not Kind.CALLBACK]),
    version=st.lists(st.integers(0, 99999), min_size=1, max_size=4),
    glue=st.sampled_from("._"),
    description=st.text(st.characters(categories=["L", "Nd"]), min_size=1).filter(str.isprintable),
    suffix=st.sampled_from([".sql", ".SQL", ".Sql"]),
)
def test_a_name_built_from_parts_gives_the_parts_back(
    kind: Kind, version: list[int], glue: str, description: str, suffix: str
) -> None:
    number = "" if kind is Kind.REPEATABLE else glue.join(map(str, version))
    name = parse_name(f"{kind.value}{number}__{description}{suffix}")
    assert name.kind is kind
    assert name.description == description
    assert name.version == (Version.parse(number) if number else None)
    assert is_sql(name.script)
