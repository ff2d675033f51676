"""File names, `.conf` files and single texts: the real Flyway reads them as we do."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from approvals.flyway import properties
from approvals.flyway.checksums import checksum
from approvals.flyway.names import (
    CALLBACKS,
    DEFAULT,
    FileName,
    Grammar,
    Kind,
    MalformedName,
    NoDescription,
    parse_name,
)
from approvals.flyway.settings import SettingsProblem, from_keys
from tests.differential.cases import Ground, must_agree, row
from tests.differential.real import RealFlyway, Refused
from tests.differential.strategies import names as file_names

pytestmark = pytest.mark.integration
MANY = settings(
    max_examples=300,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

GRAMMARS = {
    "flyway's own": (DEFAULT, {}),
    "all of it changed": (
        Grammar(versioned="Mig", repeatable="Again", separator="--", suffixes=(".ddl", ".pgsql")),
        {
            "flyway.sqlMigrationPrefix": "Mig",
            "flyway.repeatableSqlMigrationPrefix": "Again",
            "flyway.sqlMigrationSeparator": "--",
            "flyway.sqlMigrationSuffixes": ".ddl,.pgsql",
        },
    ),
}
ODD = [
    "V1__a.sql",
    "V1.sql",
    "V_1__a.sql",
    "V1_.sql",
    "V__a.sql",
    "R__a.sql",
    "R1__a.sql",
    "R.sql",
    "B1__a.sql",
]
ODD += [f"{event}.sql" for event in CALLBACKS] + [f"{event}__x.sql" for event in CALLBACKS]
ODD += [
    "Mig1--a.ddl",
    "Mig1--a.pgsql",
    "Mig1__a.ddl",
    "Again--v.ddl",
    "Base2--b.PGSQL",
    "beforeMigrate--x.ddl",
]


def refuse_deliberately(name: str) -> bool:
    """Names that Flyway takes and nobody means: signs, words for versions, foreign digits."""
    return any(word in name for word in ("V-", "V+", "latest", "current", "next"))


def parts(name: FileName) -> dict[str, object]:
    return {
        "callback": name.kind is Kind.CALLBACK,
        "version": name.version.text if name.version else None,
        "description": name.description,
    }


@pytest.mark.parametrize(("grammar", "keys"), GRAMMARS.values(), ids=GRAMMARS.keys())
def test_names_are_read_alike(flyway: RealFlyway, grammar: Grammar, keys: dict[str, str]) -> None:
    """One request for all, since nothing here needs a database."""
    made: set[str] = set(ODD)

    @settings(max_examples=500, derandomize=True, deadline=None, database=None)
    @given(file_names())
    def gather(path: str) -> None:
        made.add(path.rpartition("/")[2])

    gather()
    names = sorted(name for name in made if grammar.suffix_of(name) and not refuse_deliberately(name))
    assert len(names) > 5
    for name, theirs in zip(names, flyway.ask("names", keys, names=names), strict=True):
        try:
            ours = parse_name(name, grammar)
        except NoDescription as refused:  # Flyway runs it, we report it; what it is called is not in dispute
            ours = refused.name
        except MalformedName:
            assert not theirs["valid"], name
            continue
        if ours.kind is Kind.UNDO:  # of which open-source Flyway knows nothing
            assert not theirs["valid"], name
            continue
        assert theirs["valid"], name
        assert {key: theirs[key] for key in parts(ours)} == parts(ours), name


CONF_LINES = [
    "flyway.table=history",
    "flyway.schemas = a, b ,c,",
    "flyway.defaultSchema:x",
    "flyway.sqlMigrationSuffixes=.sql,.ddl",
    "flyway.placeholders.Name=va\\lue",
    "flyway.placeholders.long=one \\",
    "  two",
    "# flyway.table=comment",
    "! another",
    "",
    "flyway.outOfOrder=TRUE",
    "flyway.ignoreMigrationPatterns=*:missing, versioned:Ignored",
    "flyway.encoding=ISO-8859-1",
    "flyway.placeholderPrefix=@{",
    "flyway.placeholders.x=C:\\temp\\new",
    "flyway.placeholders.y=\\u0041\\t",
    "flyway.validateOnMigrate=false\\",
    "flyway.table",
    "flyway.table tab",
    "flyway.placeholders.e=a==b",
    "flyway.validateMigrationNaming=true",
]


@MANY
@given(
    st.lists(st.sampled_from(CONF_LINES), max_size=8),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", " "]),
)
@example(["flyway.placeholders.a=b\\"], "\n", "")
def test_conf_files_are_read_alike(flyway: RealFlyway, lines: list[str], end: str, indent: str) -> None:
    text = end.join(indent + line for line in lines)
    keys = properties.parse(text)
    try:
        theirs = flyway.ask("settings", text=text)
    except Refused:
        with pytest.raises(SettingsProblem):
            from_keys(keys)
        return
    assert keys == theirs["keys"]
    ours = from_keys(keys)
    told = {
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
    }
    assert told == {key: theirs[key] for key in told}
    assert [str(one) for one in ours.ignore_patterns] == [
        one.replace(" ", "").lower() for one in theirs["ignore_patterns"]
    ]


TEXTS: dict[str, tuple[bytes, str]] = {
    "two marks": (b"\xef\xbb\xbf\xef\xbb\xbf--", "UTF-8"),
    "a mark in the middle": (b"--a\n\xef\xbb\xbf--b", "UTF-8"),
    "only a mark": (b"\xef\xbb\xbf", "UTF-8"),
    "UTF-16 with its mark": ("-- é\r\nselect 1;".encode("utf-16"), "UTF-16"),
    "UTF-16 without a mark": ("-- é\nselect 1;".encode("utf-16-be"), "UTF-16"),
    "UTF-16, low byte first, with a mark": ("\ufeff-- é".encode("utf-16-le"), "UTF-16LE"),
    "Latin-1": (b"-- caf\xe9\r-- \x85 \x0c", "ISO-8859-1"),
    "Windows-1252": (b"-- \x80 caf\xe9", "windows-1252"),
    "a byte that Windows-1252 lacks": (b"-- \x81", "windows-1252"),
    "beyond the BMP": ("-- 𝄞\u2028\u2029\x85".encode(), "UTF-8"),
    "a surrogate": (b"-- \xed\xa0\x80", "UTF-8"),
    "overlong": (b"-- \xc0\xaf", "UTF-8"),
    "cut off": (b"-- \xe2\x82", "UTF-8"),
    "NUL": (b"-- \x00", "UTF-8"),
    "more than a buffer": (b"-- " + "é".encode() * 5000 + b"\r\n--", "UTF-8"),
    "a line end across buffers": (b"-" * 4095 + b"\r\n--", "UTF-8"),
}


@pytest.mark.parametrize(("data", "encoding"), TEXTS.values(), ids=TEXTS.keys())
def test_texts_are_read_alike(ground: Ground, data: bytes, encoding: str) -> None:
    with ground.case({"V1__a.sql": data}, {"flyway.encoding": encoding}) as case:
        must_agree(case)


RULES: dict[str, tuple[str, bytes]] = {
    "encoding": ("encoding=ISO-8859-1", b"-- caf\xe9"),
    "not in a transaction": ("executeInTransaction=false", b"vacuum pg_am;"),
    "no placeholders": ("placeholderReplacement=false", b"-- ${unknown}"),
    "an unknown key": ("nonsense=1", b"--"),
    "a paid one": ("shouldExecute=false", b"--"),
    "not a flag": ("executeInTransaction=yes", b"--"),
    "a comment": ("# nothing\n", b"--"),
}


@pytest.mark.parametrize(("conf", "data"), RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("name", ["V1__a.sql", "R__a.sql", "sub/V2__b.sql"])
def test_the_conf_file_beside_a_migration_counts(ground: Ground, name: str, conf: str, data: bytes) -> None:
    with ground.case({name: data, f"{name}.conf": conf.encode()}) as case:
        must_agree(case)


PLACEHOLDERS = [
    "${x}",
    "$${x}",
    "$$${x}",
    "${X} ${x}",
    "'${x}' -- ${y}",
    "${",
    "${}",
    "$ {x}",
    "@x@",
    "$",
]


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_placeholders_of_repeatable_migrations_count_in_their_checksum(ground: Ground, text: str) -> None:
    keys = {"flyway.placeholders.x": "one\r\ntwo", "flyway.placeholders.y": ""}
    with ground.case({"R__a.sql": f"-- {text}\n".encode()}, keys) as case:
        must_agree(case)


@pytest.mark.parametrize("version", ["V2", "V1.5", "B3"])
def test_migrate_stops_at_a_placeholder_without_a_value(ground: Ground, version: str) -> None:
    files = {
        "V1__a.sql": b"select '${x} ${flyway:timestamp}';",
        f"{version}__b.sql": b"select 1;\n-- ${flyway:user} ${nobody}\n",
        "V4__c.sql": b"select 4;",
    }
    with ground.case(files, {"flyway.placeholders.x": "one"}) as case:
        stops = case.foreseen().run.stops
        assert stops is not None
        assert "line 2, column 19: no value for the placeholder ${nobody}" in stops.message
        assert must_agree(case) == "migrate stopped"


def test_a_repeatable_one_with_a_placeholder_without_a_value_stops_every_command(
    ground: Ground,
) -> None:
    files = {"V1__a.sql": b"select 1;", "R__b.sql": b"select '${flyway:timestamp} ${nobody}';"}
    with ground.case(files) as case:
        assert must_agree(case) == "directory refused"


def test_a_placeholder_that_is_never_closed_is_refused_where_flyway_guesses(ground: Ground) -> None:
    """Flyway drops the file's last character and fills in what is left of the name: nobody means that."""
    with ground.case({"R__a.sql": b"-- ${x\n"}, {"flyway.placeholders.x": "one"}) as case:
        assert [line["state"] for line in case.ask("info")["lines"]] == ["Pending"]
        assert [problem.code for problem in case.read().refusals] == ["placeholder"]


def test_a_repeatable_row_with_the_checksum_before_filling_is_current_but_not_valid(ground: Ground) -> None:
    text = b"-- ${x}\n"
    with ground.case({"R__a.sql": text}, {"flyway.placeholders.x": "one"}) as case:
        case.write_history([row(1, None, "a", script="R__a.sql", checksum=checksum(text))])
        assert [line.state.value for line in case.foreseen().lines] == ["Success"]
        assert must_agree(case) == "migrate refused"


def test_other_marks_around_placeholders(ground: Ground) -> None:
    keys = {
        "flyway.placeholderPrefix": "@[[",
        "flyway.placeholderSuffix": "]]",
        "flyway.placeholders.x": "one",
    }
    with ground.case({"R__a.sql": b"-- @[[x]] @[x]] @@[[x]] [[ ] @[@[[x]]"}, keys) as case:
        must_agree(case)
