"""How often one person may ask for what costs work, per minute; counted in this process's memory."""

from __future__ import annotations

from django.core.cache import cache
from django.utils import timezone

from .models import User


def allows(what: str, user: User, *, per_minute: int) -> bool:
    """Count one more try and say whether it is within the limit of this minute."""
    key = f"limit:{what}:{user.pk}:{timezone.now():%H%M}"
    cache.add(key, 0, timeout=90)
    return int(cache.incr(key)) <= per_minute
