"""Make PostgreSQL clusters that do not exist yet, side by side.

Each is the work of an initdb of its own, never a copy of another's data: a copy has the same system
identifier, and that is how an execution knows which server it is on. Four at a time take about a second.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from executor.children import spawn

from .places import EmbeddedError, server_account, server_programs
from .server import Say, write_secret

if TYPE_CHECKING:
    from .clusters import Cluster

SUPERUSER = "postgres"
ROOT = Path("/")  # a working directory that every account can be in
# The wheel has no ICU; --no-sync: an initdb that the machine did not survive is not worth keeping.
OPTIONS = (
    f"--username={SUPERUSER} --auth=scram-sha-256 --encoding=UTF8 --locale=C --locale-provider=builtin "
    "--builtin-locale=C.UTF-8 --no-sync --no-instructions"
).split()


def make_missing(clusters: Iterable[Cluster], say: Say) -> None:
    """Make those of the clusters that have no data. Raises EmbeddedError with initdb's own words."""
    missing = [cluster for cluster in clusters if not cluster.data.exists()]
    if not missing:
        return
    say(f"Making the PostgreSQL clusters {', '.join(cluster.name for cluster in missing)} …")
    making = [(cluster, _begin(cluster)) for cluster in missing]
    # All are waited for before the first is judged: none is left running when one has failed.
    for cluster, made in [(cluster, initdb.wait() == 0) for cluster, initdb in making]:
        _finish(cluster, made)


def _begin(cluster: Cluster) -> subprocess.Popen[bytes]:
    """Start initdb on `data.new`: one that was interrupted never counts as data."""
    new, password_file = _unfinished(cluster)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    new.parent.chmod(0o711)
    write_secret(password_file, cluster.password)
    account = server_account()
    if account:
        for path in (new, password_file):
            os.chown(path, *account)
    argv: list[str | Path] = [
        server_programs() / "initdb",
        *OPTIONS,
        f"--pwfile={password_file}",
        f"--pgdata={new}",
    ]
    with cluster.open_log() as log:
        return spawn(argv, account=account, cwd=ROOT, stdout=log, stderr=log)


def _finish(cluster: Cluster, made: bool) -> None:
    new, password_file = _unfinished(cluster)
    password_file.unlink()
    if not made:
        raise EmbeddedError(f"The cluster {cluster.name} could not be made.\n{cluster.log_tail()}")
    with (new / "postgresql.conf").open("a") as config:
        config.write("\ninclude 'embedded.conf'\n")
    new.rename(cluster.data)


def _unfinished(cluster: Cluster) -> tuple[Path, Path]:
    return cluster.data.with_name("data.new"), cluster.data.with_name("initdb-password")
