"""Pages about oneself and the others: account, proving who one is, people and their roles."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from approvals import accounts, stepup
from approvals.errors import Denied, Refused
from approvals.forms import posted
from approvals.forms.account import ConfirmForm, TimeZoneForm
from approvals.requests import Request

TOO_MANY = 429


def account(request: Request) -> HttpResponse:
    """Who one is here, one's teams and time zone, and the way out."""
    form = TimeZoneForm(posted(request), initial={"time_zone": request.user.time_zone})
    if form.is_valid():
        try:
            accounts.set_time_zone(request.user, form.cleaned_data["time_zone"])
            messages.success(request, _("Times are shown in %(time_zone)s from now on.") % form.cleaned_data)
            return redirect("account")
        except Refused as refused:
            form.refuse(refused)
    context = {"form": form, "teams": request.user.teams.order_by("name"), "zones": accounts.time_zones()}
    return render(request, "account/account.html", context, status=form.status)


def account_keys(request: Request) -> HttpResponse:
    """Switch single keys on or off."""
    on = request.POST.get("on") == "yes"
    accounts.set_single_keys(request.user, on)
    messages.success(request, _("Single keys are on.") if on else _("Single keys are off."))
    return redirect("account")


def account_zone(request: Request) -> HttpResponse:
    """The answer to the zone that a browser proposed: take it, or keep the present one."""
    zone = request.POST.get("zone", "")
    if zone in accounts.time_zones():
        accounts.set_time_zone(request.user, zone)
        messages.success(request, _("Times are shown in %(time_zone)s from now on.") % {"time_zone": zone})
    else:
        accounts.keep_time_zone(request.user)
    return redirect(_next(request))


def confirm(request: Request) -> HttpResponse:
    """Ask for the password once more and go on to where this was needed."""
    form, status = ConfirmForm(posted(request)), None
    if form.is_valid():
        try:
            stepup.confirm(request, request.user)
            return redirect(_next(request))
        except stepup.TooManyAttempts as denied:
            form.add_error(None, str(denied))
            status = TOO_MANY
        except Denied as denied:
            form.add_error("password", str(denied))
    context = {"form": form, "next": _next(request), "minutes": stepup.WINDOW.seconds // 60}
    return render(request, "account/confirm.html", context, status=status or form.status)


def _next(request: Request) -> str:
    """Where to go on: an address of this portal, or the dashboard."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    here = {request.get_host()}
    safe = url_has_allowed_host_and_scheme(wanted, allowed_hosts=here, require_https=request.is_secure())
    return wanted if safe else resolve_url("dashboard")
