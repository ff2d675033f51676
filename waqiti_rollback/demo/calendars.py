"""When the demo's targets may be changed: windows, a freeze, and a start that is set for later."""

from __future__ import annotations

from datetime import time, timedelta

from django.utils import timezone

from approvals import schedules, windows
from approvals.models import CalendarEntry, RollbackRequest, Status, Target

from .people import user
from .services import LEDGER_PRODUCTION, WALLET_PRODUCTION, WALLET_STAGING


def fill_calendars() -> None:
    """Nights only on one target, with a freeze to come; a window that waits for a second person on another;
    a freeze to come on staging, and what is approved there starts tomorrow."""
    Target.objects.filter(name=LEDGER_PRODUCTION).update(time_zone="Africa/Nairobi")
    ledger = Target.objects.get(name=LEDGER_PRODUCTION)
    nights = windows.propose(
        ledger,
        CalendarEntry.Kind.WEEKLY,
        actor=user("ines"),
        days=list(range(7)),
        starts=time(22),
        ends=time(4),
        reason="The books are closed for the day, the nightly reports begin at four.",
    )
    windows.confirm(nights, actor=user("grace"))
    begins = timezone.now() + timedelta(days=9)
    windows.propose(
        ledger,
        CalendarEntry.Kind.FREEZE,
        actor=user("grace"),
        begins_at=begins,
        ends_at=begins + timedelta(days=3),
        reason="Month end: the auditors draw their figures.",
    )
    windows.propose(
        Target.objects.get(name=WALLET_PRODUCTION),
        CalendarEntry.Kind.WEEKLY,
        actor=user("ines"),
        days=[1, 3],
        starts=time(1),
        ends=time(5),
        reason="Fewer than 1 in 100 payments fall into these hours.",
    )
    tested = timezone.now() + timedelta(days=3)
    windows.propose(
        Target.objects.get(name=WALLET_STAGING),
        CalendarEntry.Kind.FREEZE,
        actor=user("grace"),
        begins_at=tested,
        ends_at=tested + timedelta(days=1),
        reason="The release is tested; nobody changes the schema meanwhile.",
    )
    for rollback in _approved(WALLET_STAGING):
        expires_at = rollback.expires_at or timezone.now()
        schedules.schedule(
            rollback,
            actor=user("grace"),
            digest=rollback.request_digest,
            confirmed_at=timezone.now(),
            at=expires_at - timedelta(hours=1),
        )


def _approved(target: str) -> list[RollbackRequest]:
    found = RollbackRequest.objects.filter(status=Status.APPROVED, rollback_targets__target__name=target)
    return list(found.order_by("-id")[:1])
