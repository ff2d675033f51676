"""A rollback that two people forced past its rehearsal, one night; nobody has reviewed it yet."""

from __future__ import annotations

from django.utils import timezone

from approvals import break_glass
from approvals.models import BreakGlass, RollbackRequest, Urgency

from . import journey, stories
from .people import user
from .services import WALLET_PRODUCTION
from .wishes import KEYS

TONIGHT = journey.Wish(
    by="bram",
    target=WALLET_PRODUCTION,
    versions=KEYS,
    title="The clean-up has begun to delete wallets of people who are still there",
    reason="Somebody switched the nightly clean-up on again, and the keys still cascade.",
    impact="Three wallets are gone since 23:40, more go with every batch.",
    forward_fix="Stopping the clean-up takes a release; the keys can go back at once.",
    app_version="wallet-service 4.11.1",
    urgency=Urgency.EMERGENCY,
)


def force() -> RollbackRequest:
    """Approved without a rehearsal: ops asked for that, a senior DBA confirmed it, two have signed."""
    rollback = journey.submit(journey.ask(TONIGHT))
    glass = break_glass.ask(
        rollback,
        skips=[BreakGlass.Skip.REHEARSAL],
        reason="The staging server is being moved tonight, and wallets go with every batch.",
        digest=journey.fresh(rollback).request_digest,
        actor=user("grace"),
    )
    break_glass.confirm(glass, actor=user("emeka"), confirmed_at=timezone.now())
    stories.sign(rollback)
    return rollback
