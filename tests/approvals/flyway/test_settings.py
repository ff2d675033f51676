"""Flyway's settings are read from the files beside the migrations, and what cannot be followed is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from approvals.flyway.files import read_directory
from approvals.flyway.names import Grammar
from approvals.flyway.patterns import MalformedPattern, Pattern, lets_pass
from approvals.flyway.settings import Settings, SettingsProblem, find_settings, read_rules, read_settings

TOML = """
[flyway]
table = "history"
schemas = ["app", "audit"]
sqlMigrationSuffixes = [".ddl"]
outOfOrder = true
ignoreMigrationPatterns = ["*:missing"]
email = "somebody@example.com"

[flyway.placeholders]
owner = "wallet_owner"

[environments.default]
url = "jdbc:postgresql://db.example.com/app"
"""
CONF = """
flyway.table=history
flyway.schemas=app,audit
flyway.sqlMigrationSuffixes=.ddl
flyway.outOfOrder=true
flyway.ignoreMigrationPatterns=*:missing
flyway.email=somebody@example.com
flyway.placeholders.owner=wallet_owner
"""


@pytest.mark.parametrize(("name", "text"), [("flyway.toml", TOML), ("flyway.conf", CONF)])
def test_both_files_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert find_settings(tmp_path) == Settings(
        grammar=Grammar(suffixes=(".ddl",)),
        schemas=("app", "audit"),
        table="history",
        placeholders={"owner": "wallet_owner"},
        out_of_order=True,
        ignore_patterns=(Pattern("*", "missing"),),
        path=tmp_path / name,
        ignored=("flyway.email",),
    )


def test_the_schema_of_the_history_is_the_default_one_or_the_first() -> None:
    assert Settings().history_schema is None
    assert Settings(schemas=("a", "b")).history_schema == "a"
    assert Settings(schemas=("a",), default_schema="x").history_schema == "x"


def test_the_nearest_file_counts_and_toml_before_conf(tmp_path: Path) -> None:
    sql = tmp_path / "sql"
    sql.mkdir()
    assert find_settings(sql) == Settings()
    (tmp_path / "flyway.conf").write_text("flyway.table=above")
    assert find_settings(sql).table == "above"
    (sql / "flyway.conf").write_text("flyway.table=conf")
    assert find_settings(sql).table == "conf"
    (sql / "flyway.toml").write_text('[flyway]\ntable = "toml"')
    assert find_settings(sql).table == "toml"


def test_an_environment_may_name_schemas_and_settings_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "flyway.toml"
    path.write_text(
        '[flyway]\nenvironment = "live"\ntable = "t"\n[environments.live]\nschemas = ["s"]\n'
        '[environments.live.flyway]\ntable = "u"\n[environments.other]\nschemas = ["o"]'
    )
    read = read_settings(path)
    assert (read.schemas, read.table) == (("s",), "u")


def test_values_from_an_environment_that_is_not_here_are_named(tmp_path: Path) -> None:
    path = tmp_path / "flyway.conf"
    path.write_text("flyway.placeholders.password=${SECRET}\nflyway.table=t")
    assert read_settings(path).unresolved == ("flyway.placeholders.password",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("flyway.outOfOrder=yes", "flyway.conf: flyway.outOfOrder: must be true or false, not 'yes'"),
        ("flyway.encoding=KOI8-R", "the encoding 'KOI8-R' is not supported"),
        ("flyway.detectEncoding=true", "name the encoding instead"),
        ("flyway.ignoreMigrationPatterns=all", "'all' is not a pattern"),
        ("flyway.placeholders.a=1\nflyway.placeholders.A=2", "differ only in case"),
        ("flyway.placeholderPrefix=", "must not be empty"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_file_and_key(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "flyway.conf").write_text(text)
    with pytest.raises(SettingsProblem, match=r"flyway\.conf") as refused:
        find_settings(tmp_path)
    assert says in str(refused.value)


def test_a_broken_toml_file_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "flyway.toml").write_text("[flyway\n")
    with pytest.raises(SettingsProblem, match=r"flyway\.toml: .*line 1"):
        find_settings(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "flyway = 5",
        "environments = 5",
        "[environments.default]\nflyway = 5",
        "[flyway]\nx = " + "[" * 100_000,
        "[flyway]\n" + ".".join(["a"] * 5_000) + " = 1",
    ],
)
def test_a_toml_file_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "flyway.toml").write_text(text)
    with pytest.raises(SettingsProblem, match=r"flyway\.toml: "):
        find_settings(tmp_path)


def test_a_directory_is_read_by_its_settings(tmp_path: Path) -> None:
    settings = Settings(
        grammar=Grammar(versioned="M", suffixes=(".ddl",)), encoding="iso8859-1", placeholders={"x": "1"}
    )
    (tmp_path / "M1__a.ddl").write_bytes(b"-- caf\xe9")
    (tmp_path / "R__b.ddl").write_bytes(b"select ${x}, ${unknown};")
    (tmp_path / "R__c.ddl").write_bytes(b"select ${x};")
    (tmp_path / "V1__d.sql").write_bytes(b"--")
    found = read_directory(tmp_path, settings)
    assert [file.path for file in found.files] == ["M1__a.ddl", "R__c.ddl"]
    assert found.files[1].filled_checksum not in (None, found.files[1].checksum)
    assert [(one.path, one.code, one.column, one.stops_flyway) for one in found.problems] == [
        ("R__b.ddl", "placeholder", 14, True)
    ]


def test_placeholders_that_flyway_fills_itself_are_no_problem(tmp_path: Path) -> None:
    (tmp_path / "R__a.sql").write_bytes(b"-- ${flyway:timestamp}")
    (file,) = read_directory(tmp_path, Settings()).files
    assert file.filled_checksum is None


def test_programs_are_told_and_count_for_flyway(tmp_path: Path) -> None:
    for name in ("V1__a.sql", "V2__b.sh", "V3__c", "README", "notes.md"):
        (tmp_path / name).write_bytes(b"exit")
    found = read_directory(tmp_path)
    assert [(one.path, one.code) for one in found.problems] == [("V2__b.sh", "program"), ("V3__c", "program")]
    assert [file.path for file in found.files] == ["V1__a.sql"]
    assert [(file.path, file.name.type) for file in found.seen_by_flyway] == [
        ("V1__a.sql", "SQL"),
        ("V2__b.sh", "SCRIPT"),
        ("V3__c", "SCRIPT"),
    ]


def test_the_conf_file_of_a_migration_says_how_to_read_it(tmp_path: Path) -> None:
    (tmp_path / "V1__a.sql").write_bytes(b"-- caf\xe9")
    (tmp_path / "V1__a.sql.conf").write_text("encoding=ISO-8859-1")
    (file,) = read_directory(tmp_path).files
    assert file.sql == "-- café"


@pytest.mark.parametrize(
    "text", ["x=1", "shouldExecute=false", "encoding=nonsense", "executeInTransaction=1"]
)
def test_rules_that_flyway_refuses_are_refused(text: str) -> None:
    with pytest.raises(SettingsProblem):
        read_rules(text)


def test_patterns_match_by_kind_and_state() -> None:
    one = Pattern.parse(" Versioned : MISSING ")
    assert one.matches(versioned=True, state="Missing")
    assert not one.matches(versioned=False, state="Missing")
    assert not one.matches(versioned=True, state="Failed (Missing)")
    assert not lets_pass([one], "missing")
    assert lets_pass([one, Pattern.parse("repeatable:*")], "missing")
    for text in ("", "missing", "all:missing", "*:failed", "*:missing:x"):
        with pytest.raises(MalformedPattern, match="is not a pattern"):
            Pattern.parse(text)
