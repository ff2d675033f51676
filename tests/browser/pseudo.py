"""Settings of a portal in a language that nobody speaks: all marked text is longer and stands in brackets.

Pages run from right to left, as in Hebrew, whose catalog Django has. Text that stands without brackets
and is no data was not marked for translation.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from django.utils.translation import trans_real

from waqiti_rollback.settings import *  # noqa: F403 (the portal's own settings, and a language more)

LANGUAGE_CODE = "he"
LANGUAGES = [("he", "Pseudo")]
USE_I18N = True
BEGIN, END = "⟦", "⟧"
# What must stay as it is: placeholders, tags and references to characters.
_KEEP = re.compile(r"(%\(\w+\)[sd]|%%|%[sd]|<[^>]*>|&\w+;|\{\w*\})")
_ACCENTS = str.maketrans("aeioucnyAEIOUCNY", "áéíóúçñýÁÉÍÓÚÇÑÝ")


def pseudo(text: str) -> str:
    """The text in brackets, with accents and a third longer; an empty one stays empty."""
    if not text.strip():
        return text
    parts = _KEEP.split(text)
    told = "".join(part if n % 2 else part.translate(_ACCENTS) for n, part in enumerate(parts))
    return f"{BEGIN}{told}{'·' * (len(text) // 3)}{END}"


def _in_pseudo(real: Callable[..., str]) -> Callable[..., str]:
    return lambda *args, **kwargs: pseudo(str(real(*args, **kwargs)))


# Our own texts only: Django's formats of dates and its own errors are not ours to mark.
for _name in ("gettext", "ngettext"):
    setattr(trans_real, _name, _in_pseudo(getattr(trans_real, _name)))
