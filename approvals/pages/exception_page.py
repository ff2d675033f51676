"""Exceptions instead of a backup as pages tell them: how each stands, and what its reader may do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Prefetch, Q
from django.utils.translation import gettext as _

from approvals import access, backup_exceptions
from approvals.models import (
    BackupException,
    ExceptionSignature,
    Role,
    RollbackRequest,
    RollbackTarget,
    User,
)


@dataclass(frozen=True)
class Line:
    """One exception, to one reader. `tone` is a colour's name."""

    exception: BackupException
    rollback: RollbackRequest
    reader: User
    now: datetime

    @property
    def waits(self) -> bool:
        """Does it wait for signatures, for the request as it is?"""
        return _waits(self.exception, self.rollback)

    @property
    def was_refused(self) -> bool:
        """Did somebody else than who asked for it end it?"""
        return self.exception.removed_by_id not in (None, self.exception.proposed_by_id)

    @property
    def may_run(self) -> bool:
        """Is its rollback one that may still run, or runs?"""
        return self.rollback.status in backup_exceptions.ASKABLE

    @property
    def in_force(self) -> bool:
        return self.exception.in_force(self.rollback, self.now)

    @property
    def state(self) -> tuple[str, str, str]:
        """How it stands: shape, tone and word."""
        if self.waits:
            return "wait", "warn", _("waits for signatures")
        if self.exception.removed_at is not None:
            return "void", "idle", _("refused") if self.was_refused else _("taken back")
        if self.in_force:
            return "forced", "fail", _("in force") if self.may_run else _("was granted")
        if self.now < self.exception.expires_at:
            return "void", "idle", _("void: the request was changed")
        if self.exception.granted_at is None:
            return "void", "idle", _("not signed in time")
        return "void", "idle", _("over")

    @property
    def signatures(self) -> list[tuple[Role, ExceptionSignature | None]]:
        """The three, those that are missing last."""
        given = [(Role(each.role), each) for each in self.exception.signatures.all()]
        return [*given, *((role, None) for role in self.exception.missing)]

    @property
    def why_not_sign(self) -> str:
        return backup_exceptions.why_not_sign(self.exception, self.rollback, self.reader)

    @property
    def may_dismiss(self) -> bool:
        return bool(self.reader.roles & (backup_exceptions.ASKS | backup_exceptions.SIGNS))


def lines(
    rollback: RollbackRequest, found: Iterable[BackupException], reader: User, now: datetime
) -> list[Line]:
    """These exceptions, in the same order."""
    return [Line(exception, rollback, reader, now) for exception in found]


def standing(found: Iterable[Line]) -> Line | None:
    """The one that decides now whether it may run without that backup, if there is one: in force, or waiting;
    of a rollback that is over none does."""
    return next((line for line in found if line.may_run and (line.waits or line.in_force)), None)


def told(rollback: RollbackRequest, found: Iterable[BackupException]) -> list[BackupException]:
    """Those that a page about the rollback says first: granted for the request as it is, or waiting."""
    return [e for e in found if (e.granted_at and e.counts_for(rollback)) or _waits(e, rollback)]


def _waits(exception: BackupException, rollback: RollbackRequest) -> bool:
    asked = rollback.status in backup_exceptions.ASKABLE
    return asked and exception.waits and exception.counts_for(rollback)


def pending(user: User, now: datetime, limit: int) -> list[BackupException]:
    """What waits for this person's signature on rollbacks that they see, what is over first first."""
    if not user.roles & backup_exceptions.SIGNS:
        return []
    written = RollbackRequest.objects.filter(items__script__authors=user).values("pk")
    visible = access.rollbacks(user).select_related(None)
    found = BackupException.objects.filter(
        granted_at=None,
        removed_at=None,
        expires_at__gt=now,
        rollback__status__in=backup_exceptions.ASKABLE,
        change_digest=F("rollback__change_digest"),
        proposed_at__gte=F("rollback__submitted_at"),
        rollback__in=visible.values("pk"),
    ).exclude(
        Q(proposed_by=user)
        | Q(rollback__requester=user)
        | Q(rollback__in=written)
        | Q(pk__in=ExceptionSignature.objects.filter(person=user).values("exception"))
    )
    where = RollbackTarget.objects.select_related("target")
    rollbacks = RollbackRequest.objects.only("pk").prefetch_related(Prefetch("rollback_targets", where))
    read = found.select_related("proposed_by").prefetch_related(
        "signatures__person", Prefetch("rollback", rollbacks)
    )
    first = read.order_by("expires_at", "id")[:limit]
    return [exception for exception in first if user.roles & set(exception.missing)]
