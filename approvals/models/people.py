"""People, their roles and the teams that own services."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cached_property

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    """What a person may do. Each role is a Django group of the same name; being admin gives no right to
    approve."""

    ENGINEER = "engineer", _("Engineer")
    SENIOR_DBA = "senior_dba", _("Senior DBA")
    PLATFORM_LEAD = "platform_lead", _("Platform lead")
    OPS = "ops", _("Ops")
    AUDITOR = "auditor", _("Auditor")
    ADMIN = "admin", _("Admin")

    @classmethod
    def counted(cls, roles: Iterable[Role]) -> str:
        """So many of each, as people read it: `2 × Senior DBA, Platform lead`."""
        found = Counter(cls(role).label for role in roles)
        return ", ".join(f"{n} × {word}" if n > 1 else str(word) for word, n in found.items())


class User(AbstractUser):
    """A person who signs in, and how they read: the zone of times, and whether single keys do anything."""

    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC")
    # False until they chose a zone or said no to the one their browser proposes: then nobody asks again.
    zone_settled = models.BooleanField(default=False)
    single_keys = models.BooleanField(_("single keys"), default=True)

    def __str__(self) -> str:
        return self.get_full_name() or self.username

    @cached_property
    def roles(self) -> frozenset[Role]:
        """The roles this person holds now, read once per instance; a disabled person holds none."""
        if not self.is_active:
            return frozenset()
        known = set(Role.values)
        return frozenset(Role(name) for name in self.groups.values_list("name", flat=True) if name in known)

    @cached_property
    def team_keys(self) -> list[int]:
        """The primary keys of the teams this person is in, read once per instance."""
        return list(self.teams.values_list("pk", flat=True))


class Team(models.Model):
    """People who own services and therefore see them."""

    name = models.SlugField(max_length=60, unique=True)
    members = models.ManyToManyField(User, related_name="teams", blank=True)

    def __str__(self) -> str:
        return self.name
