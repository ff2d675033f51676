"""How often a person or pipeline may ask for what costs work, per minute; counted for all web processes."""

from __future__ import annotations

from django.core.cache import cache
from django.db import connection, transaction
from django.utils import timezone

from .models import ImportToken, User

# Keeps what is counted apart from other locks of the portal's database.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('counted:' || %s, 0))"


def allows(what: str, who: User | ImportToken, *, per_minute: int) -> bool:
    """Count one more try and say whether it is within the limit of this minute."""
    return count(f"limit:{what}:{who.pk}:{timezone.now():%H%M}", seconds=90) <= per_minute


def count(key: str, *, seconds: int) -> int:
    """One more of what is counted under this key, which is forgotten `seconds` after the first; how many it
    is. A cache in a database adds one by reading and writing, so whoever counts the same waits meanwhile."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_LOCK, [key])
        cache.add(key, 0, timeout=seconds)
        return int(cache.incr(key))
