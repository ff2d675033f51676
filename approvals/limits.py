"""How often a person or pipeline may ask for what costs work, per minute; counted for all web processes."""

from __future__ import annotations

from django.core.cache import cache
from django.utils import timezone

from .models import ImportToken, User


def allows(what: str, who: User | ImportToken, *, per_minute: int) -> bool:
    """Count one more try and say whether it is within the limit of this minute."""
    key = f"limit:{what}:{who.pk}:{timezone.now():%H%M}"
    cache.add(key, 0, timeout=90)
    return int(cache.incr(key)) <= per_minute
