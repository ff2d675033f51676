"""The project's flyway.toml: the real Flyway takes from it what we take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.flyway.settings import Settings, SettingsProblem, read_settings
from tests.differential import real

pytestmark = pytest.mark.skipif(
    real.missing() is not None, reason=f"NOT COMPARED WITH THE REAL FLYWAY: {real.missing()}"
)

WRITTEN = {
    "every setting": """
        [flyway]
        environment = "production"
        encoding = "ISO-8859-1"
        table = "migrated"
        defaultSchema = "app"
        sqlMigrationPrefix = "M"
        repeatableSqlMigrationPrefix = "Again"
        sqlMigrationSeparator = "--"
        sqlMigrationSuffixes = [".sql", ".ddl"]
        placeholderPrefix = "@["
        placeholderSuffix = "]"
        placeholderSeparator = "."
        placeholderReplacement = false
        outOfOrder = true
        validateOnMigrate = false
        validateMigrationNaming = true
        ignoreMigrationPatterns = ["*:missing", "repeatable:Future"]
        [flyway.placeholders]
        table = "accounts"
        "with.dot" = "x"
        [environments.production]
        url = "jdbc:postgresql://localhost/x"
        schemas = ["app", "other"]
        """,
    "nothing": "",
    "no table [flyway]": "[environments.default]\nschemas = ['a']\n",
    "another environment": "[environments.other]\nschemas = ['a']\n[environments.default]\nurl = 'x'\n",
    "dotted keys": "flyway.table = 'a'\nflyway.placeholders.x = 'y'\nflyway.placeholders.X2 = ''\n",
    "an inline table": "flyway = {table = 'a', outOfOrder = true, placeholders = {a = '1'}}\n",
    "words for flags": "[flyway]\noutOfOrder = 'true'\n",
    "other words for flags": "[flyway]\noutOfOrder = 'yes'\n",
    "a number for a flag": "[flyway]\noutOfOrder = 1\n",
    "a text for a list": "[flyway]\nsqlMigrationSuffixes = '.sql,.ddl'\n",
    "a list for a text": "[flyway]\ntable = ['a']\n",
    "a number for a text": "[flyway]\ntable = 5\n",
    "a number as a placeholder": "[flyway.placeholders]\nx = 5\ny = true\nz = 1.50\n",
    "a list as a placeholder": "[flyway.placeholders]\nx = ['a', 'b']\n",
    "an unknown key": "[flyway]\nnonsense = 1\ntable = 'a'\n",
    "an unknown table": "[other]\nx = 1\n",
    "a key of a plug-in": "[flyway.postgresql.transactional]\nlock = false\n",
    "not TOML": "flyway.table=x\n",
    "twice the same": "[flyway]\ntable = 'a'\ntable = 'b'\n",
    "an environment's own settings": (
        "[flyway]\ntable = 'a'\n[environments.default.flyway]\ntable = 'b'\noutOfOrder = true\n"
    ),
    "an empty text": "[flyway]\ntable = ''\n",
    "an empty pattern among others": "[flyway]\nignoreMigrationPatterns = ['', '*:future']\n",
    "no patterns": "[flyway]\nignoreMigrationPatterns = []\nsqlMigrationSuffixes = []\n",
    "empty patterns": "[flyway]\nignoreMigrationPatterns = ['']\n",
    "texts over lines": '[flyway.placeholders]\nx = """one\ntwo"""\ny = \'\'\'a\\b\'\'\'\nz = "\\u00e9\\t"\n',
    "a mark in front": "\ufeff[flyway]\ntable = 'a'\n",
}

VALUES = [
    "'a'",
    "''",
    "'true'",
    "true",
    "false",
    "1",
    "['a']",
    "['a', 'b,c']",
    "[]",
    "'*:missing'",
    "['*:future']",
]
KEYS = [
    "table",
    "defaultSchema",
    "outOfOrder",
    "placeholderReplacement",
    "sqlMigrationPrefix",
    "sqlMigrationSuffixes",
    "ignoreMigrationPatterns",
    "validateOnMigrate",
    "placeholders.x",
]


@st.composite
def documents(draw: st.DrawFn) -> str:
    keys = draw(st.lists(st.sampled_from(KEYS), unique=True, max_size=4))
    lines = [f"{key} = {draw(st.sampled_from(VALUES))}" for key in keys]
    schemas = draw(st.sampled_from(["", "[environments.default]\nschemas = ['a', 'b']\n"]))
    return "[flyway]\n" + "\n".join(lines) + "\n" + schemas


def taken(ours: Settings) -> dict[str, Any]:
    return {
        "encoding": ours.encoding,
        "schemas": list(ours.schemas),
        "default_schema": ours.default_schema,
        "table": ours.table,
        "versioned_prefix": ours.grammar.versioned,
        "repeatable_prefix": ours.grammar.repeatable,
        "separator": ours.grammar.separator,
        "suffixes": list(ours.grammar.suffixes),
        "placeholders": dict(ours.placeholders),
        "placeholder_prefix": ours.placeholder_prefix,
        "placeholder_suffix": ours.placeholder_suffix,
        "placeholder_separator": ours.placeholder_separator,
        "placeholder_replacement": ours.placeholder_replacement,
        "out_of_order": ours.out_of_order,
        "validate_on_migrate": ours.validate_on_migrate,
        "validate_naming": ours.validate_naming,
        "ignore_patterns": sorted(str(one) for one in ours.ignore_patterns),
    }


def test_settings_are_taken_alike(tmp_path: Path) -> None:
    """One process of Java for all of them."""
    made: dict[str, None] = dict.fromkeys(WRITTEN.values())

    @settings(max_examples=300, derandomize=True, deadline=None, database=None)
    @given(documents())
    def gather(text: str) -> None:
        made[text] = None

    gather()
    different = []
    for text, answer in zip(made, real.read_toml(list(made)), strict=True):
        if (said := compared(text, answer, tmp_path / "flyway.toml")) is not None:
            different.append((text, *said))
    assert not different, f"{len(different)} of {len(made)}: {different[:5]}"


def compared(text: str, answer: dict[str, Any], file: Path) -> tuple[Any, Any] | None:
    """What we say and what they say, where that is not the same."""
    file.write_text(text, "utf-8")
    try:
        ours = taken(read_settings(file))
    except SettingsProblem as problem:
        return None if "value" not in answer else (str(problem), answer)
    if "value" not in answer:
        return ours, answer
    theirs = dict(answer["value"])
    theirs["ignore_patterns"] = sorted(one.replace(" ", "").lower() for one in theirs["ignore_patterns"])
    theirs["encoding"] = theirs["encoding"].lower().replace("iso-", "iso")
    return (
        None
        if ours == theirs
        else tuple({key: side[key] for key in side if ours[key] != theirs[key]} for side in (ours, theirs))
    )  # type: ignore[return-value]
