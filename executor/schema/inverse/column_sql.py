"""Columns as CREATE TABLE, ADD COLUMN and ALTER COLUMN write them."""

from __future__ import annotations

from executor.schema.inverse.family import comma
from executor.schema.names import dotted, literal, quoted
from executor.schema.objects import Object

STORAGE = {"p": "PLAIN", "e": "EXTERNAL", "x": "EXTENDED", "m": "MAIN"}

GENERATED = {"s": "STORED", "v": "VIRTUAL"}

COMPRESSION = {"p": "pglz", "l": "lz4"}


def table_word(thing: Object) -> str:
    """TABLE or FOREIGN TABLE."""
    return "FOREIGN TABLE" if thing["form"] == "f" else "TABLE"


def column_definition(
    thing: Object, default: Object | None, *, not_null: bool = True, value: str = ""
) -> str:
    """The column as CREATE TABLE and ADD COLUMN write it. `value`: a default that it only has for now."""
    parts = [quoted(thing.ref.name), thing["type"]]
    if thing["collation"]:
        parts.append(f"COLLATE {thing['collation']}")
    if thing["generated"]:
        parts.append(f"GENERATED ALWAYS AS ({thing['expression']}) {GENERATED[thing['generated']]}")
    if thing["identity"]:
        parts.append(f"GENERATED {identity_words(thing)} AS IDENTITY ({sequence_options(thing)})")
    if default is not None:
        parts.append(f"DEFAULT {default['expression']}")
    elif value:
        parts.append(f"DEFAULT {value}")
    if thing["not_null"] and not_null:
        if thing["not_null_name"]:
            parts.append(f"CONSTRAINT {quoted(thing['not_null_name'])}")
        parts.append("NOT NULL")
        if thing["not_null_only"]:
            parts.append("NO INHERIT")
    return " ".join(parts)


def identity_words(thing: Object) -> str:
    """ALWAYS or BY DEFAULT."""
    return "ALWAYS" if thing["identity"] == "a" else "BY DEFAULT"


def sequence_options(thing: Object) -> str:
    """The sequence behind an identity column."""
    schema, name, _, start, increment, minimum, maximum, cache, cycle, _ = thing["identity_sequence"]
    return (
        f"SEQUENCE NAME {dotted((schema, name))} START WITH {start} INCREMENT BY {increment}"
        f" MINVALUE {minimum} MAXVALUE {maximum} CACHE {cache}{' CYCLE' if cycle == 'true' else ''}"
    )


def set_not_null(thing: Object, table: str) -> str:
    """NOT NULL under its own name, where the server keeps one."""
    if not thing["not_null_name"]:
        return f"{table} ALTER COLUMN {quoted(thing.ref.name)} SET NOT NULL"
    ending = (" NO INHERIT" if thing["not_null_only"] else "") + (
        "" if thing["not_null_valid"] else " NOT VALID"
    )
    name = quoted(thing["not_null_name"])
    return f"{table} ADD CONSTRAINT {name} NOT NULL {quoted(thing.ref.name)}{ending}"


def fine_clauses(thing: Object, now: Object | None = None) -> list[str]:
    """ALTER COLUMN clauses for storage, compression, statistics and options, where they differ from `now`."""
    column = f"ALTER COLUMN {quoted(thing.ref.name)}"
    old = now.attributes if now is not None else {}
    found = []
    if thing["storage"] != old.get("storage"):
        found.append(f"{column} SET STORAGE {STORAGE[thing['storage'] or thing['usual_storage']]}")
    if thing["compression"] != old.get("compression"):
        found.append(f"{column} SET COMPRESSION {COMPRESSION.get(thing['compression'], 'default')}")
    if thing["statistics_target"] != old.get("statistics_target"):
        target = thing["statistics_target"]
        found.append(f"{column} SET STATISTICS {-1 if target is None else target}")
    found += option_clauses(column, thing["options"], old.get("options"))
    if thing["foreign_options"] != old.get("foreign_options"):
        found.append(
            f"{column} {foreign_option_change(thing['foreign_options'], old.get('foreign_options'))}"
        )
    return found


def option_clauses(owner: str, wanted: list[str] | None, old: list[str] | None) -> list[str]:
    """SET and RESET of storage options."""
    new, had = set(wanted or []), set(old or [])
    names = {option.partition("=")[0] for option in wanted or []}
    gone = sorted({option.partition("=")[0] for option in had} - names)
    made = []
    if gone:
        made.append(f"{owner} RESET ({comma(gone)})".strip())
    if new - had:
        made.append(f"{owner} SET ({comma(sorted(_option(option) for option in new - had))})".strip())
    return made


def _option(option: str) -> str:
    name, _, value = option.partition("=")
    return f"{name}={value if value.replace('.', '').isalnum() else literal(value)}"


def foreign_option_change(wanted: list[str] | None, old: list[str] | None) -> str:
    """OPTIONS (…) that leads from one list to the other."""
    new = dict(option.split("=", 1) for option in wanted or [])
    had = dict(option.split("=", 1) for option in old or [])
    parts = [f"DROP {quoted(name)}" for name in had if name not in new]
    for name, value in new.items():
        if had.get(name) != value:
            parts.append(f"{'SET' if name in had else 'ADD'} {quoted(name)} {literal(value)}")
    return f"OPTIONS ({comma(parts)})"
