"""THE table of who may open which URL. A URL that is not in it answers nobody.

Each entry names who may read (GET, HEAD) and who may write (POST), and what the URL is about. Objects of
services that somebody does not see answer 404: views look them up in the querysets of `approvals.access`.
What a person may do to an object that they see is the domain's decision; this table is the fence around it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from urllib.parse import urlencode

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect, render, resolve_url

from . import audit, backup_exceptions, break_glass, kept
from .access import SEES_ALL
from .alarms import ANSWERS
from .incidents import WRITES
from .masking import CONFIRMS as MASKING_CONFIRMS
from .models import Role, User
from .second_person import role_words
from .windows import CONFIRMS

log = logging.getLogger(__name__)

Who = frozenset[str]

ANONYMOUS, SIGNED_IN = "anonymous", "signed in"
NOBODY: Who = frozenset()
VISITORS: Who = frozenset({ANONYMOUS, SIGNED_IN})
PEOPLE: Who = frozenset({SIGNED_IN})  # with or without a role
READERS: Who = frozenset(Role)
OVERSEERS: Who = frozenset(SEES_ALL)
ENGINEERS: Who = frozenset({Role.ENGINEER})
# Asking a worker to read, and saying something, is open to everybody but auditors, who change nothing.
CATALOG_WRITERS: Who = READERS - {Role.AUDITOR}
INCIDENT_WRITERS: Who = frozenset(WRITES)
DECIDERS: Who = frozenset({Role.SENIOR_DBA, Role.PLATFORM_LEAD})
ADMINS: Who = frozenset({Role.ADMIN})
# Who may take the record out of the portal.
EXPORTERS: Who = frozenset({Role.AUDITOR, Role.ADMIN})
OPS: Who = frozenset({Role.OPS})
# Who asks for windows, declares freezes or is the second person; the domain knows who may which.
CALENDAR_WRITERS: Who = frozenset(CONFIRMS)
MASKING_WRITERS: Who = frozenset(MASKING_CONFIRMS)
# Who asks for break-glass, is the second person, or reviews it; the domain knows who was which.
GLASS_ASKS: Who = frozenset(break_glass.ASKS)
GLASS_CONFIRMS: Who = frozenset(break_glass.CONFIRMS)
GLASS_CLOSES: Who = frozenset(break_glass.CLOSES)
# The same of an exception instead of a backup.
EXCEPTION_ASKS: Who = frozenset(backup_exceptions.ASKS)
EXCEPTION_SIGNS: Who = frozenset(backup_exceptions.SIGNS)
ALARM_ANSWERS: Who = frozenset(ANSWERS)
# Everybody who acts on rollbacks at all; the domain knows who may do what to which.
ACTORS: Who = frozenset(Role) - {Role.AUDITOR, Role.ADMIN}
# Engineers of the owning team and admins import; the domain knows who owns what.
IMPORTERS: Who = frozenset({Role.ENGINEER, Role.ADMIN})
# No person: whoever holds a token of a service, which the view asks for. A session opens nothing there.
PIPELINES: Who = frozenset({ANONYMOUS})


@dataclass(frozen=True)
class Rule:
    """Who may read and who may write at one URL; `about` is the kind of object that its arguments name."""

    read: Who = NOBODY
    write: Who = NOBODY
    about: str = ""


CLOSED = Rule()

TABLE: dict[str, Rule] = {
    # signing in; accounts are made by an admin, so everything else of allauth answers nobody
    "account_login": Rule(VISITORS, VISITORS),
    "account_logout": Rule(PEOPLE, PEOPLE),
    "account_change_password": Rule(PEOPLE, PEOPLE),
    "account_reauthenticate": Rule(PEOPLE, PEOPLE),
    "account_inactive": Rule(VISITORS),
    "account_signup": CLOSED,
    "account_email": CLOSED,
    "account_email_verification_sent": CLOSED,
    "account_confirm_email": CLOSED,
    "account_set_password": CLOSED,
    "account_reset_password": CLOSED,
    "account_reset_password_done": CLOSED,
    "account_reset_password_from_key": CLOSED,
    "account_reset_password_from_key_done": CLOSED,
    "account_confirm_login_code": CLOSED,
    # oneself
    "account": Rule(PEOPLE, PEOPLE),
    "account_keys": Rule(NOBODY, PEOPLE),
    "account_zone": Rule(NOBODY, PEOPLE),
    "confirm": Rule(PEOPLE, PEOPLE),
    "kept": Rule(PEOPLE),
    # the catalog
    "dashboard": Rule(PEOPLE),
    "search": Rule(READERS),
    "service_list": Rule(READERS),
    "service_detail": Rule(READERS, about="service"),
    "service_problems": Rule(READERS, about="service"),
    "service_coverage": Rule(READERS, about="service"),
    "masking_rules": Rule(READERS, ADMINS, about="service"),
    "masking_confirm": Rule(NOBODY, MASKING_WRITERS, about="masking rule"),
    "masking_dismiss": Rule(NOBODY, MASKING_WRITERS, about="masking rule"),
    "masking_remove": Rule(NOBODY, MASKING_WRITERS, about="masking rule"),
    "import_list": Rule(READERS, about="service"),
    "import_new": Rule(IMPORTERS, IMPORTERS, about="service"),
    "import_asked": Rule(READERS, about="import request"),
    "import_detail": Rule(READERS, about="import"),
    "import_problems": Rule(READERS, about="import"),
    "import_tokens": Rule(IMPORTERS, IMPORTERS, about="service"),
    "import_token_revoke": Rule(IMPORTERS, IMPORTERS, about="import token"),
    "import_hook": Rule(NOBODY, PIPELINES),
    "import_hook_state": Rule(PIPELINES, about="import request"),
    "target_list": Rule(READERS),
    "target_detail": Rule(READERS, about="target"),
    "target_sync": Rule(READERS, CATALOG_WRITERS, about="target"),
    "target_setup": Rule(READERS, about="target"),
    "window_list": Rule(READERS, about="target"),
    "window_new": Rule(CALENDAR_WRITERS, CALENDAR_WRITERS, about="target"),
    "window_confirm": Rule(NOBODY, CALENDAR_WRITERS, about="calendar entry"),
    "window_dismiss": Rule(NOBODY, CALENDAR_WRITERS, about="calendar entry"),
    "window_remove": Rule(CALENDAR_WRITERS, CALENDAR_WRITERS, about="calendar entry"),
    "migration_detail": Rule(READERS, about="migration"),
    "script_new": Rule(ENGINEERS, ENGINEERS, about="migration"),
    "script_analysis": Rule(NOBODY, ENGINEERS, about="migration"),
    # What was found and generated is read by whoever sees the migration; asking is as for any other reading.
    "script_proof": Rule(READERS, CATALOG_WRITERS, about="migration"),
    "script_generate": Rule(READERS, ENGINEERS, about="migration"),
    "migration_fix": Rule(READERS, INCIDENT_WRITERS, about="migration"),
    "migration_fix_file": Rule(READERS, about="migration"),
    "matrix": Rule(READERS),
    "policy": Rule(READERS),
    "people": Rule(READERS),
    "person": Rule(READERS, about="person"),
    "contact_list": Rule(READERS),
    "contact_new": Rule(ADMINS, ADMINS),
    "contact_edit": Rule(ADMINS, ADMINS, about="contact"),
    "contact_remove": Rule(ADMINS, ADMINS, about="contact"),
    # the record
    "audit_list": Rule(OVERSEERS),
    "audit_event": Rule(OVERSEERS, about="event"),
    "audit_verify": Rule(OVERSEERS, OVERSEERS),  # what a verification finds is put on record
    "audit_verifier": Rule(OVERSEERS),
    "audit_export": Rule(EXPORTERS),
    "audit_report": Rule(EXPORTERS),
    "rollback_story": Rule(READERS, about="rollback"),
    "incident_list": Rule(READERS),
    "incident_new": Rule(INCIDENT_WRITERS, INCIDENT_WRITERS),
    "incident_detail": Rule(READERS, about="incident"),
    "incident_note": Rule(NOBODY, INCIDENT_WRITERS, about="incident"),
    "incident_references": Rule(NOBODY, INCIDENT_WRITERS, about="incident"),
    "incident_action_list": Rule(READERS),
    "incident_action_new": Rule(NOBODY, INCIDENT_WRITERS, about="incident"),
    "incident_action": Rule(INCIDENT_WRITERS, INCIDENT_WRITERS, about="action"),
    "incident_action_done": Rule(NOBODY, INCIDENT_WRITERS, about="action"),
    "post_mortem": Rule(READERS, INCIDENT_WRITERS, about="incident"),
    "incident_reopen": Rule(NOBODY, DECIDERS, about="incident"),
    # rollbacks
    "rollback_list": Rule(READERS),
    "rollback_new": Rule(ENGINEERS, ENGINEERS),
    "rollback_detail": Rule(READERS, about="rollback"),
    "rollback_ahead": Rule(READERS, about="rollback"),
    "rollback_files": Rule(READERS, about="rollback"),
    "rollback_edit": Rule(ENGINEERS, about="rollback"),
    "rollback_form": Rule(ENGINEERS, ENGINEERS, about="rollback"),
    "rollback_field": Rule(NOBODY, ENGINEERS, about="rollback"),
    "rollback_script": Rule(ENGINEERS, ENGINEERS, about="rollback"),
    "rollback_trial": Rule(ENGINEERS, ENGINEERS, about="rollback"),
    "rollback_submit": Rule(NOBODY, ENGINEERS, about="rollback"),
    "rollback_withdraw": Rule(NOBODY, ENGINEERS, about="rollback"),
    "rollback_reopen": Rule(NOBODY, ENGINEERS, about="rollback"),
    "rollback_confirm": Rule(NOBODY, ENGINEERS, about="rollback"),
    "rollback_facts": Rule(NOBODY, CATALOG_WRITERS, about="rollback"),
    # Auditors read what is said; whoever else sees a rollback takes part.
    "rollback_comments": Rule(READERS, about="rollback"),
    "rollback_comment": Rule(CATALOG_WRITERS, CATALOG_WRITERS, about="rollback"),
    "thread_reply": Rule(CATALOG_WRITERS, CATALOG_WRITERS, about="rollback"),
    "thread_resolve": Rule(NOBODY, CATALOG_WRITERS, about="rollback"),
    "rollback_rehearse": Rule(NOBODY, ACTORS, about="rollback"),
    "rollback_decide": Rule(DECIDERS, DECIDERS, about="rollback"),
    "rollback_start": Rule(OPS, OPS, about="rollback"),
    "rollback_preflight": Rule(READERS, CATALOG_WRITERS, about="rollback"),
    "rollback_targets": Rule(ENGINEERS, ENGINEERS, about="rollback"),
    "fleet_detail": Rule(READERS, about="rollback"),
    "fleet_live": Rule(READERS, about="rollback"),
    "fleet_start": Rule(OPS, OPS, about="rollback"),
    "fleet_hold": Rule(OPS, OPS, about="rollback"),
    "fleet_go_on": Rule(OPS, OPS, about="rollback"),
    "fleet_end": Rule(OPS, OPS, about="rollback"),
    "rollback_break_glass": Rule(READERS, GLASS_ASKS, about="rollback"),
    "rollback_break_glass_confirm": Rule(NOBODY, GLASS_CONFIRMS, about="rollback"),
    "rollback_break_glass_dismiss": Rule(NOBODY, GLASS_ASKS | GLASS_CONFIRMS, about="rollback"),
    "rollback_break_glass_review": Rule(NOBODY, GLASS_CLOSES, about="rollback"),
    "rollback_backup_exception": Rule(READERS, EXCEPTION_ASKS, about="rollback"),
    "rollback_backup_exception_sign": Rule(NOBODY, EXCEPTION_SIGNS, about="rollback"),
    "rollback_backup_exception_dismiss": Rule(NOBODY, EXCEPTION_ASKS | EXCEPTION_SIGNS, about="rollback"),
    "rollback_schedule": Rule(OPS, OPS, about="rollback"),
    "rollback_unschedule": Rule(NOBODY, OPS, about="rollback"),
    # executions
    "execution_detail": Rule(READERS, about="execution"),
    "execution_live": Rule(READERS, about="execution"),
    "execution_changes": Rule(READERS, about="execution"),
    "rollback_changes": Rule(READERS, about="rollback"),
    "dashboard_changes": Rule(READERS),
    "execution_log": Rule(READERS, about="execution"),
    "execution_answer": Rule(ALARM_ANSWERS, ALARM_ANSWERS, about="execution"),
    "execution_cancel": Rule(ACTORS, ACTORS, about="execution"),
    "execution_continue": Rule(NOBODY, OPS, about="execution"),
    "execution_carry_on": Rule(NOBODY, OPS, about="execution"),
    "execution_sign": Rule(NOBODY, DECIDERS, about="execution"),
    "execution_restarted": Rule(NOBODY, OPS, about="execution"),
}

SAFE_METHODS = ("GET", "HEAD")


def held(user: User | AnonymousUser) -> Who:
    """What the table may ask of this person: signed in or not, and their roles."""
    return frozenset({SIGNED_IN, *user.roles}) if isinstance(user, User) else frozenset({ANONYMOUS})


def may_read(user: User | AnonymousUser, name: str) -> bool:
    """True if this person may open the URL of this name."""
    return bool(TABLE.get(name, CLOSED).read & held(user))


def may_write(user: User | AnonymousUser, name: str) -> bool:
    """True if this person may post to the URL of this name."""
    return bool(TABLE.get(name, CLOSED).write & held(user))


def refuse(request: HttpRequest) -> HttpResponse | None:
    """The answer to somebody who may not be here; None lets the view answer."""
    name = request.resolver_match.view_name if request.resolver_match else ""
    rule = TABLE.get(name)
    if rule is None:
        log.error("no permission is defined for the URL %r (%s): nobody may open it", name, request.path)
    if rule is None or rule == CLOSED:
        return render(request, "404.html", status=404)
    methods = [*(SAFE_METHODS if rule.read else ()), *(["POST"] if rule.write else ())]
    if request.method not in methods:
        return HttpResponseNotAllowed(methods, render(request, "405.html").content)
    if (rule.read if request.method in SAFE_METHODS else rule.write) & held(request.user):
        return None
    if not isinstance(request.user, User):
        return _sign_in(request)
    return forbidden(request, _wrong_role(rule, request), name=name)


def _sign_in(request: HttpRequest) -> HttpResponse:
    """To the sign-in page, and from there back; what was sent is kept for whom it was (`approvals.kept`)."""
    if getattr(request, "htmx", False):
        # A part of a page: what is on that page stays as it is, instead of making way for a sign-in form.
        return HttpResponse(status=401)
    if request.method in SAFE_METHODS:
        back = request.get_full_path()
    else:
        back = resolve_url("kept" if kept.keep(request) else "dashboard")
    return redirect(f"{resolve_url('account_login')}?{urlencode({'next': back})}")


def forbidden(request: HttpRequest, why: str, *, name: str = "") -> HttpResponse:
    """The 403 page. With the name of a URL the attempt is recorded; the domain records its own refusals."""
    if name and isinstance(request.user, User):
        audit.record_denial("page.opened", actor=request.user, why=f"{request.method} {request.path}: {why}")
    return render(request, "403.html", {"why": why}, status=403)


def _wrong_role(rule: Rule, request: HttpRequest) -> str:
    wanted = rule.read if request.method in SAFE_METHODS else rule.write
    return role_words(role for role in Role if role in wanted)
