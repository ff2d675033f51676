"""The page to which somebody comes back whose session had ended when they sent a form."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from approvals import kept, permissions
from approvals.requests import Request

# What was about to be done, for forms that have no page of their own.
WORDS: dict[str, str | Promise] = {
    "target_sync": _("Have the history of the target read"),
    "incident_note": _("Add to the timeline of the incident"),
    "rollback_submit": _("Submit the rollback for review"),
    "rollback_withdraw": _("Withdraw the rollback"),
    "rollback_reopen": _("Open the rollback again as a draft"),
    "rollback_facts": _("Have the target read again"),
    "rollback_rehearse": _("Ask for a rehearsal"),
    "rollback_confirm": _("Confirm a point of the checklist"),
    "rollback_decide": _("Decide on the rollback"),
    "rollback_start": _("Start the execution"),
    "execution_cancel": _("Cancel the execution"),
}
# What steers a form; it says nothing to people.
UNSEEN = frozenset({"revision", "digest", "next", "seen"})


def kept_input(request: Request) -> HttpResponse:
    """Lead back to the form, which shows the input again; where it has no page, show the input here.

    Nothing is sent by coming here: that takes a press of the button.
    """
    found = kept.find(request)
    if found is not None and permissions.may_read(request.user, found.name) and kept.try_page(request):
        return redirect(found.path)
    shown = [] if found is None else [(name, texts) for name, texts in found.fields.items() if any(texts)]
    context = {
        "kept": found,
        "what": WORDS.get(found.name, "") if found else "",
        "shown": [
            (name.replace("_", " ").capitalize(), texts) for name, texts in shown if name not in UNSEEN
        ],
    }
    return render(request, "kept.html", context)
