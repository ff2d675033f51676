"""Asking for a rollback, step by step: each step has its address, is saved on leaving it, and may wait."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from approvals import access, audit, checklist, gates, incidents, jobs, once, rollbacks, trials, workflow
from approvals.errors import Conflict, Denied, Refused
from approvals.forms import PortalForm, posted
from approvals.forms.asking import ChecklistStep, DraftForm, FileStep, ItemScriptsForm, ReasonStep
from approvals.known import Known
from approvals.models import ChecklistEntry, Job, RollbackRequest, Status, Target, User
from approvals.next_deployment import NextDeployment
from approvals.pages import (
    deployment_panel,
    form_steps,
    offered_targets,
    paging,
    proof_panel,
    review,
    rollback_queries,
)
from approvals.pages.form_steps import Along, Step
from approvals.pages.search import Wanted
from approvals.requests import Request
from approvals.views.rollbacks import posted_revision


def rollback_new(request: Request) -> HttpResponse:
    """Choose the target, then how far down to go; with that the draft begins."""
    targets = rollback_queries.asks_for(request.user)
    if "target" not in request.GET:
        lines = form_steps.lines_before(Step.TARGET)
        context = _offered(request) | {"lines": lines, "step": Step.TARGET}
        return render(request, "rollbacks/form/target.html", context)
    target = get_object_or_404(targets, name=request.GET["target"])
    form = PortalForm(posted(request))
    chosen, context = _migrations(request, target, request.GET.get("down_to", ""))
    if chosen and form.is_valid():
        try:
            return redirect(once.run(request, partial(_create, request.user, target, chosen)))
        except Refused as refused:
            form.refuse(refused)
    lines = form_steps.lines_before(Step.MIGRATIONS, target)
    context |= {"form": form, "step": Step.MIGRATIONS, "target": target, "lines": lines}
    return render(request, "rollbacks/form/migrations.html", context, status=form.status)


def _offered(request: Request) -> dict[str, Any]:
    """The targets to begin with in pages, those alone that the filter finds."""
    wanted = Wanted.read(request.GET.get("q", ""))
    found = rollback_queries.asks_for(request.user).order_by("name")
    if wanted.words:
        found = found.filter(wanted.in_any(*offered_targets.SEARCHED, "service__name"))
    return {"targets": paging.page(request, found), "words": wanted.text}


def _create(user: User, target: Target, chosen: list[Along]) -> str:
    """Make the draft and return the address of its next step."""
    rollback = rollbacks.create(target, _named(chosen), actor=user)
    return form_steps.url_of(rollback, Step.REASON)


def _named(chosen: list[Along]) -> list[Any]:
    return [each.choice.migration for each in chosen if each.choice.migration is not None]


def _migrations(request: Request, target: Target, down_to: str) -> tuple[list[Along], dict[str, Any]]:
    """What goes when it goes down to this version, and what the page of that step shows."""
    applied = rollback_queries.applied(target)
    chosen = form_steps.along(applied, down_to)
    context = {
        "applied": applied,
        "page": paging.page(request, applied.choices),
        "chosen": chosen,
        "versions": {each.choice.version for each in chosen},
        "blocked": [each for each in chosen if each.choice.problem],
        "not_there": "" if chosen else down_to,
    }
    return chosen, context


def rollback_edit(request: Request, pk: int) -> HttpResponse:
    """Lead to the first step in which something is missing."""
    rollback = own(request, pk)
    return redirect(form_steps.url_of(rollback, form_steps.first_open(rollback)))


@never_cache
def rollback_form(request: Request, pk: int, step: str) -> HttpResponse:
    """One step of the form of a rollback that its requester may edit."""
    rollback = own(request, pk)
    if step not in STEPS:
        raise Http404
    return STEPS[Step(step)](request, rollback)


def rollback_field(request: Request, pk: int, step: str, field: str) -> HttpResponse:
    """What is wrong with one field as it stands in the page, as a fragment; nothing is saved."""
    form = _draft_form(request, own(request, pk), step)
    if form is None or field not in form.fields:
        raise Http404
    form.is_valid()
    return render(request, "includes/field_foot.html", {"field": form[field]})


def _draft_form(request: Request, rollback: RollbackRequest, step: str) -> DraftForm | None:
    """The form of a step that is about fields of the request; an instance of its own, which it changes."""
    instance = copy(rollback)
    if step == Step.REASON:
        return ReasonStep(posted(request), instance=instance, service=rollback.service)
    return FileStep(posted(request), instance=instance) if step == Step.FILE else None


def _target(request: Request, rollback: RollbackRequest) -> HttpResponse:
    """Where it is to run. That is settled: what was read, rehearsed and backed up belongs to this target."""
    return _page(request, rollback, Step.TARGET, **_offered(request))


def _choose(request: Request, rollback: RollbackRequest) -> HttpResponse:
    """Which migrations go; changing that keeps everything else that was said."""
    target = _target_of(rollback)
    present = [item.migration.version for item in rollback.items.select_related("migration")]
    wanted = request.POST.get("down_to") or request.GET.get("down_to") or (present[-1] if present else "")
    form = PortalForm(posted(request))
    chosen, context = _migrations(request, target, wanted)

    def act() -> str:
        if [each.choice.version for each in chosen] != present:
            revision = posted_revision(request)
            rollbacks.edit(rollback, actor=request.user, revision=revision, migrations=_named(chosen))
        return _onward(request, rollback, Step.MIGRATIONS)

    done = _saved(form, act) if chosen else None
    return done or _page(request, rollback, Step.MIGRATIONS, form=form, **context)


def _say(step: Step, request: Request, rollback: RollbackRequest) -> HttpResponse:
    """What the requester says: the incident and reasons, or the file and deployments."""
    form = _draft_form(request, rollback, step)
    assert form is not None  # noqa: S101 (only these two steps come here)

    def act() -> str:
        if answers := _answers(request.user, rollback, form):
            rollbacks.edit(rollback, actor=request.user, revision=posted_revision(request), **answers)
        return _onward(request, rollback, step)

    def act_once() -> str:
        return once.run(request, act) if isinstance(form, ReasonStep) and form.opens_incident else act()

    deployment = _deployment(rollback, form) if step == Step.FILE else None
    return _saved(form, act_once) or _page(request, rollback, step, form=form, deployment=deployment)


def _deployment(rollback: RollbackRequest, form: DraftForm) -> deployment_panel.Panel:
    """The next deployment for the choices as they stand in the form."""
    treatment, fate = (str(form[name].value() or "") for name in ("history_treatment", "file_fate"))
    return deployment_panel.planned(NextDeployment(rollback), treatment=treatment, fate=fate)


def _answers(user: User, rollback: RollbackRequest, form: DraftForm) -> dict[str, Any]:
    """What changed of what the requester says, with a new incident where they asked for one."""
    if not isinstance(form, ReasonStep) or not form.opens_incident:
        return form.answers()
    clean = form.cleaned_data
    incident = incidents.open_incident(
        rollback.service,
        title=clean["incident_title"],
        reason=clean["reason"],
        impact=clean["incident_impact"],
        actor=user,
    )
    form.use_incident(incident)
    return form.answers() | {"incident": incident}


def _scripts(request: Request, rollback: RollbackRequest) -> HttpResponse:
    """Which script takes each migration back, with its plan, its checks and how they did when tried."""
    items = list(rollback.items.select_related("migration", "script"))
    form = ItemScriptsForm(posted(request), items=items)

    def act() -> str:
        if chosen := form.chosen():
            rollbacks.edit(rollback, actor=request.user, revision=posted_revision(request), scripts=chosen)
        return _onward(request, rollback, Step.SCRIPTS)

    tried = trials.latest_of(rollback)
    used = {item.script.pk: item.revision_id for item in items if item.script}
    found = proof_panel.read_all([item.script for item in items if item.script], used)
    rows = [
        (item, form[f"script_{item.position}"], tried.get(item.position), found.get(item.script_id or 0))
        for item in items
    ]
    return _saved(form, act) or _page(request, rollback, Step.SCRIPTS, form=form, rows=rows)


def _checklist(request: Request, rollback: RollbackRequest) -> HttpResponse:
    """What the worker found, and what only a person can know."""
    points = checklist.points(rollback)
    form = ChecklistStep(posted(request), points=points)

    def act() -> str:
        for name, note in form.notes().items():
            point = ChecklistEntry.Point(name)
            checklist.confirm(rollback, point, note=note, actor=request.user)
        return _onward(request, rollback, Step.CHECKLIST)

    job = jobs.latest(Job.Kind.FACTS, rollback.pk)
    return _saved(form, act) or _page(request, rollback, Step.CHECKLIST, form=form, points=points, job=job)


def _review(request: Request, rollback: RollbackRequest) -> HttpResponse:
    """Everything once more, what is missing with where to supply it, and the button that submits."""
    form = PortalForm(posted(request))

    def act() -> str:
        rollbacks.submit(rollback, actor=request.user)
        messages.success(request, _("Submitted for review."))
        return reverse("rollback_detail", args=[rollback.pk])

    if done := _saved(form, lambda: once.run(request, act)):
        return done
    rollback = get_object_or_404(rollback_queries.with_everything(request.user), pk=rollback.pk)
    sheet = review.sheet(rollback, request.user)
    missing = form_steps.missing(rollback, sheet.gates)
    facts = jobs.latest(Job.Kind.FACTS, rollback.pk)
    examined = not any(item.found and item.found.is_open for item in sheet.items)
    return _page(
        request,
        rollback,
        Step.REVIEW,
        form=form,
        judged=sheet.gates,
        page=sheet,
        before=[each for each in missing if each.before_submit],
        later=[each for each in missing if not each.before_submit],
        deployment=deployment_panel.of_known(sheet.known),
        waits=not examined or bool(facts and not facts.finished_at),
        is_draft=rollback.status == Status.DRAFT,
    )


STEPS: dict[Step, Callable[[Request, RollbackRequest], HttpResponse]] = {
    Step.TARGET: _target,
    Step.MIGRATIONS: _choose,
    Step.REASON: partial(_say, Step.REASON),
    Step.SCRIPTS: _scripts,
    Step.CHECKLIST: _checklist,
    Step.FILE: partial(_say, Step.FILE),
    Step.REVIEW: _review,
}


def _saved(form: PortalForm, act: Callable[[], str]) -> HttpResponse | None:
    """Do what a valid form asks for and go on; None where its page has to be shown (again)."""
    if not form.is_valid():
        return None
    try:
        return redirect(act())
    except Refused as refused:
        form.refuse(refused)
    return None


def _onward(request: Request, rollback: RollbackRequest, step: Step) -> str:
    """The step that was asked for, or the next one."""
    wanted = request.POST.get("go", "")
    return form_steps.url_of(rollback, Step(wanted) if wanted in STEPS else step.following)


def _page(
    request: Request,
    rollback: RollbackRequest,
    step: Step,
    *,
    form: PortalForm | None = None,
    judged: list[gates.Gate] | None = None,
    **context: Any,
) -> HttpResponse:
    known = Known(rollback)
    shown = {
        "rollback": rollback,
        "target": known.rollback_targets[0].target,
        "step": step,
        "form": form,
        "lines": form_steps.lines(rollback, step, judged or gates.gates(rollback, known)),
        "revision": shown_revision(request, rollback, form),
        "voids": rollback.approvals.filter(voided_at=None, decision="approve").count(),
    }
    status = form.status if form else 200
    return render(request, f"rollbacks/form/{step}.html", shown | context, status=status)


def _target_of(rollback: RollbackRequest) -> Target:
    return rollback.representative().target


def own(request: Request, pk: int) -> RollbackRequest:
    """The rollback, for its requester while it can be edited. Writing to another's is put on record."""
    found = access.rollbacks(request.user).select_related("incident", "policy_version")
    rollback = get_object_or_404(found, pk=pk)
    try:
        workflow.require_party(rollback, request.user, workflow.Party.REQUESTER)
    except Denied as denied:
        if request.method == "POST":
            audit.record_denial("rollback.edited", actor=request.user, why=str(denied), rollback=rollback)
        raise
    workflow.require(rollback, workflow.EDITABLE)
    return rollback


def require_revision(rollback: RollbackRequest, revision: int) -> None:
    """Look before anything is stored for this edit; `rollbacks.edit` asks again under the lock."""
    if revision != rollback.revision:
        raise Conflict(
            _("Somebody edited %(label)s meanwhile. Your text is kept; saving again puts it in place.")
            % {"label": rollback.label}
        )


def shown_revision(request: Request, rollback: RollbackRequest, form: PortalForm | None) -> int | str:
    """The revision in the form: the one the page was opened with, until its reader heard of a newer one."""
    if form is not None and form.is_bound and not form.refused:
        return str(form.data.get("revision", ""))
    return rollback.revision
