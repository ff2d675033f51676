"""Writing the script that takes a migration back: SQL, checks, what the analysis makes of it, trying it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from approvals import access, filling, jobs, limits, once, rollbacks, scripts, trials
from approvals.errors import Refused
from approvals.forms import posted
from approvals.forms.scripts import CheckForm, CheckRows, ScriptForm, check_forms, checks_of
from approvals.models import Migration, Proof, RollbackItem, RollbackRequest, RollbackScript, Trial
from approvals.pages import declarations, proof_panel, script_plan
from approvals.pages.form_steps import Step
from approvals.requests import Request
from approvals.views.drafts import own, require_revision, shown_revision
from approvals.views.rollbacks import posted_revision

READS_PER_MINUTE = 60
TOO_MANY = 429


@dataclass
class Editor:
    """The fields of a script as they stand: its SQL, the rows of its checks, and what it leaves on purpose.

    `base` is the stored revision that it begins with, whose proof is shown; `reasons` are those that were
    sent, by the effect's key.
    """

    migration: Migration
    form: ScriptForm
    rows: CheckRows[CheckForm]
    base: RollbackScript | None
    reasons: dict[str, str] | None

    @property
    def is_valid(self) -> bool:
        """Was it sent just now, and is all of it right?"""
        return self.form.is_valid() and self._rows_hold

    @property
    def _rows_hold(self) -> bool:
        checks_hold = not self.rows.is_bound or self.rows.is_valid()
        return checks_hold and not any(each.error for each in declarations.offered(None, {}, self.reasons))

    @property
    def status(self) -> int:
        return self.form.status if self.form.kept or self._rows_hold else 400

    @property
    def left(self) -> dict[str, str]:
        """The effects that are declared, each with its reason."""
        return {key: reason for key, reason in (self.reasons or {}).items() if reason}

    @property
    def context(self) -> dict[str, Any]:
        """What templates need; the plan is that of the SQL in the field."""
        text = str(self.form["sql"].value() or "")
        found = proof_panel.read(self.base) if self.base else None
        known = self.base.left if self.base else {}
        return {
            "migration": self.migration,
            "form": self.form,
            "rows": self.rows,
            "plan": script_plan.read(self.migration, text),
            "view": found,
            "ahead": jobs.ahead(found.asked.job) if found and found.asked and found.is_open else 0,
            "declare": True,
            "declarations": declarations.offered(found.effects if found else None, known, self.reasons),
            "unprovable": bool(
                self.form["unproven"].value()
                or (found and found.proof and found.proof.verdict == Proof.Verdict.NOT_PROVABLE)
            ),
        }


def editor(
    request: Request,
    migration: Migration,
    base: RollbackScript | None,
    begins: RollbackScript | Trial | None = None,
) -> Editor:
    """The editor with what was sent, or with the script `base`; `begins` gives it another text and checks."""
    data, begins = posted(request), begins or base
    initial = {"sql": begins.sql if begins else "", "unproven": base.unproven if base else ""}
    files = request.FILES if request.method == "POST" else None
    form = ScriptForm(data, files, initial=initial, plan=partial(filling.plan_text, migration))
    form.fields["sql"].widget.attrs |= {
        "hx-post": reverse("script_analysis", args=[migration.pk]),
        "hx-trigger": "input changed delay:800ms",
        "hx-target": "#plan",
        "hx-params": "sql,csrfmiddlewaretoken",
        "hx-sync": "this:replace",
    }
    rows = check_forms(data, begins.checks if begins else ())
    return Editor(migration, form, rows, base, declarations.sent_in(data) if data is not None else None)


def _named(request: Request, migration: Migration) -> RollbackScript | None:
    """The revision that the address names by its number; None where it names none."""
    number = request.GET.get("script", "")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        return None
    return migration.scripts.filter(number=int(number)).first()


def script_new(request: Request, pk: int) -> HttpResponse:
    """Write the next revision of the script that takes a migration back, with its checks."""
    migration = get_object_or_404(access.migrations(request.user), pk=pk)
    last = migration.scripts.order_by("-number").first()
    edited = editor(request, migration, _named(request, migration) or last)
    if edited.is_valid:
        try:
            return redirect(once.run(request, partial(_add, request, edited)))
        except Refused as refused:
            edited.form.refuse(refused)
    return render(request, "migrations/script.html", edited.context | {"last": last}, status=edited.status)


def _add(request: Request, edited: Editor) -> str:
    script = _store(request, edited)
    messages.success(request, _("Revision %(n)d is stored.") % {"n": script.number})
    return f"{reverse('migration_detail', args=[edited.migration.pk])}?script={script.number}"


def _store(request: Request, edited: Editor) -> RollbackScript:
    sql, checks = edited.form.cleaned_data["sql"], checks_of(edited.rows)
    return scripts.add_script(
        edited.migration,
        sql=sql,
        checks=checks,
        actor=request.user,
        left=edited.left,
        unproven=edited.form.cleaned_data["unproven"],
    )


def script_analysis(request: Request, pk: int) -> HttpResponse:
    """Risk, plan and messages of the SQL as it is being typed, as a fragment; nothing is stored."""
    migration = get_object_or_404(access.migrations(request.user), pk=pk)
    text = request.POST.get("sql", "")
    if not limits.allows("analysis", request.user, per_minute=READS_PER_MINUTE):
        why = _("More than %(count)d readings in a minute. The plan comes back when you type on in a minute.")
        return _cannot(request, why % {"count": READS_PER_MINUTE}, TOO_MANY)
    if len(text) > script_plan.LONGEST:
        why = _("Longer than 50,000 characters: its plan shows when it is stored.")
        return _cannot(request, why, 400)
    return render(request, "rollbacks/form/plan.html", {"plan": script_plan.read(migration, text)})


def _cannot(request: Request, why: str, status: int) -> HttpResponse:
    plan = script_plan.PlanView(why_not=why)
    return render(request, "rollbacks/form/plan.html", {"plan": plan}, status=status)


@never_cache
def rollback_script(request: Request, pk: int, position: int) -> HttpResponse:
    """Write the next revision of an item's script, with its checks, and let the request use it."""
    rollback, item = _item(request, pk, position)
    tried = _asked_trial(request, rollback, item) or trials.latest_of(rollback).get(position)
    begins = tried if "trial" in request.GET else None
    edited = editor(request, item.migration, _named(request, item.migration) or item.script, begins)
    if edited.is_valid:
        try:
            return redirect(once.run(request, partial(_write, request, rollback, item, edited)))
        except Refused as refused:
            edited.form.refuse(refused)
    return _page(request, rollback, item, edited, tried)


def _page(
    request: Request, rollback: RollbackRequest, item: RollbackItem, edited: Editor, tried: Trial | None
) -> HttpResponse:
    context = {
        "rollback": rollback,
        "item": item,
        "target": rollback.representative().target,
        "trial": tried,
        "ahead": trials.ahead(tried) if tried and tried.is_open else 0,
        "revision": shown_revision(request, rollback, edited.form),
        "voids": rollback.approvals.filter(voided_at=None, decision="approve").count(),
        "back": reverse("rollback_form", args=[rollback.pk, Step.SCRIPTS]),
    }
    return render(request, "rollbacks/script.html", edited.context | context, status=edited.status)


def _item(request: Request, pk: int, position: int) -> tuple[RollbackRequest, RollbackItem]:
    rollback = own(request, pk)
    items = rollback.items.select_related("migration__service", "revision", "script")
    return rollback, get_object_or_404(items, position=position)


def _asked_trial(request: Request, rollback: RollbackRequest, item: RollbackItem) -> Trial | None:
    """The trial that the address names, of this item; 404 for any other."""
    if not (name := request.GET.get("trial", "")):
        return None
    try:
        key = UUID(name)
    except ValueError:
        raise Http404 from None
    found = Trial.objects.select_related("job").filter(rollback=rollback, migration=item.migration)
    return get_object_or_404(found, pk=key)


def _write(request: Request, rollback: RollbackRequest, item: RollbackItem, edited: Editor) -> str:
    revision = posted_revision(request)
    require_revision(rollback, revision)
    script = _store(request, edited)
    if script.pk != item.script_id:
        rollbacks.edit(rollback, actor=request.user, revision=revision, scripts=[script])
    said = _("Script revision %(n)d is stored, and this request uses it.") % {"n": script.number}
    messages.success(request, said)
    return reverse("rollback_form", args=[rollback.pk, Step.SCRIPTS])


@never_cache
def rollback_trial(request: Request, pk: int, position: int) -> HttpResponse:
    """Ask for the checks as typed to be tried on a copy (POST), or say how far that is (GET, a fragment)."""
    rollback, item = _item(request, pk, position)
    if request.method != "POST":
        tried = _asked_trial(request, rollback, item)
        return _fragment(request, rollback, item, trial=tried)
    edited = editor(request, item.migration, item.script)
    whole = not request.htmx
    if not edited.is_valid:
        if whole:
            return _page(request, rollback, item, edited, None)
        return _fragment(request, rollback, item, problems=_problems(edited), status=400)
    sql, checks = edited.form.cleaned_data["sql"], checks_of(edited.rows)
    try:
        tried = trials.ask(rollback, position, sql=sql, checks=checks, actor=request.user)
    except Refused as refused:
        if whole:
            edited.form.refuse(refused)
            return _page(request, rollback, item, edited, None)
        return _fragment(request, rollback, item, problems=[str(refused)], status=409)
    if whole:
        return redirect(f"{reverse('rollback_script', args=[pk, position])}?trial={tried.pk}#trial")
    return _fragment(request, rollback, item, trial=tried)


def _fragment(
    request: Request,
    rollback: RollbackRequest,
    item: RollbackItem,
    *,
    trial: Trial | None = None,
    problems: list[str] | None = None,
    status: int = 200,
) -> HttpResponse:
    context = {
        "rollback": rollback,
        "item": item,
        "trial": trial,
        "ahead": trials.ahead(trial) if trial and trial.is_open else 0,
        "trial_problems": problems or [],
    }
    return render(request, "rollbacks/form/trial.html", context, status=status)


def _problems(edited: Editor) -> list[str]:
    """Everything that is wrong with what was typed, as sentences with where it is."""
    found = [str(error) for errors in edited.form.errors.values() for error in errors]
    for number, row in enumerate(edited.rows, start=1):
        found += [
            _("Check %(number)d: %(error)s") % {"number": number, "error": error}
            for errors in row.errors.values()
            for error in errors
        ]
    return found
