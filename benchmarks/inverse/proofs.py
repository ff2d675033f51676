"""What a proof costs beyond what it can't avoid: `python -m benchmarks.inverse.proofs --server DSN`.

Compares the wall time of one proof with that of its two `pg_dump -s` and the SQL that it applies."""

from __future__ import annotations

import argparse
import statistics
import time

from executor.proof import prove
from executor.schema.dump import dump
from executor.schema.replay import File, Replay
from executor.schema.shadow import Shadow

TABLE = """
    CREATE TABLE t{n} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, parent bigint{key},
        name text NOT NULL, amount numeric(12, 2) DEFAULT 0 CHECK (amount >= 0), at date DEFAULT now());
    CREATE INDEX ON t{n} (name); COMMENT ON TABLE t{n} IS 'number {n}';
"""


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 1 where a proof takes more than 1.5 times what it can't avoid."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True)
    parser.add_argument("--tables", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args(arguments)
    schema = "".join(
        TABLE.format(n=n, key=f" REFERENCES t{n // 2}" if n else "") for n in range(chosen.tables)
    )
    first, forward = File("V1.sql", schema), File("V2.sql", "ALTER TABLE t7 ADD COLUMN tag text")
    back = "ALTER TABLE t7 DROP COLUMN tag"
    replay = Replay(chosen.server, "benchmark of proofs")
    replay.forget()
    replay.behind([first]).close()
    shares = [_round(replay, first, forward, back) for _ in range(chosen.rounds)]
    replay.forget()
    share = statistics.median(shares)
    print(f"{chosen.tables} tables: a proof takes {share:.2f} times what it can't avoid")
    return 0 if share <= 1.5 else 1


def _round(replay: Replay, first: File, forward: File, back: str) -> float:
    bare = Shadow(replay.server)
    bare.apply(first.sql)
    started = time.perf_counter()
    dump(bare.dsn)
    for sql in (forward.sql, back):
        bare.apply(sql)
    dump(bare.dsn)
    bare.apply(forward.sql)
    least = time.perf_counter() - started
    bare.drop()
    replay.behind([first]).close()
    started = time.perf_counter()
    proof = prove(replay, [first, forward], back)
    taken = time.perf_counter() - started
    assert proof.holds, proof
    print(f"  least {least * 1000:.0f} ms, proof {taken * 1000:.0f} ms")
    return taken / least


if __name__ == "__main__":
    raise SystemExit(main())
