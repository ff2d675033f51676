"""Flyway's settings as written in a `flyway.toml` or `flyway.conf` beside the migrations."""

from __future__ import annotations

import codecs
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from approvals.flyway import placeholders, properties
from approvals.flyway.names import DEFAULT, Grammar
from approvals.flyway.patterns import FUTURE, MalformedPattern, Pattern
from approvals.flyway.placeholders import Syntax

TOML, CONF = "flyway.toml", "flyway.conf"
DEFAULT_TABLE = "flyway_schema_history"

ENCODINGS = frozenset(
    {"utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1250", "cp1251", "cp1252"}
    | {"utf-16", "utf-16-be", "utf-16-le"}
)
"""Encodings that Java and Python read alike; any other is refused rather than read a little differently."""


class SettingsProblem(ValueError):
    """A settings file that Flyway would refuse, or that says what this portal cannot follow."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What Flyway is told about names, texts and order; every default is Flyway's own (Flyway 13).

    `path` is the file that they come from, None for the defaults. `ignored` are keys of the file that change
    nothing here, `unresolved` those whose value needs an environment that the portal does not have.
    """

    grammar: Grammar = DEFAULT
    encoding: str = "utf-8"
    detect_encoding: bool = False
    schemas: tuple[str, ...] = ()
    default_schema: str | None = None
    table: str = DEFAULT_TABLE
    locations: tuple[str, ...] = ()
    placeholders: Mapping[str, str] = field(default_factory=dict)
    placeholder_replacement: bool = True
    placeholder_prefix: str = "${"
    placeholder_suffix: str = "}"
    placeholder_separator: str = ":"
    out_of_order: bool = False
    ignore_patterns: tuple[Pattern, ...] = (FUTURE,)
    validate_on_migrate: bool = True
    validate_naming: bool = False
    path: Path | None = None
    ignored: tuple[str, ...] = ()
    unresolved: tuple[str, ...] = ()

    @property
    def syntax(self) -> Syntax:
        """How placeholders are written."""
        return Syntax(self.placeholder_prefix, self.placeholder_suffix)

    @property
    def built_in(self) -> frozenset[str]:
        """Names of placeholders, in lower case, that Flyway fills by itself."""
        return frozenset(
            name.replace(":", self.placeholder_separator, 1).lower() for name in placeholders.BUILT_IN
        )

    @property
    def history_schema(self) -> str | None:
        """The schema of the history table; None: the first of the connection's search path."""
        return self.default_schema or next(iter(self.schemas), None)


@dataclass(frozen=True, slots=True)
class FileRules:
    """What the `.conf` file beside one migration says; None: what holds for all."""

    encoding: str | None = None
    execute_in_transaction: bool | None = None
    placeholder_replacement: bool | None = None


def read_rules(text: str) -> FileRules:
    """Read the text of a `V1__x.sql.conf`. Raises SettingsProblem at whatever open-source Flyway refuses.

    That includes `shouldExecute`, which belongs to the paid editions: whether the file runs would hang on an
    expression over placeholders and environment.
    """
    keys = properties.parse(text)
    try:
        rules = FileRules(
            encoding=encoding_of(keys.pop("encoding")) if "encoding" in keys else None,
            execute_in_transaction=_flag_of(keys, "executeInTransaction"),
            placeholder_replacement=_flag_of(keys, "placeholderReplacement"),
        )
    except ValueError as bad:
        raise SettingsProblem(str(bad)) from None
    if "shouldExecute" in keys:
        raise SettingsProblem("shouldExecute belongs to the paid editions of Flyway; the others refuse it")
    if keys:
        raise SettingsProblem(f"Flyway refuses the unknown setting {', '.join(sorted(keys))}")
    return rules


def _flag_of(keys: dict[str, str], name: str) -> bool | None:
    try:
        return _flag(keys.pop(name)) if name in keys else None
    except ValueError as bad:
        raise SettingsProblem(f"{name} {bad}") from None


def find_settings(directory: Path) -> Settings:
    """The settings that lie in the directory or in the folder above it; the defaults where there are none.

    Of two files in one folder the TOML one counts, as with Flyway. Raises SettingsProblem.
    """
    for folder in (directory, directory.absolute().parent):
        for name in (TOML, CONF):
            if (folder / name).is_file():
                return read_settings(folder / name)
    return Settings()


def read_settings(path: Path) -> Settings:
    """Read one settings file. Raises SettingsProblem, which names file and key."""
    try:
        text = path.read_text("utf-8")
        keys = _from_toml(text) if path.suffix == ".toml" else properties.parse(text)
        return replace(from_keys(keys), path=path)
    except (SettingsProblem, UnicodeDecodeError, tomllib.TOMLDecodeError, OSError) as bad:
        raise SettingsProblem(f"{path.name}: {bad}") from None
    except RecursionError:
        raise SettingsProblem(f"{path.name}: it is nested deeper than any settings are") from None


def from_keys(keys: Mapping[str, str | tuple[str, ...]]) -> Settings:
    """Settings from keys such as `flyway.table`, all values as text, lists also as tuples of texts. Raises
    SettingsProblem."""
    values: dict[str, Any] = {}
    grammar: dict[str, Any] = {}
    filled: dict[str, str] = {}
    ignored: list[str] = []
    for key, value in keys.items():
        name = key.removeprefix("flyway.")
        if name.startswith(_PLACEHOLDER):
            filled[name.removeprefix(_PLACEHOLDER)] = str(value)
        elif name in _SETTINGS:
            attribute, read = _SETTINGS[name]
            try:
                (grammar if attribute in _IN_GRAMMAR else values)[attribute] = read(value)
            except ValueError as bad:
                raise SettingsProblem(f"{key}: {bad}") from None
        else:
            ignored.append(key)
    if len({name.lower() for name in filled}) != len(filled):
        raise SettingsProblem("two placeholders differ only in case, and Flyway takes them for one")
    unresolved = tuple(sorted(key for key, value in keys.items() if properties.variables(str(value))))
    return Settings(
        grammar=Grammar(**grammar),
        placeholders=filled,
        ignored=tuple(sorted(ignored)),
        unresolved=unresolved,
        **values,
    )


def encoding_of(name: str) -> str:
    """Python's name of an encoding that Flyway was given. Raises SettingsProblem for those not read alike."""
    try:
        found = codecs.lookup(name.strip()).name
    except (LookupError, ValueError):
        found = ""
    if found not in ENCODINGS:
        raise SettingsProblem(f"the encoding {name!r} is not supported: use UTF-8")
    return found


def _flag(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise ValueError(f"must be true or false, not {value!r}")
    return value.lower() == "true"


def _filled(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    return value


def _list(value: str | tuple[str, ...]) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return value
    parts = [part.strip() for part in value.split(",")]
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return tuple(parts)


def _patterns(value: str | tuple[str, ...]) -> tuple[Pattern, ...]:
    parts = _list(value) if value != "" else ()
    try:
        return () if parts == ("",) else tuple(Pattern.parse(part) for part in parts)
    except MalformedPattern as bad:
        raise ValueError(str(bad)) from None


def _never(value: str) -> bool:
    if _flag(value):
        raise ValueError("cannot be followed here: name the encoding instead")
    return False


_PLACEHOLDER = "placeholders."
_IN_GRAMMAR = frozenset(one.name for one in fields(Grammar))
_SETTINGS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "sqlMigrationPrefix": ("versioned", str),
    "undoSqlMigrationPrefix": ("undo", str),
    "repeatableSqlMigrationPrefix": ("repeatable", str),
    "baselineMigrationPrefix": ("baseline", str),
    "sqlMigrationSeparator": ("separator", str),
    "sqlMigrationSuffixes": ("suffixes", _list),
    "encoding": ("encoding", encoding_of),
    "detectEncoding": ("detect_encoding", _never),
    "schemas": ("schemas", _list),
    "defaultSchema": ("default_schema", str),
    "table": ("table", str),
    "locations": ("locations", _list),
    "placeholderReplacement": ("placeholder_replacement", _flag),
    "placeholderPrefix": ("placeholder_prefix", _filled),
    "placeholderSuffix": ("placeholder_suffix", _filled),
    "placeholderSeparator": ("placeholder_separator", str),
    "outOfOrder": ("out_of_order", _flag),
    "ignoreMigrationPatterns": ("ignore_patterns", _patterns),
    "validateOnMigrate": ("validate_on_migrate", _flag),
    "validateMigrationNaming": ("validate_naming", _flag),
}


_FLAGS = frozenset(name for name, (_attribute, read) in _SETTINGS.items() if read in (_flag, _never))
_LISTS = frozenset(name for name, (_attribute, read) in _SETTINGS.items() if read in (_list, _patterns))
_WORDS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


def _from_toml(text: str) -> dict[str, str | tuple[str, ...]]:
    """The table [flyway], and of the environment that it names (or `default`) what concerns migrations.

    Unlike a .conf file this one has types, and Flyway refuses a text for a list or a list for a text.
    """
    document = tomllib.loads(text.removeprefix("\ufeff"), parse_float=str)
    own = _table(document, "flyway")
    environment = _table(_table(document, "environments"), str(own.get("environment", "default")))
    tables = [own, {"schemas": environment["schemas"]} if "schemas" in environment else {}]
    tables.append(_table(environment, "flyway"))
    found: dict[str, str | tuple[str, ...]] = {}
    for table in tables:
        for name, value in _flattened(table, ""):
            says_nothing = value == "" if name in _FLAGS else value in ("", []) and name in _LISTS
            if not says_nothing:
                found[f"flyway.{name}"] = _typed(name, value)
    return found


def _table(within: dict[str, Any], name: str) -> dict[str, Any]:
    found = within.get(name, {})
    if not isinstance(found, dict):
        raise SettingsProblem("[flyway] and [environments.…] must be tables")
    return found


def _flattened(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _typed(name: str, value: Any) -> str | tuple[str, ...]:
    """The value as text, if it is of the type that Flyway takes there."""
    known = name in _SETTINGS or name.startswith(_PLACEHOLDER)
    if isinstance(value, list) and (name in _LISTS or not known):
        return tuple(_text(each) for each in value)
    if known and isinstance(value, list) != (name in _LISTS):
        raise SettingsProblem(f"flyway.{name}: must be {'a list' if name in _LISTS else 'no list'}")
    if name in _FLAGS:
        return _text(_boolean(name, value))
    return _text(value)


def _boolean(name: str, value: Any) -> bool:
    if isinstance(value, str):
        value = _WORDS.get(value, value)
    if not isinstance(value, int):
        raise SettingsProblem(f"flyway.{name}: must be true or false, not {value!r}")
    return bool(value)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
