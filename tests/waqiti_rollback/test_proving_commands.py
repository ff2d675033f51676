"""`manage.py generate_rollback` and `manage.py prove`, as people and pipelines run them."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from waqiti_rollback.embedded import Cluster
from waqiti_rollback.embedded.prover import ensure_prover, prover_dsn

pytestmark = pytest.mark.integration

FILES = {
    "V1__wallets.sql": "CREATE TABLE wallets (id int PRIMARY KEY, note text, ${extra} int);\n",
    "V2025.11.22.001__Tag_Wallets.sql": "ALTER TABLE wallets ADD COLUMN tag text;\n",
    "U2025.11.22.001__Tag_Wallets.sql": "ALTER TABLE wallets DROP COLUMN tag;\n",
    "V2025.11.22.2__index.sql": "CREATE INDEX by_tag ON wallets (tag);\nCREATE VIEW v AS SELECT 1 AS one;\n",
    "U2025.11.22.2__index.sql": "DROP INDEX by_tag;\n",
}
EXTRA = "--placeholder=extra=owner"


@pytest.fixture
def server(scratch_cluster: Cluster) -> str:
    ensure_prover(scratch_cluster)
    return f"--server={prover_dsn(scratch_cluster)}"


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr with the last words."""
    out, err = StringIO(), StringIO()
    try:
        call_command(*arguments, stdout=out, stderr=err)
    except CommandError as error:
        return error.returncode, out.getvalue(), f"{err.getvalue()}{error}"
    return 0, out.getvalue(), err.getvalue()


def test_the_two_defects_of_the_template_script_are_remembered(chain: Path, server: str) -> None:
    """It cut a dotted version at its first dot, and substituted nothing in what it wrote."""
    file = chain / "V2025.11.22.001__Tag_Wallets.sql"
    code, out, _ = run("generate_rollback", str(file), "--chain", str(chain), "--json", EXTRA, server)
    found = json.loads(out)
    assert code == 0
    assert (found["version"], found["file"]) == ("2025.11.22.001", file.name)
    assert found["script"].endswith("ALTER TABLE public.wallets DROP COLUMN tag;\n")
    assert "${" not in found["script"] + json.dumps(found["forward_fix"])
    assert "TODO" not in found["script"]
    assert found["forward_fix"]["files"][0]["name"] == "V2025.11.22.3__fix_Tag_Wallets.sql"
    assert [check["stage"] for check in found["checks"]] == ["before commit"]


def test_a_script_is_printed_and_what_to_know_of_it_goes_to_stderr(chain: Path, server: str) -> None:
    file = chain / "V2025.11.22.2__index.sql"
    code, out, err = run("generate_rollback", str(file), "--chain", str(chain), EXTRA, server)
    assert (code, out.splitlines()[0]) == (0, "-- Drop indexes") or "DROP INDEX public.by_tag;" in out
    assert "V2025.11.22.2__index.sql: by running, exact" in err


def test_gaps_are_named_and_the_exit_code_says_so(chain: Path, server: str) -> None:
    file = chain / "V3__conf.sql"
    file.write_text("ALTER SYSTEM SET work_mem = '9MB';\n")
    code, out, err = run("generate_rollback", str(file), "--chain", str(chain), EXTRA, server)
    assert code == 1
    assert "RAISE EXCEPTION 'TODO ALTER SYSTEM SET work_mem" in out
    assert "TO DO: ALTER SYSTEM SET work_mem = '9MB': what it was before is not known" in err
    assert err.endswith("1 left to do by hand.")


def test_a_chain_that_does_not_replay_is_read_and_says_file_line_and_column(chain: Path, server: str) -> None:
    (chain / "V1.1__other.sql").write_text("SELECT 1;\nALTER TABLE nowhere ADD x int;\n")
    file = chain / "V2025.11.22.001__Tag_Wallets.sql"
    code, out, err = run("generate_rollback", str(file), "--chain", str(chain), EXTRA, server)
    assert (code, "DROP COLUMN tag" in out) == (0, True)
    assert "V1.1__other.sql, line 2, column 1: 42P01" in err


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("V1__wallets.sql", "V1__wallets.sql, line 1, column 54: no value for the placeholder ${extra}"),
        ("U2025.11.22.001__Tag_Wallets.sql", "is no versioned migration"),
        ("V9__missing.sql", "can't be read: No such file"),
    ],
)
def test_bad_input_ends_with_a_sentence(chain: Path, server: str, name: str, why: str) -> None:
    arguments = [] if name.startswith("V1__") else [EXTRA]
    code, out, err = run("generate_rollback", str(chain / name), "--chain", str(chain), server, *arguments)
    assert (code, out) == (2, "")
    assert why in err


def test_a_superuser_is_refused(chain: Path, scratch_cluster: Cluster) -> None:
    server = f"--server={scratch_cluster.superuser_dsn()}"
    code, _, err = run("prove", str(chain), EXTRA, server)
    assert (code, "never run as such" in err) == (2, True)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_directory_is_proven_and_what_is_missing_is_named(
    chain: Path, server: str, jobs: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    report = tmp_path_factory.mktemp("report") / "found.json"
    code, out, err = run("prove", str(chain), "--jobs", jobs, f"--json={report}", EXTRA, server)
    assert (code, err) == (1, "1 of 3 do not hold.")
    assert out.splitlines()[:3] == [
        "V1__wallets.sql: no script",
        "V2025.11.22.001__Tag_Wallets.sql: exact",
        "V2025.11.22.2__index.sql: differs",
    ]
    again = 'V2025.11.22.2__index.sql, line 2, column 1: 42P07 relation "v" already exists'
    assert f"    It does not apply again: {again}" in out.splitlines()
    assert "    not undone: created view v" in out
    assert out.splitlines()[-1] == "3 migrations: differs 1, exact 1, no script 1; 1 undo everything"
    steps = json.loads(report.read_text())["steps"]
    assert [each["verdict"] for each in steps] == ["no script", "exact", "differs"]
    assert steps[2]["proof"]["forward_sha256"]


def test_what_the_documented_rollbacks_lack_is_shown(server: str, tmp_path: Path) -> None:
    """V999 sets more than it takes back; V001 puts a view and a table in place that nobody takes back, and
    drops a function that never was."""
    (tmp_path / "V001__create_partitioned_transactions_table.sql").write_text(
        "CREATE TABLE transactions (id bigint);\n"
        "ALTER TABLE transactions RENAME TO transactions_old;\n"
        "CREATE VIEW transactions AS SELECT * FROM transactions_old;\n"
    )
    (tmp_path / "U001__create_partitioned_transactions_table.sql").write_text(
        "DROP VIEW transactions;\nDROP FUNCTION create_monthly_partitions(text);\n"
    )
    (tmp_path / "V999__Increase_PostgreSQL_MaxConnections.sql").write_text(
        "ALTER SYSTEM SET max_connections = 200;\nALTER SYSTEM SET wal_buffers = '16MB';\n"
        "SELECT pg_reload_conf();\n"
    )
    (tmp_path / "U999__Increase_PostgreSQL_MaxConnections.sql").write_text(
        "ALTER SYSTEM SET max_connections = 100;\nSELECT pg_reload_conf();\n"
    )
    code, out, _ = run("prove", str(tmp_path), server)
    assert code == 1
    assert "not undone: created table transactions_old" in out
    assert "step 2, line 2: fails (42883: function create_monthly_partitions(text) does not exist)" in out
    assert "not undone: set server setting wal_buffers" in out
    assert "max_connections" not in out
