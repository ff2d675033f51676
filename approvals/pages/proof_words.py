"""What the verdict of a proof means, in words: the one place that every page takes them from."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from approvals.models import Proof

Text = str | Promise


@dataclass(frozen=True)
class Word:
    """A verdict as pages show it: its word, its shape and tone, and what it means in a sentence."""

    word: Text
    icon: str
    tone: str
    means: Text


V = Proof.Verdict
WORDS: dict[str, Word] = {
    V.EXACT: Word(
        _("exact"),
        "ok",
        "ok",
        _("After the way back the schema is what it was before, byte for byte as pg_dump writes it."),
    ),
    V.MODULO_ORDER: Word(
        _("exact but for the order of columns"),
        "ok",
        "ok",
        _("The schema is what it was before, but columns that came back stand at the end of their tables."),
    ),
    V.AS_DECLARED: Word(
        _("exact as declared"),
        "ok",
        "ok",
        _("What was declared as left on purpose differs, and nothing else does."),
    ),
    V.DIFFERS: Word(
        _("differs"), "warn", "warn", _("After the way back the schema is not what it was before.")
    ),
    V.ERROR: Word(_("error"), "fail", "fail", _("A step of the script fails on the scratch server.")),
    V.NOT_PROVABLE: Word(
        _("not provable"),
        "void",
        "warn",
        _("Nothing could be run that would show it. Its author says why it may go all the same."),
    ),
}
# No proof of this text yet.
NONE = Word(_("not proven"), "wait", "idle", _("No worker has run this revision against its migration yet."))

WAYS: dict[str, Text] = {
    Proof.Way.UP_DOWN_UP: _(
        "Forward, back and forward again on a scratch server, on top of the migrations before it."
    ),
    Proof.Way.DOWN_UP: _(
        "The weaker way, because the files do not replay: back and forward again on a copy of the live"
        " schema. It shows that both run and lead to where they began, not that the schema of before came"
        " back."
    ),
}


def word(verdict: str) -> Word:
    """The words of a verdict; those of none for an empty one."""
    return WORDS.get(verdict, NONE)
