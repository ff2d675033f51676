"""A database too large to be dumped, of which there is no physical backup: one rollback may run by exception
instead of a backup, another waits for signatures.

That it can't be had is for the worker to find out: both were to be rehearsed, and no backup could be taken.
"""

from __future__ import annotations

import psycopg
from django.utils import timezone

from approvals import backup_exceptions
from approvals.models import BackupException, ExecutionStatus, RollbackRequest
from waqiti_rollback.embedded import Estate

from . import journey, stories, wishes
from .people import user
from .services import BY_NAME, WALLET_ARCHIVE

LANGUAGES = "UPDATE users SET preferred_language = CASE WHEN status = 'ACTIVE' THEN 'fr' ELSE 'sw' END"


def ask_for_both(servers: Estate) -> None:
    """One approved with an exception in force, one in review whose exception lacks two signatures. Raises
    journey.Stuck unless the worker could take no backup, and rehearse by exception."""
    archive = BY_NAME[WALLET_ARCHIVE]
    dsn = servers.clusters[archive.environment].superuser_dsn(archive.database)
    with psycopg.connect(dsn, autocommit=True) as application:
        application.execute(LANGUAGES)
    urgent = journey.submit(journey.ask(wishes.LANGUAGES_IN_ARCHIVE))
    patient = journey.submit(journey.ask(wishes.AMOUNTS_IN_ARCHIVE))
    _find_no_backup(urgent, patient)
    asked = _ask(
        urgent,
        by="grace",
        reason="The report is due at six, and a physical backup of the archive takes nine hours.",
    )
    for name in ("dunya", "fatou", "emeka"):
        asked = _sign(asked, name)
    waits = _ask(patient, by="bram", reason="The archive has no room for a copy of itself before Thursday.")
    _sign(waits, "dunya")
    journey.rehearsed(journey.ask_for_rehearsal(urgent))
    stories.sign(urgent)


def _find_no_backup(*rollbacks: RollbackRequest) -> None:
    """Rehearsals that end before they begin, side by side. Raises journey.Stuck if one took a backup."""
    for rehearsal in [journey.ask_for_rehearsal(rollback) for rollback in rollbacks]:
        ended = journey.executed(rehearsal)
        if ended.status != ExecutionStatus.NO_EFFECT:
            raise journey.Stuck(f"{ended} ended as {ended.status}: {ended.sentence}")


def _ask(rollback: RollbackRequest, *, by: str, reason: str) -> BackupException:
    rollback = journey.fresh(rollback)
    return backup_exceptions.ask(rollback, reason=reason, digest=rollback.request_digest, actor=user(by))


def _sign(asked: BackupException, by: str) -> BackupException:
    """Right after signing in again, with the label typed."""
    label = asked.rollback.label
    return backup_exceptions.sign(asked, actor=user(by), confirmed_at=timezone.now(), label=label)
