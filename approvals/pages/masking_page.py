"""A service's masking as people read it: its rules and whom they wait for, the shipped ones, and clones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, QuerySet
from django.utils.translation import gettext as _

from approvals import masking
from approvals.masks import SHIPPED, Method
from approvals.models import MaskingRule, RehearsalClone, Service, User

PEOPLE = ("proposed_by", "confirmed_by", "removal_by", "removed_by")
CLONES = 10


@dataclass(frozen=True)
class Line:
    """One rule: how it stands, and what this person may do with it."""

    rule: MaskingRule
    state: str
    tone: str
    icon: str
    why_not_confirm: str
    may_confirm: bool
    may_dismiss: bool
    may_remove: bool


def rules(service: Service) -> QuerySet[MaskingRule]:
    """All rules there ever were, those that stand first."""
    found = MaskingRule.objects.filter(service=service).select_related("service", *PEOPLE)
    return found.order_by(F("removed_at").desc(nulls_first=True), "columns", "id")


def lines(found: Iterable[MaskingRule], user: User) -> list[Line]:
    """Rules as this person reads them."""
    return [_line(rule, user) for rule in found]


def _line(rule: MaskingRule, user: User) -> Line:
    state, tone, icon = _state(rule)
    second = rule.waits and bool(user.roles & masking.CONFIRMS)
    why_not = masking.why_not_confirm(rule, user) if second else ""
    removers = masking.CONFIRMS if rule.keeps else masking.PROPOSES
    stands = rule.in_force and rule.removal_at is None
    return Line(
        rule=rule,
        state=state,
        tone=tone,
        icon=icon,
        why_not_confirm=why_not,
        may_confirm=second and not why_not,
        may_dismiss=second,
        may_remove=stands and bool(user.roles & removers),
    )


def _state(rule: MaskingRule) -> tuple[str, str, str]:
    if rule.removed_at is not None:
        return (_("taken away") if rule.confirmed_at or not rule.keeps else _("refused")), "idle", "void"
    if rule.removal_at is not None:
        return _("in force, to be taken away"), "warn", "warn"
    if not rule.in_force:
        return _("waits for a second person"), "warn", "wait"
    return _("in force"), "ok", "ok"


@dataclass(frozen=True)
class Shipped:
    """One kind of data that is recognised without a rule."""

    name: str
    becomes: str
    example: str


def shipped() -> list[Shipped]:
    """What is recognised by name and by content."""
    names = {
        "e-mail": (_("E-mail addresses"), "email, customer_mail"),
        "card number": (_("Card numbers"), "card_number, pan"),
        "IBAN": (_("Account numbers (IBAN)"), "iban"),
        "phone number": (_("Phone numbers"), "phone, msisdn"),
        "person's name": (_("Names of people"), "first_name, customers.name"),
    }
    methods = {kind.key: Method(kind.method).label for kind in SHIPPED}
    return [Shipped(name, str(methods[key]), example) for key, (name, example) in names.items()]


@dataclass(frozen=True)
class Clone:
    """A clone that is or was kept, in figures; one that could not be made says nothing of its rows."""

    target: str
    backup_at: datetime
    state: str
    tone: str
    icon: str
    uses: int
    bytes: int
    seconds: float | None
    masked: int
    unruled: list[str]
    with_rows: bool
    says: bool
    sentence: str


_TONES = {
    "ready": ("ok", "ok"),
    "making": ("run", "run"),
    "failed": ("fail", "fail"),
    "dropped": ("idle", "void"),
}


def clones(service: Service) -> list[Clone]:
    """The newest clones of a service's targets; one query."""
    found = RehearsalClone.objects.filter(target__service=service).select_related("target", "backup")
    return [
        Clone(
            target=clone.target.name,
            backup_at=clone.backup.created_at,
            state=clone.get_state_display(),
            tone=_TONES[clone.state][0],
            icon=_TONES[clone.state][1],
            uses=clone.uses,
            bytes=clone.bytes,
            seconds=clone.seconds,
            masked=clone.filled.get("masked_columns", 0),
            unruled=[each["column"] for each in clone.filled.get("unruled", ())],
            with_rows=clone.filled.get("with_rows", True),
            says=bool(clone.filled),
            sentence=clone.sentence,
        )
        for clone in found.order_by("-made_at")[:CLONES]
    ]
