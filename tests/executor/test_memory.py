"""What a server sends never takes more of a worker's memory than it may."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.environment import ESTATE

CHILD = """
import sys, resource, psycopg
from executor import memory

connection = psycopg.connect(sys.argv[1], autocommit=True)
memory.bound(400)
try:
    connection.execute("SELECT repeat('x', 1000000) FROM generate_series(1, 1000)")
except psycopg.Error as error:
    print(error)
print(connection.execute("SELECT 'still alive'").fetchone()[0])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts private memory")
def test_a_result_of_a_gigabyte_is_an_error_of_its_statement_and_the_worker_lives_on() -> None:
    ESTATE.staging.start()
    command = [sys.executable, "-c", CHILD, ESTATE.staging.superuser_dsn()]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    said, alive, mebibytes = ended.stdout.splitlines()
    assert "memory" in said
    assert alive == "still alive"
    assert int(mebibytes) < 600
