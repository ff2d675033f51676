"""How django-allauth behaves here: nobody signs up, accounts are made by an admin."""

from __future__ import annotations

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):
    """Closed to sign-ups."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Never: people get their account and roles from an admin."""
        return False
