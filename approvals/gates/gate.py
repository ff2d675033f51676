"""One condition as it was judged, and how a judge says so."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from django.utils.translation import gettext as _

from approvals.known import Known
from approvals.models import BackupException, BreakGlass


class Needed(enum.IntEnum):
    """From when on a gate must hold; it must keep holding from there on."""

    SUBMIT = 1
    APPROVE = 2
    EXECUTE = 3
    DEPLOY = 4
    """not for the rollback itself, but before anything is deployed again"""


@dataclass(frozen=True)
class Gate:
    """One condition. `detail` says what holds or what is missing; `who` can supply it (empty when it
    holds).

    `at` is when its evidence was taken, `until` when it stops to hold by itself, where that is known.
    `forced`: it lets pass because people signed that it may, and is never to be shown as one that holds.
    """

    key: str
    title: str
    holds: bool
    detail: str
    who: str
    needed: Needed
    at: datetime | None = None
    until: datetime | None = None
    forced: bool = False

    @property
    def is_for_later(self) -> bool:
        """True if the rollback itself does not wait for it, only the next deployment does."""
        return self.needed is Needed.DEPLOY


Judge = Callable[[Known], Gate]
# So many names are told; of more, how many.
NAMES = 4


def judged(
    key: str,
    title: str,
    *,
    holds: bool,
    yes: str,
    no: str,
    who: str,
    needed: Needed = Needed.SUBMIT,
    at: datetime | None = None,
    until: datetime | None = None,
) -> Gate:
    """A gate that says `yes` if it holds, else `no` and who can help."""
    return Gate(key, title, holds, yes if holds else no, "" if holds else who, needed, at, until)


def or_forced(
    known: Known, gate: Gate, skip: BreakGlass.Skip, *, since: datetime | None = None, lacks: str = ""
) -> Gate:
    """The gate as it is; or, where it does not hold and a break-glass skips it, as forced, with what is
    lacking. `since` is when came up what would have had to be known to confirm that."""
    if gate.holds or (glass := known.forced_by(skip, since=since)) is None:
        return gate
    said = _("Forced: %(asked)s asked, %(confirmed)s confirmed it. %(lacks)s") % {
        "asked": glass.proposed_by,
        "confirmed": glass.confirmed_by,
        "lacks": lacks or gate.detail,
    }
    return replace(gate, holds=True, forced=True, detail=said, who="", until=glass.expires_at)


def or_excepted(gate: Gate, exception: BackupException | None) -> Gate:
    """The gate as it is; or, where it does not hold and an exception stands in, forced, with what lacks."""
    if gate.holds or exception is None:
        return gate
    said = _("By exception: %(asked)s asked, %(signers)s signed it. %(lacks)s") % {
        "asked": exception.proposed_by,
        "signers": exception.signers,
        "lacks": gate.detail,
    }
    return replace(gate, holds=True, forced=True, detail=said, who="", until=exception.expires_at)


def requester(known: Known) -> str:
    """Who supplies what only the requester can."""
    return _("%(name)s, who asks for it") % {"name": known.rollback.requester}
