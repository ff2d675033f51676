"""Whom to call at night: for everybody, for a team, or for one service."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from .catalog import Service
from .people import Team


class Contact(models.Model):
    """A person on call for one duty. Need not have an account; says neither who may approve nor who did."""

    class Duty(models.TextChoices):
        PRIMARY_DBA = "primary_dba", _("Primary DBA")
        BACKUP_DBA = "backup_dba", _("Backup DBA")
        PLATFORM_LEAD = "platform_lead", _("Platform lead")

    duty = models.CharField(max_length=20, choices=Duty.choices)
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.PROTECT, related_name="contacts")
    service = models.ForeignKey(
        Service, null=True, blank=True, on_delete=models.PROTECT, related_name="contacts"
    )
    name = models.CharField(_("name"), max_length=120)
    email = models.EmailField(_("email"))
    phone = models.CharField(_("phone"), max_length=40)

    class Meta:
        ordering = ("duty", "id")
        constraints = [
            models.UniqueConstraint(
                fields=["duty", "team", "service"], nulls_distinct=False, name="one_contact_per_duty"
            ),
            models.CheckConstraint(
                name="contact_for_a_team_or_a_service", condition=Q(team=None) | Q(service=None)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_duty_display()}: {self.name}"

    @property
    def dialled(self) -> str:
        """The phone number as a telephone dials it."""
        return "".join(sign for sign in self.phone if sign.isdigit() or sign == "+")
