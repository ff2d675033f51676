"""Remove the files of old backups from the storage; the record of them stays."""

from __future__ import annotations

import logging

from approvals import backups
from executor import vault
from executor.errors import BackupFailed

log = logging.getLogger(__name__)


def remove_old() -> int:
    """Remove what has rested long enough; how many files went. What can't be removed now is tried again the
    next time."""
    gone = 0
    for backup in backups.to_remove():
        try:
            vault.remove(backup.path)
        except BackupFailed as error:
            log.warning("%s", error)
            continue
        backups.removed(backup)
        gone += 1
    return gone
