"""What a worker answers about a way back, as pages get it: completeness, proof, generation. The shapes are
those of `executor`; the tests of the worker hold that it sends them."""

from __future__ import annotations

from typing import Any

from approvals import chains, generations, jobs, proofs
from approvals.models import Generation, Job, Proof, RollbackScript, Target

KEY, TEXT = "created table public.transactions", "created table public.transactions"
DIFFERENCE = """\
--- before
+++ after
@@ -1,4 +1,3 @@
 CREATE TABLE public.wallets (
-    amount numeric(18,2),
-    note text
+    amount numeric(20,2)
 );
"""


def effect(key: str = KEY, fate: str = "undone", **said: Any) -> dict[str, Any]:
    """One effect of a migration."""
    found = {"key": key, "text": key, "fate": fate, "steps": [1], "reason": "", "line": 1, "measured": True}
    if fate != "undone":
        found["steps"] = []
    return found | said


def step(role: str = "undoes", **said: Any) -> dict[str, Any]:
    """One step of a script."""
    sql = "DROP TABLE transactions"
    return {"position": 1, "line": 1, "sql": sql, "role": role, "undoes": [], "note": ""} | said


def completeness(*effects: dict[str, Any], **said: Any) -> dict[str, Any]:
    """An answer; without effects, one that is undone."""
    return {
        "method": "run",
        "because": "",
        "complete": all(each["fate"] != "not undone" for each in effects),
        "effects": list(effects or [effect()]),
        "steps": [step()],
        "problems": [],
        "notes": [],
    } | said


def proved(verdict: str = "exact", **said: Any) -> dict[str, Any]:
    """An answer; it holds where its verdict may."""
    return {
        "verdict": verdict,
        "way": "up-down-up",
        "holds": verdict.startswith("exact"),
        "script_sha256": "5" * 64,
        "forward_sha256": "f" * 64,
        "reason": "",
        "difference": "",
        "step": None,
        "line": None,
        "sqlstate": None,
        "forward_again": True,
        "server_version": "18.1",
        "replayed": 4,
        "made_roles": [],
        "stand_ins": [],
        "beyond": [],
        "milliseconds": 412,
    } | said


def answered(
    script: RollbackScript,
    found: dict[str, Any] | None = None,
    said: dict[str, Any] | None = None,
    target: Target | None = None,
) -> Proof:
    """Ask for a proof of the script and answer it."""
    proof = proofs.ask(script, actor=None, target=target)
    sentence = proofs.record(
        proof,
        completeness=found or completeness(),
        proved=said or proved(),
        chain=chains.chain_of(proof.revision, proof.target, used=script.placeholders),
    )
    finish(proof.job, sentence)
    return Proof.objects.select_related("job").get(pk=proof.pk)


def finish(job: Job, sentence: str, *, failed: bool = False) -> None:
    """The job's end, as the worker's task writes it."""
    job.refresh_from_db()
    if job.state == Job.State.WAITING:
        jobs.claim(job.pk, worker="worker@test")
    jobs.finish(Job.objects.get(pk=job.pk), failed=failed, sentence=sentence)


def generated(sql: str = "DROP TABLE public.transactions;\n", **said: Any) -> dict[str, Any]:
    """A generator's answer with something of everything."""
    return {
        "script": sql,
        "origin": "by running",
        "because": "",
        "verdict": "exact",
        "gaps": [],
        "from_backup": [],
        "choices": [
            {
                "subject": "public.wallets",
                "about": "note stood before other columns",
                "ways": {"append": "added at the end: instant", "rebuild": "written anew: exact"},
                "taken": "append",
            }
        ],
        "notes": ["The history row is taken over by the executor."],
        "restore": "",
        "goes": [{"step": 1, "what": "table public.transactions with all its rows"}],
        "losses": [
            {
                "kind": "rows",
                "relation": ["public", "transactions"],
                "column": None,
                "becomes": None,
                "condition": None,
                "step": 1,
                "count": 1204,
                "exact": True,
                "estimated_at": None,
                "bytes": 8192,
                "stops": 0,
                "since": "2026-03-01T09:00:00+00:00",
                "since_because": "it came with the migration",
                "unknown": None,
            }
        ],
        "forward_fix": {
            "files": [
                {
                    "name": "V6__fix_create_transactions.sql",
                    "sql": "DROP TABLE public.transactions;\n",
                    "conf_name": "V6__fix_create_transactions.sql.conf",
                    "conf": "",
                },
                {
                    "name": "V7__fix_create_transactions_outside.sql",
                    "sql": "DROP INDEX CONCURRENTLY public.by_wallet;\n",
                    "conf_name": "V7__fix_create_transactions_outside.sql.conf",
                    "conf": "executeInTransaction=false\n",
                },
            ],
            "comparison": [
                {"about": "locks", "rollback": "ACCESS EXCLUSIVE, briefly", "fix": "as Flyway waits"},
                {"about": "history", "rollback": "the row of 5 goes", "fix": "2 more are added"},
            ],
            "gaps": [],
        },
        "milliseconds": 318,
    } | said


def answer(generation: Generation, said: dict[str, Any] | None = None) -> Generation:
    """Answer a generation that was asked for."""
    finish(generation.job, generations.record(generation, answer=said or generated()))
    return Generation.objects.get(pk=generation.pk)
