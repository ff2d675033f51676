"""What people say to each other about a rollback: threads on the whole of it or on a line of a script.

Whoever sees a rollback may speak, but for auditors, who read. What was said stays as it was said; the trail
holds its digest. A line is one of an exact revision, so that a comment never slips to other words.
"""

from __future__ import annotations

from django.db.models import Count, F, OuterRef, Prefetch, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from . import access, audit
from .errors import Denied, Refused
from .models import Comment, RollbackRequest, RollbackScript, Thread, User
from .models.comments import line_of
from .queries import count_of

LONGEST = 10_000
# So many comments of a thread are read with it; its own page has all of them.
NEWEST = 10


def may_speak(user: User) -> bool:
    """True if this person may comment on the rollbacks that they see."""
    return access.writes(user)


def open_thread(
    rollback: RollbackRequest,
    *,
    actor: User,
    text: str,
    script: RollbackScript | None = None,
    line: int | None = None,
) -> Thread:
    """Say something about the rollback, or about one line of a revision of one of its scripts.

    Raises Denied for who may not speak, Refused for an empty text, a script of another migration, or a line
    that the revision doesn't have.
    """
    with audit.unit_of_work("comment.added", actor=actor, rollback=rollback) as facts:
        _require_speaker(rollback, actor)
        _require_line(rollback, script, line)
        thread = Thread.objects.create(rollback=rollback, script=script, line=line)
        comment = _say(thread, actor, text)
        facts |= _about(thread) | {"comment": comment.pk} | audit.digests(comment, "text")
    return thread


def reply(thread: Thread, *, actor: User, text: str) -> Comment:
    """Answer in a thread. Raises Denied for who may not speak, Refused for an empty text."""
    with audit.unit_of_work("comment.replied", actor=actor, rollback=thread.rollback) as facts:
        _require_speaker(thread.rollback, actor)
        comment = _say(thread, actor, text)
        facts |= _about(thread) | {"comment": comment.pk} | audit.digests(comment, "text")
    return comment


def resolve(thread: Thread, *, actor: User) -> Thread:
    """Close a thread: nothing in it is left to answer. Raises Refused if somebody was faster."""
    with audit.unit_of_work("thread.resolved", actor=actor, rollback=thread.rollback) as facts:
        _require_speaker(thread.rollback, actor)
        thread = _locked(thread)
        if not thread.is_open:
            raise Refused(_("%(who)s has resolved this thread already.") % {"who": thread.resolved_by})
        thread.resolved_at, thread.resolved_by = timezone.now(), actor
        thread.save(update_fields=["resolved_at", "resolved_by"])
        facts |= _about(thread)
    return thread


def reopen(thread: Thread, *, actor: User) -> Thread:
    """Take up a resolved thread again. Raises Refused if it is open."""
    with audit.unit_of_work("thread.reopened", actor=actor, rollback=thread.rollback) as facts:
        _require_speaker(thread.rollback, actor)
        thread = _locked(thread)
        if thread.is_open:
            raise Refused(_("This thread is open already."))
        thread.resolved_at = thread.resolved_by = None
        thread.save(update_fields=["resolved_at", "resolved_by"])
        facts |= _about(thread)
    return thread


def threads(rollback: RollbackRequest) -> QuerySet[Thread]:
    """The threads of a rollback with the newest comments of each (newest first) and the number of all of
    them, open threads first, then the newest; two queries."""
    newest = Comment.objects.select_related("author").order_by("-id")[:NEWEST]
    found = rollback.threads.select_related("script__migration", "resolved_by")
    found = found.defer("script__plan", "script__checks")
    # The model names what is added here, so that pages can rely on it.
    found = found.annotate(count=count_of(Comment.objects.filter(thread=OuterRef("pk"))))  # type: ignore[no-redef]
    found = found.prefetch_related(Prefetch("comments", newest, to_attr="newest"))  # type: ignore[no-redef]
    return found.order_by(F("resolved_at").desc(nulls_first=True), "-id")


def counts(rollback: RollbackRequest) -> tuple[int, int]:
    """How many threads of a rollback are open, and how many there are."""
    found = rollback.threads.aggregate(open=Count("pk", filter=Q(resolved_at=None)), all=Count("pk"))
    return found["open"], found["all"]


def _require_speaker(rollback: RollbackRequest, actor: User) -> None:
    if not access.rollbacks(actor).filter(pk=rollback.pk).exists():
        raise Denied(_("You do not see this rollback."))
    if not may_speak(actor):
        raise Denied(_("Auditors read what is said here and don't take part."))


def _require_line(rollback: RollbackRequest, script: RollbackScript | None, line: int | None) -> None:
    """Revisions that a rollback no longer runs may be spoken about: somebody may have them before them."""
    if script is None and line is None:
        return
    if script is None or line is None or line_of(script.sql, line) is None:
        raise Refused(_("The script has no such line."))
    if not rollback.items.filter(migration_id=script.migration_id).exists():
        raise Refused(
            _("%(label)s takes no migration back that this script is of.") % {"label": rollback.label}
        )


def _say(thread: Thread, actor: User, text: str) -> Comment:
    text = text.replace("\r\n", "\n").strip()
    if not text or "\0" in text:
        raise Refused(_("Write what you have to say."))
    if len(text) > LONGEST:
        raise Refused(_("A comment has at most %(count)d characters.") % {"count": LONGEST})
    return Comment.objects.create(thread=thread, author=actor, text=text)


def _locked(thread: Thread) -> Thread:
    # The row only: a nullable join can't be locked.
    found = Thread.objects.select_for_update(of=("self",), no_key=True)
    return found.select_related("rollback", "script", "resolved_by").get(pk=thread.pk)


def _about(thread: Thread) -> dict[str, object]:
    about: dict[str, object] = {"thread": thread.pk}
    if thread.script is not None:
        about |= {"line": thread.line, "script_sha256": thread.script.sha256}
    return about
