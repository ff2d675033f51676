"""What takes two people: one asks for it and another confirms it, and likewise for taking it away again.

Steps on a record that the caller holds locked, within the caller's unit of work. That nobody is both is held
by the database too (migrations/sql/calendar.sql, masking.sql).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Protocol

from django.utils import timezone
from django.utils.translation import gettext as _

from .errors import Denied, Refused
from .models import Role, User


class Asked(Protocol):
    """A record that is proposed, confirmed, and later taken away in the same way."""

    proposed_by_id: Any
    removal_by_id: Any
    confirmed_by: Any
    confirmed_at: datetime | None
    removal_by: Any
    removal_at: datetime | None
    removed_by: Any
    removed_at: datetime | None

    @property
    def waits(self) -> bool: ...


def role_words(roles: Iterable[Role]) -> str:
    """Which roles something takes, as a sentence."""
    wanted = frozenset(roles)
    words = ", ".join(str(role.label) for role in Role if role in wanted)
    return _("This takes one of these roles: %(roles)s.") % {"roles": words}


def require(actor: User, roles: frozenset[Role]) -> None:
    """Raises Denied for somebody who has none of these roles."""
    if not actor.roles & roles:
        raise Denied(role_words(roles))


def why_not_confirm(record: Asked, actor: User, confirms: frozenset[Role]) -> str:
    """Why this person can't be the second one, as a sentence; empty if they can."""
    if not actor.roles & confirms:
        return role_words(confirms)
    asked = record.proposed_by_id if record.removal_at is None else record.removal_by_id
    return _("You asked for it, so somebody else has to confirm it.") if actor.pk == asked else ""


def confirm(record: Asked, actor: User, confirms: frozenset[Role], *, removes: bool) -> None:
    """What was asked for is in force, or what was to be taken away is gone; `removes` is what the person was
    shown. Raises Denied for whoever asked, and Refused where this does not wait for anybody any more."""
    if why := why_not_confirm(record, actor, confirms):
        raise Denied(why)
    if not record.waits or removes != (record.removal_at is not None):
        raise _nothing_waits()
    if removes:
        record.removed_by, record.removed_at = actor, timezone.now()
    else:
        record.confirmed_by, record.confirmed_at = actor, timezone.now()


def dismiss(record: Asked, actor: User, confirms: frozenset[Role]) -> str:
    """What was asked for comes to nothing; returns what that was, `removal` or `proposal`. Whoever asked may
    do so too. Raises Denied and Refused."""
    require(actor, confirms)
    if not record.waits:
        raise _nothing_waits()
    if record.removal_at is None:
        record.removed_by, record.removed_at = actor, timezone.now()
        return "proposal"
    record.removal_by, record.removal_at = None, None
    return "removal"


def _nothing_waits() -> Refused:
    return Refused(_("Nothing of it waits for a second person any more."))
