"""Three migrations and the release after one was taken back: what becomes of the files, what Flyway says."""

from __future__ import annotations

from collections.abc import Sequence

from approvals.flyway.forecast import FileFate, Forecast
from tests.differential.cases import Case

FILES = {f"V{number}__x.sql": f"create table t{number} (id int);\n".encode() for number in (1, 2, 3)}
FILES["R__view.sql"] = b"create or replace view v as select 1 as one;\n"


def release(case: Case, versions: Sequence[str], fate: FileFate) -> None:
    """What the next release does with the files."""
    for version in versions:
        file = case.directory / f"V{version}__x.sql"
        if fate is not FileFate.KEPT:
            file.unlink()
        if fate is FileFate.REPLACED:
            file.write_text(f"create table t{version} (id bigint);\n")
    if fate is FileFate.SUPERSEDED:
        (case.directory / "V4.sql").write_text("create table t4 (id bigint);\n")


def there(case: Case, table: str) -> bool:
    """Is this table in the case's schema?"""
    query = "SELECT to_regclass(%s) IS NOT NULL"
    found = case.ground.connection.execute(query, [f"{case.schema}.{table}"]).fetchone()
    assert found is not None
    return bool(found[0])


def lines_are_as_forecast(case: Case, foreseen: Forecast) -> None:
    """The real `info` shows every migration in the state that was foreseen."""
    lines = case.ask("info")["lines"]
    told = {line["version"]: line["state"] for line in lines}
    for version, state in foreseen.states.items():
        assert told.get(version.text) == (state.value if state else None), foreseen.sentence
    assert [(line["version"], line["state"]) for line in lines] == [
        (line.version and line.version.text, line.state.value) for line in foreseen.outlook.lines
    ]
