"""The worker generates and examines on a real scratch server, as a role that is no superuser there, and what
it finds opens or closes the gates."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from approvals import gates, generations, jobs, proofs, scripts
from approvals.models import Job, Proof, RollbackScript
from executor import generating, proving
from executor.errors import ExecutorError
from executor.schema.replay import File, Replay
from tests.approvals import factories
from tests.approvals.factories import CHECK, UNDO, World, again
from waqiti_rollback.embedded import Cluster
from waqiti_rollback.embedded.prover import ensure_prover, prover_dsn, prover_url

pytestmark = pytest.mark.integration


@pytest.fixture(scope="session")
def prover_cluster(scratch_cluster: Cluster) -> Cluster:
    """The scratch server with the role for engineers' scripts."""
    ensure_prover(scratch_cluster)
    return scratch_cluster


@pytest.fixture
def server(prover_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a worker knows of it, and no more: it has no login for any target."""
    monkeypatch.setenv("PROVER_DATABASE_URL", prover_url(prover_cluster))
    monkeypatch.delenv("TARGET_CREDENTIALS", raising=False)
    return prover_dsn(prover_cluster)


def done(job: Job) -> Job:
    """The job as the worker's task does it."""
    claimed = jobs.claim(job.pk, worker="worker")
    assert claimed is not None
    work = {Job.Kind.PROVE: proving.job, Job.Kind.GENERATE: generating.job}[Job.Kind(claimed.kind)]
    jobs.finish(claimed, sentence=work(claimed))
    return claimed


def proven(script: RollbackScript) -> Proof:
    """The script's newest proof, after a worker has answered it."""
    done(proofs.newest_of([script.pk])[script.pk].job)
    return proofs.latest_of([script.pk])[script.pk]


def write(world: World, version: str, sql: str, **declared: Any) -> RollbackScript:
    return scripts.add_script(
        world.migration(version), sql=sql, checks=[CHECK[version]], actor=world.bob, **declared
    )


def gate(rollback: Any, key: str) -> gates.Gate:
    return next(each for each in gates.gates(again(rollback)) if each.key == key)


def test_a_script_is_examined_and_the_evidence_names_texts_and_server(world: World, server: str) -> None:
    proof = proven(write(world, "3", UNDO["3"] + "\n"))
    assert (proof.verdict, proof.way, proof.holds) == ("exact", "up-down-up", True)
    assert proof.server_version.startswith("18.")
    assert [(each["key"], each["fate"]) for each in proof.effects] == [
        ("created index wallets_by_user", "undone")
    ]
    assert proof.proof["forward_sha256"] == proof.revision.sha256


def test_what_is_left_is_named_and_once_declared_it_is_exact_as_declared(world: World, server: str) -> None:
    nothing = "SELECT 1;\n"
    proof = proven(write(world, "4", nothing))
    left = proofs.not_undone(proof, {})
    assert (proof.verdict, [each["key"] for each in left]) == (
        "differs",
        ["created constraint wallets.wallets_user"],
    )
    declared = {each["key"]: "The key does no harm." for each in left}
    proof = proven(write(world, "4", nothing, left=declared))
    assert (proof.verdict, proof.holds, proofs.not_undone(proof, declared)) == ("exact as declared", True, [])


def test_a_difference_beyond_what_is_declared_is_a_difference(world: World, server: str) -> None:
    script = "CREATE TABLE extra (id int);\n"
    declared = {"created constraint wallets.wallets_user": "The key does no harm."}
    proof = proven(write(world, "4", script, left=declared))
    assert (proof.verdict, proof.holds) == ("differs", False)
    # The same key, but another one than the migration made:
    script = (
        "ALTER TABLE wallets DROP CONSTRAINT wallets_user, ADD CONSTRAINT wallets_user"
        " FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE SET NULL;\n"
    )
    assert proven(write(world, "4", script, left=declared)).verdict == "differs"


def test_a_script_that_fails_is_told_with_its_line_and_code(world: World, server: str) -> None:
    proof = proven(write(world, "3", "-- back\nDROP INDEX nowhere;\n"))
    assert (proof.verdict, proof.proof["line"], proof.proof["sqlstate"]) == ("error", 2, "42704")
    rollback = factories.draft(world)
    assert gate(rollback, "completeness").detail.startswith("V3: not undone: created index wallets_by_user")
    assert "Step 1 (line 2) fails: 42704" in gate(rollback, "proof").detail


def test_a_way_back_is_generated_stored_with_a_check_and_proven(world: World, server: str) -> None:
    asked = generations.ask(world.migration("5"), options={}, target=None, actor=world.alice)
    done(asked.job)
    found = generations.latest_of(world.migration("5"))
    assert found is not None
    assert found.script is not None
    assert found.script.sql.endswith("DROP TABLE public.transactions;\n")
    assert found.answer["forward_fix"]["files"][0]["name"] == "V6__fix_create_transactions.sql"
    assert found.answer["goes"] == [{"step": 1, "what": "table public.transactions with all its rows"}]
    assert [check["name"] for check in found.script.checks] == ["What the migration made is gone"]
    assert proven(found.script).verdict == "exact"


def test_what_can_t_be_run_is_read_and_its_gaps_stop_the_script(world: World, server: str) -> None:
    revision = world.migration("5").revisions.order_by("-number")[0]
    text = "ALTER TABLE of_another_service ADD COLUMN x int;\nUPDATE of_another_service SET x = 1;\n"
    found = generating._derive(
        Replay(server, "another"),
        [File(revision.path, text)],
        generating.options_of(generations.options_of({})),
        None,
        counted=False,
    )[0]
    assert found.origin == "by reading"
    assert "42P01" in found.because
    assert "RAISE EXCEPTION" in found.script


def test_a_placeholder_without_a_value_is_told_and_nothing_runs(world: World, server: str) -> None:
    script = write(world, "3", "DROP INDEX ${the_index};\n")
    newest = proofs.newest_of([script.pk]).get(script.pk)
    if newest is None:  # the analysis may refuse it before anybody asks
        assert not script.readable
        return
    done(newest.job)
    proof = proofs.latest_of([script.pk])[script.pk]
    assert proof.verdict == "not provable"
    assert "the_index" in proof.proof["reason"]


def test_without_a_login_the_job_says_what_to_set(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROVER_DATABASE_URL", raising=False)
    script = write(world, "3", UNDO["3"] + "\n\n")
    job = proofs.newest_of([script.pk])[script.pk].job
    claimed = jobs.claim(job.pk, worker="worker")
    assert claimed is not None
    with pytest.raises(ExecutorError, match="Set PROVER_DATABASE_URL"):
        proving.job(claimed)


def test_the_command_proves_the_newest_scripts_of_a_service(world: World, server: str) -> None:
    write(world, "3", "SELECT 1;\n", left={"created index wallets_by_user": "It is small."})
    out = StringIO()
    with pytest.raises(CommandError, match="1 of 5 do not hold") as wrong:
        call_command("prove", world.service.name, f"--server={server}", stdout=out)
    assert wrong.value.returncode == 1
    verdicts = [line for line in out.getvalue().splitlines() if line.startswith("V")]
    assert verdicts == [
        "V1__create_users.sql: no script",
        "V2__create_wallets.sql: no script",
        "V3__index_wallets.sql: exact as declared",
        "V4__key_to_users.sql: differs",  # its script adds a key that was not there before
        "V5__create_transactions.sql: exact",
    ]
    with pytest.raises(CommandError, match="neither a directory nor a service") as refused:
        call_command("prove", "nobody-knows", f"--server={server}")
    assert refused.value.returncode == 2
