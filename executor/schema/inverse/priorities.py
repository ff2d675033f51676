"""Where actions of each kind stand among those that nothing holds back."""

from __future__ import annotations

from executor.schema.inverse.action import Action

_DROPS = (
    ("event trigger", "publication table", "publication schema", "publication", "subscription"),
    ("policy", "rule"),
    ("trigger",),
    ("view", "materialized view", "view column"),
    ("constraint",),
    ("default",),
    ("statistics",),
    ("index",),
    ("partition",),
    (),  # 9, 10, 11: room for what columns must do early
    (),
    (),
    ("column",),
    ("table",),
    ("sequence",),
    ("aggregate", "function", "cast", "transform"),
    ("operator class", "operator family", "operator"),
    ("domain constraint", "type"),
    ("text search configuration", "text search dictionary", "text search template", "text search parser"),
    (
        "user mapping",
        "server",
        "foreign-data wrapper",
        "conversion",
        "collation",
        "language",
        "access method",
    ),
    ("default privileges",),
    ("schema",),
    ("extension",),
)

_CREATES = (
    ("extension",),
    ("schema", "default privileges"),
    (
        "language",
        "collation",
        "conversion",
        "foreign-data wrapper",
        "server",
        "user mapping",
        "access method",
    ),
    ("text search parser", "text search template", "text search dictionary", "text search configuration"),
    ("type", "domain constraint"),
    ("sequence",),
    ("function", "aggregate", "operator", "operator family", "operator class", "cast", "transform"),
    ("table",),
    ("column",),
    ("default",),
    ("constraint",),
    ("index",),
    ("statistics",),
    ("partition",),
    ("view", "view column"),
    ("materialized view",),
    ("rule",),
    ("trigger",),
    ("policy",),
    ("publication", "publication table", "publication schema", "subscription", "event trigger"),
)

DROP_PRIORITY = {kind: 2 * place for place, kinds in enumerate(_DROPS) for kind in kinds}

CREATE_PRIORITY = {kind: 50 + 2 * place for place, kinds in enumerate(_CREATES) for kind in kinds}

ALTER_PRIORITY = 22

LATE = 84
"""From here on actions only say something about objects that are all there."""


def priority(action: Action) -> int:
    """Where the action stands among those that nothing holds back; small first."""
    if action.priority is not None:
        return action.priority
    if action.verb in ("drop", "keep"):
        return DROP_PRIORITY[action.ref.kind]
    if action.verb == "create":
        foreign = action.ref.kind == "constraint" and " FOREIGN KEY " in action.statements[0].sql
        return CREATE_PRIORITY[action.ref.kind] + (7 if foreign else 0)  # rows come with partitions
    return (
        ALTER_PRIORITY if action.ref.kind in ("column", "table", "type", "sequence") else ALTER_PRIORITY + 56
    )
