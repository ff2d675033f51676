"""How tests of pages visit them: as somebody, with or without a fresh proof of who they are."""

from __future__ import annotations

from datetime import datetime
from html.parser import HTMLParser
from typing import Any

from django.test import Client
from django.utils import timezone

from approvals import stepup
from approvals.models import User

BACKEND = "django.contrib.auth.backends.ModelBackend"


def as_(user: User, *, confirmed: bool | datetime = False) -> Client:
    """A client that is signed in as this person; `confirmed` gives them a proof of identity."""
    client = Client()
    client.force_login(user, backend=BACKEND)
    if confirmed:
        at = confirmed if isinstance(confirmed, datetime) else timezone.now()
        session = client.session
        session[stepup.SESSION_KEY] = {"user": user.pk, "at": at.isoformat()}
        session.save()
    return client


class _Text(HTMLParser):
    """The words of a page, and the values of its controls."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.fields: dict[str, str] = {}
        self.links: list[str] = []
        self.forms: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "input" and found.get("name"):
            self.fields[found["name"] or ""] = found.get("value") or ""
        if tag == "a" and found.get("href"):
            self.links.append(found["href"] or "")
        if tag == "form" and found.get("action"):
            self.forms.append(found["action"] or "")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


class Page:
    """An answer as a person sees it."""

    def __init__(self, response: Any) -> None:
        self.status: int = response.status_code
        self.html: str = response.content.decode()
        parser = _Text()
        parser.feed(self.html)
        self.text = " ".join(" ".join(parser.words).split())
        self.fields, self.links, self.forms = parser.fields, parser.links, parser.forms

    def __contains__(self, words: str) -> bool:
        return words in self.text

    def leads_to(self, address: str) -> bool:
        """True if a link or a form of the page goes there."""
        return any(each.split("?")[0] == address for each in [*self.links, *self.forms])


def see(client: Client, address: str, **data: Any) -> Page:
    """Open a page."""
    return Page(client.get(address, data))


def send(client: Client, address: str, **data: Any) -> Page:
    """Post a form and see the answer; a redirect is followed."""
    return Page(client.post(address, data, follow=True))
