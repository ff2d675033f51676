"""What can go wrong in the domain, in two kinds: refused (say what to do) and denied (say who may)."""

from __future__ import annotations


class Refused(Exception):
    """The action does not fit how things are. The message says why and what to do; nothing was changed."""


class Denied(Exception):
    """This person may not do this. The message says why; the attempt is on record."""


class Conflict(Refused):
    """Somebody else changed the thing meanwhile. Nothing was changed; look again and decide again."""
