"""The statement kinds, one module per family. Importing this package registers them all."""

from __future__ import annotations

from approvals.analysis.kinds import (  # noqa: F401
    alter,
    columns,
    constraints,
    data,
    extensions,
    functions,
    grants,
    indexes,
    maintenance,
    partitions,
    procedural,
    renames,
    replication,
    security,
    sequences,
    server,
    session,
    tables,
    triggers,
    types,
    views,
)
