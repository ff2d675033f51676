"""Whom to call, and the path of escalation; an admin names, changes and takes away contacts."""

from __future__ import annotations

from functools import partial

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from approvals import contacts, once, permissions
from approvals.errors import Refused
from approvals.forms import posted
from approvals.forms.catalog import Filter
from approvals.forms.contacts import ContactForm
from approvals.models import Contact
from approvals.pages import contact_page, paging
from approvals.requests import Request


def contact_list(request: Request) -> HttpResponse:
    """The escalation path, whom to call in general, and whom for single teams and services."""
    form = Filter(request.GET)
    general = contact_page.everywhere()
    page = paging.page(request, contact_page.having_own(form.chosen("q")), whole=paging.wants_whole(request))
    context = {
        "form": form,
        "page": page,
        "steps": contact_page.path(general),
        "general": general,
        "places": [general, *contact_page.places(page.object_list)],
        "may_change": permissions.may_write(request.user, "contact_new"),
        "admins": contact_page.admins(),
    }
    return render(request, "contacts/list.html", context)


def contact_new(request: Request) -> HttpResponse:
    """Name a contact."""
    return _edit(request, None)


def contact_edit(request: Request, pk: int) -> HttpResponse:
    """Change a contact."""
    return _edit(request, get_object_or_404(Contact, pk=pk))


def _edit(request: Request, contact: Contact | None) -> HttpResponse:
    form = ContactForm.of(posted(request), contact, request.GET.get("duty", ""))
    if form.is_valid():
        try:
            return redirect(once.run(request, partial(_save, request, contact, form)))
        except Refused as refused:
            form.refuse(refused)
    return render(request, "contacts/edit.html", {"form": form, "contact": contact}, status=form.status)


def _save(request: Request, contact: Contact | None, form: ContactForm) -> str:
    saved = contacts.save(contact, **form.cleaned_data, actor=request.user)
    what = {"name": saved.name, "duty": saved.get_duty_display()}
    messages.success(request, _("%(name)s is named as %(duty)s.") % what)
    return reverse("contact_list")


def contact_remove(request: Request, pk: int) -> HttpResponse:
    """Ask, then take a contact away."""
    contact = get_object_or_404(Contact.objects.select_related("team", "service"), pk=pk)
    if request.method == "POST":
        name = contact.name
        contacts.remove(contact, actor=request.user)
        messages.success(request, _("%(name)s is no contact any more.") % {"name": name})
        return redirect("contact_list")
    return render(request, "contacts/remove.html", {"contact": contact})
