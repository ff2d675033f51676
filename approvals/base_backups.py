"""The record of physical backups: which were restored and compared, and the newest that may be relied on."""

from __future__ import annotations

from typing import Any

from . import audit
from .models import BaseBackup, Target


def record(target: Target, state: BaseBackup.State, sentence: str, **fields: Any) -> BaseBackup:
    """How the test of a physical backup ended, as somebody ran it on the worker's machine."""
    with audit.unit_of_work(f"base_backup.{state}", actor=None, target=target) as facts:
        made = BaseBackup.objects.create(target=target, state=state, sentence=sentence, **fields)
        facts |= {
            "base_backup": made.pk,
            "by": made.by,
            "directory": made.directory,
            "inventory": made.inventory,
            "system_identifier": made.system_identifier,
            "taken_at": audit.stamp(made.taken_at) if made.taken_at else "",
            "sentence_sha256": audit.digest_of(sentence),
        }
    return made


def newest(target: Target) -> BaseBackup | None:
    """The newest one of the target's server whose restore went well, and whose folder did not fail since."""
    if not target.system_identifier:
        return None
    failed = set()
    for each in BaseBackup.objects.filter(system_identifier=target.system_identifier)[:50]:
        if each.state == BaseBackup.State.FAILED:
            failed.add(each.directory)
        elif each.directory not in failed:
            return each
    return None
