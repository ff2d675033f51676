"""The form of a contact: which duty, for whom, and how to reach them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

from approvals.models import Contact, Service, Team

from . import PortalForm
from .choosing import Pick

FIELDS = ("duty", "team", "service", "name", "email", "phone")
# Digits as people group them, an extension included; at least six of them, or nobody answers.
PHONE = RegexValidator(
    r"^\+?(?:[0-9][ ()./-]{0,3}){6,20}(?:(?:x|ext\.?) ?[0-9]{1,6})?$",
    _("Enter a phone number of digits, such as +254 20 123 4567."),
)


class ContactForm(PortalForm):
    """Somebody to call. Without team and service they are called about everything."""

    duty = forms.ChoiceField(label=_("Duty"), choices=[("", _("choose")), *Contact.Duty.choices])
    team = Pick(
        label=_("For the services of a team"),
        queryset=Team.objects.order_by("name"),
        to_field_name="name",
        required=False,
        empty_label=_("all teams"),
    )
    service = Pick(
        label=_("For one service"),
        queryset=Service.objects.order_by("name"),
        to_field_name="name",
        required=False,
        empty_label=_("all services"),
    )
    name = forms.CharField(label=_("Name"), max_length=120)
    email = forms.EmailField(label=_("Email"))
    phone = forms.CharField(label=_("Phone"), max_length=40, validators=[PHONE])

    @classmethod
    def of(cls, data: Any, contact: Contact | None, duty: str = "") -> ContactForm:
        """The form with what is stored, or for a new contact of a duty."""
        if contact is None:
            return cls(data, initial={"duty": duty})
        stored = {name: getattr(contact, name) for name in FIELDS}
        places = {name: str(stored[name] or "") for name in ("team", "service")}
        return cls(data, initial=stored | places)
