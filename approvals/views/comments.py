"""Speaking about a rollback: each form as a page of its own, or in its place on the review page."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import prefetch_related_objects
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from approvals import access, comments, looks, once
from approvals.errors import Denied, Refused
from approvals.forms import posted
from approvals.forms.comments import CommentForm, LineCommentForm, ThreadFilterForm
from approvals.models import RollbackRequest, RollbackScript, Thread
from approvals.models.comments import line_of
from approvals.pages import conversation, paging
from approvals.queries import SUBJECTS
from approvals.requests import Request


def rollback_comment(request: Request, pk: int) -> HttpResponse:
    """Begin a thread, on the rollback or (with `script` and `line`) on a line of a revision of a script."""
    rollback = get_object_or_404(access.rollbacks(request.user), pk=pk)
    script = _script(request, rollback)
    form = CommentForm(posted(request))
    if script:
        initial = {"script": script.pk, "line": request.GET.get("line", "")}
        form = LineCommentForm(posted(request), initial=initial, revision=script)
    if form.is_valid():
        found = form.cleaned_data

        def speak() -> str:
            thread = comments.open_thread(
                rollback, actor=request.user, text=found["text"], script=script, line=found.get("line")
            )
            return _address(thread)

        try:
            return _said(request, once.run(request, speak))
        except Refused as refused:
            form.refuse(refused)
    return _form(request, rollback, form, script=script)


def rollback_comments(request: Request, pk: int) -> HttpResponse:
    """Every thread about a rollback, in pages, filtered by whether it is open."""
    rollback = get_object_or_404(access.rollbacks(request.user), pk=pk)
    form = ThreadFilterForm(request.GET)
    found = comments.threads(rollback)
    if show := form.chosen():
        found = found.filter(resolved_at__isnull=show == "open")
    context = {
        "rollback": rollback,
        "form": form,
        "page": paging.page(request, found, per_page=conversation.SHOWN),
        "may_speak": comments.may_speak(request.user),
    }
    return render(request, "rollbacks/comments/list.html", context)


def thread_reply(request: Request, pk: int, thread: int) -> HttpResponse:
    """Answer in a thread."""
    found = _thread(request, pk, thread)
    form = CommentForm(posted(request), auto_id=f"reply{found.pk}_%s")
    if form.is_valid():

        def speak() -> str:
            comments.reply(found, actor=request.user, text=form.cleaned_data["text"])
            return _address(found)

        try:
            return _said(request, once.run(request, speak))
        except Refused as refused:
            form.refuse(refused)
    return _form(request, found.rollback, form, thread=found)


def thread_resolve(request: Request, pk: int, thread: int) -> HttpResponse:
    """Close a thread, or take it up again: the form says which."""
    found = _thread(request, pk, thread)
    verb = comments.reopen if request.POST.get("open") else comments.resolve
    try:
        verb(found, actor=request.user)
    except Refused as refused:
        if request.htmx:  # what is shown then says who was faster
            return _fragment(request, found.pk)
        messages.warning(request, str(refused))
    return _said(request, _address(found))


def _thread(request: Request, pk: int, thread: int) -> Thread:
    """The thread if this person sees its rollback; 404 otherwise."""
    rollback = get_object_or_404(access.rollbacks(request.user), pk=pk)
    if not comments.may_speak(request.user):
        raise Denied(_("Auditors read what is said here and don't take part."))
    return get_object_or_404(
        Thread.objects.select_related("rollback", "script"), pk=thread, rollback=rollback
    )


def _script(request: Request, rollback: RollbackRequest) -> RollbackScript | None:
    """The revision that the page showed, of a migration that this rollback takes back; 404 for any other."""
    given = request.POST.get("script") or request.GET.get("script") or ""
    if not given:
        return None
    key = int(given) if given.isascii() and given.isdigit() and len(given) < 18 else 0
    scripts = RollbackScript.objects.select_related("migration").filter(migration__items__rollback=rollback)
    return get_object_or_404(scripts.distinct(), pk=key)


def _address(thread: Thread) -> str:
    return f"{reverse('rollback_detail', args=[thread.rollback_id])}#thread-{thread.pk}"


def _said(request: Request, address: str) -> HttpResponse:
    """The thread itself where the page asked for it in place, else the page where it stands."""
    if request.htmx:
        return _fragment(request, int(address.rpartition("-")[2]))
    return redirect(address)


def _fragment(request: Request, pk: int) -> HttpResponse:
    """One thread, and the number of open ones for the head of the page."""
    rollback = Thread.objects.select_related("rollback").get(pk=pk).rollback
    opened, total = comments.counts(rollback)
    context: dict[str, Any] = {
        "thread": comments.threads(rollback).get(pk=pk),
        "rollback": rollback,
        "conversation": conversation.Conversation([], opened, total),
        "newest": looks.newest_event(rollback),
        "may_speak": True,
    }
    return render(request, "rollbacks/comments/answer.html", context)


def _form(request: Request, rollback: RollbackRequest, form: CommentForm, **about: Any) -> HttpResponse:
    """The form on a page of its own, or by itself where the page asked for it in place."""
    name = "rollbacks/comments/form.html" if request.htmx else "rollbacks/comments/page.html"
    thread, script = about.get("thread"), about.get("script")
    page = None
    if not request.htmx:  # a page of its own says what it is about
        prefetch_related_objects([rollback], *SUBJECTS)
    if thread is not None:
        thread = comments.threads(rollback).get(pk=thread.pk)
        said = thread.comments.select_related("author").order_by("-id")
        page = paging.page(request, said)
        thread.newest, thread.count = list(page.object_list), len(page.object_list)
    text = None
    if script is not None:
        given = form["line"].value()
        number = str(given)
        known = number.isascii() and number.isdigit() and len(number) < 10
        text = line_of(script.sql, int(number)) if known else None
    context = {"rollback": rollback, "form": form, "thread": thread, "script": script, "line_text": text}
    context["page"] = page
    answer = render(request, name, context | {"action": request.get_full_path()}, status=form.status)
    if (
        request.htmx and thread is not None and form.status != 200
    ):  # what was wrong belongs to the form, not in the thread's place
        answer["HX-Retarget"] = f"#thread-{thread.pk} form.form"
    return answer
