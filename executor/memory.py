"""How much memory a worker's process may take: whatever a server sends, and however much."""

from __future__ import annotations

import sys

MIB = 1024**2


def bound(mebibytes: int) -> None:
    """Let this process, and the programs that it starts, take no more private memory than that.

    Scripts that nobody has approved run on scratch servers, and what a statement returns is read as a whole.
    Above the bound the read fails as an error of that statement (measured with libpq 18: “out of memory for
    query result”), instead of a machine whose kernel ends somebody's process. Shared memory does not count,
    so a throw-away server starts as ever. Only Linux counts private memory; elsewhere nothing is bound.
    """
    if sys.platform != "linux":
        return
    import resource

    _, highest = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = mebibytes * MIB
    if highest != resource.RLIM_INFINITY:
        wanted = min(wanted, highest)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, highest))
