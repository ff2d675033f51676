"""Tokens with which pipelines import into one service: made, looked up by their digest, revoked."""

from __future__ import annotations

import hashlib
import secrets

from django.utils import timezone
from django.utils.translation import gettext as _

from . import audit, catalog, limits, repositories, sources
from .errors import Denied, Refused
from .models import ImportToken, Service, User

# So that people and scanners of secrets know one when they see it.
PREFIX = "waqiti_import_"


def make(
    service: Service, *, name: str, source: str = "", folder: str = "", actor: User
) -> tuple[ImportToken, str]:
    """A new token, and its text, which is stored nowhere: show it once.

    Raises Denied for anybody but an engineer of the owning team or an admin, Refused for a name that another
    token in force has, and for a source that may not be read.
    """
    text = PREFIX + secrets.token_urlsafe(32)
    with audit.unit_of_work("import_token.made", actor=actor) as facts:
        _require_importer(service, actor)
        Service.objects.select_for_update(no_key=True).get(pk=service.pk)
        name = name.strip()
        if service.import_tokens.filter(name=name, revoked_at=None).exists():
            raise Refused(_("There is a token %(name)s already; revoke it first.") % {"name": name})
        sources.clean_folder(folder)
        if source:
            repositories.require_allowed(source)
        token = ImportToken.objects.create(
            service=service, name=name, source=source, folder=folder, digest=_digest(text), made_by=actor
        )
        facts |= {"service": service.name, "token": token.pk, "source": source, "folder": folder}
        facts |= audit.digests(token, "name")
    return token, text


def revoke(token: ImportToken, *, actor: User) -> None:
    """From now on nothing is imported with it. Raises Denied as `make` does; once more changes nothing."""
    with audit.unit_of_work("import_token.revoked", actor=actor) as facts:
        _require_importer(token.service, actor)
        ImportToken.objects.filter(pk=token.pk, revoked_at=None).update(
            revoked_at=timezone.now(), revoked_by=actor
        )
        facts |= {"service": token.service.name, "token": token.pk}


def holder(text: str) -> ImportToken | None:
    """The token in force with this text; None where there is none. The use of one that was revoked, or whose
    maker may no longer import, is put on record, at most once a minute: whoever goes on with it may not fill
    the record."""
    found = ImportToken.objects.select_related("service", "made_by").filter(digest=_digest(text))
    token = found.first()
    if token is None or catalog.is_in_force(token):
        return token
    if limits.allows("revoked-token", token, per_minute=1):
        why = _("The token %(pk)d was revoked, or whoever made it may no longer import.") % {"pk": token.pk}
        audit.record_denial("import.requested", actor=None, why=why)
    return None


def used(token: ImportToken) -> None:
    """Note that it was used just now."""
    ImportToken.objects.filter(pk=token.pk).update(used_at=timezone.now())


def _require_importer(service: Service, actor: User) -> None:
    if not catalog.may_import(service, actor):
        raise Denied(_("Only an engineer of the owning team or an admin can make or revoke its tokens."))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
