"""The two digests everything binds to: the change (what would run) and the request (where, under what).

Proof and rehearsal bind to the first, approvals and executions to the second. Both are SHA-256 over canonical
JSON (RFC 8785), as lower-case hex.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from operator import itemgetter
from typing import Any

import rfc8785

from . import filling
from .models import RollbackItem, RollbackRequest, RollbackScript


def canonical_sha256(value: Any) -> str:
    """SHA-256 in hex of the canonical JSON of `value` (dicts, lists, texts, integers, booleans, None)."""
    return hashlib.sha256(rfc8785.dumps(value)).hexdigest()


def text_sha256(text: str) -> str:
    """SHA-256 in hex of the UTF-8 bytes of a script."""
    return hashlib.sha256(text.encode()).hexdigest()


def items_of(rollback: RollbackRequest) -> list[RollbackItem]:
    """The items in order with all that a digest reads of them; one query."""
    items = rollback.items.select_related("migration", "revision", "script")
    return list(items.order_by("position"))


def change_digest(rollback: RollbackRequest, items: Iterable[RollbackItem] | None = None) -> str:
    """What would run: ordered items with script, steps and checks, history treatment, session options.

    `items` (in order, with migration, revision and script) spares reading them, and makes sure that the
    digest is of their very steps.
    """
    found = [
        {
            "version": item.migration.version,
            "forward_checksum": item.revision.checksum,
            "forward_sha256": item.revision.sha256,
            "script_sha256": text_sha256(item.script.sql) if item.script else None,
            # as they run: with the target's values in place of placeholders
            "steps": [_step(step) for step in filling.plan_of(item).get("steps", [])],
            "replica_role": bool(filling.plan_of(item).get("replica_role")),
            "checks": item.script.checks if item.script else [],
            **(_said(item.script) if item.script else {}),
        }
        for item in (items_of(rollback) if items is None else items)
    ]
    return canonical_sha256(
        {
            "items": found,
            "placeholders": rollback.service.placeholders,
            "history_treatment": rollback.history_treatment,
            "session_options": rollback.session_options,
        }
    )


def _said(script: RollbackScript) -> dict[str, Any]:
    """What the author declares. Left out where nothing is, so that older digests stay what they were."""
    said = {"left": script.left, "unproven": script.unproven}
    return {name: value for name, value in said.items() if value}


def _step(step: dict[str, Any]) -> dict[str, Any]:
    statement = step["statement"]
    return {"kind": step["kind"], "sql": statement["sql"], "tags": statement["tags"]}


def request_digest(rollback: RollbackRequest, *, change: str = "") -> str:
    """What would run, on which targets with which pinned history rows, under which policy and at which risk.
    `change` is the change digest where that has just been worked out.

    The request's number and revision make sure that no digest ever comes back: words can be edited that
    neither change nor targets hold, and what people signed before the edit must not count after it.
    """
    # Values and no instances: a fleet has hundreds, and each execution of it works this out anew.
    found = list(rollback.rollback_targets.order_by("target__name").values("position", "pins", *_OF_TARGET))
    # Left out where there is one target only, so that older digests stay what they were.
    canary = {"canary": min(found, key=itemgetter("position"))["target__name"]} if len(found) > 1 else {}
    return canonical_sha256(
        canary
        | {
            "rollback": rollback.pk,
            "revision": rollback.revision,
            "change": change or change_digest(rollback),
            "automatic_checks": rollback.automatic_checks,
            "targets": [_target(each) for each in found],
            "policy": rollback.policy_version.number if rollback.policy_version else None,
            "risk": rollback.risk,
        }
    )


_OF_TARGET = (
    "target__name",
    "target__system_identifier",
    "target__database_oid",
    "target__history_schema",
    "target__history_table",
    "target__search_path",
    "target__owner_role",
    "target__has_marker",
    "target__placeholders",
)


def _target(found: dict[str, Any]) -> dict[str, Any]:
    """Which database it is, which rows go, and everything about the target that decides how the script
    runs."""
    return {
        "name": found["target__name"],
        "system_identifier": found["target__system_identifier"],
        "database_oid": found["target__database_oid"],
        "pins": found["pins"],
        "history": [found["target__history_schema"], found["target__history_table"]],
        "search_path": found["target__search_path"],
        "owner_role": found["target__owner_role"],
        "marker": found["target__has_marker"],
        "placeholders": found["target__placeholders"],
    }
