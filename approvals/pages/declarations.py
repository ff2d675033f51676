"""The effects that a script may leave on purpose, each with a field for its reason in the script's editor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.http import QueryDict
from django.utils.translation import gettext as _

from approvals.scripts import LONGEST_REASON

from .completeness_panel import Effects

KEY, REASON = "left_key", "left_reason"


@dataclass(frozen=True)
class Declaration:
    """One effect, and why it stays; without a reason it is not declared. `number` makes its field's name."""

    number: int
    key: str
    text: str
    reason: str

    @property
    def error(self) -> str:
        """What is wrong with the reason; empty for nothing."""
        if len(self.reason) <= LONGEST_REASON:
            return ""
        return _("A reason has at most %(most)d characters.") % {"most": LONGEST_REASON}


def offered(
    effects: Effects | None, left: Mapping[str, str], sent: Mapping[str, str] | None = None
) -> list[Declaration]:
    """Everything that may be declared: what was found not undone, and what is declared already. `sent` is
    what the form said, if it was sent."""
    texts = {each["key"]: each["text"] for each in (*effects.open, *effects.left)} if effects else {}
    # What is declared comes first, so that rows which come later, with a proof, get other numbers.
    keys = dict.fromkeys((*left, *texts, *(sent or {})))
    reasons = left if sent is None else sent
    return [
        Declaration(number, key, texts.get(key, key), reasons.get(key, ""))
        for number, key in enumerate(keys, start=1)
    ]


def sent_in(data: QueryDict) -> dict[str, str]:
    """The reasons that a form sends, by key; empty ones too."""
    keys, reasons = data.getlist(KEY), data.getlist(REASON)
    return {key: reason.strip() for key, reason in zip(keys, reasons, strict=False)}
