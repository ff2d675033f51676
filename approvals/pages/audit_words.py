"""Audit events as people read them: what somebody did, in words, and the shape it has on a line of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from approvals.models import Execution, Role

DENIED = ".denied"
# What the filter calls all refused attempts together.
DENIALS = "denied"

OK, RUN, WARN, FAIL, LOST, PLAIN = "ok", "run", "warn", "fail", "lost", ""

# action -> (what somebody did, shape, tone)
WORDS: dict[str, tuple[str | Promise, str, str]] = {
    "chain.began": (lazy("began the chain"), "chain", PLAIN),
    "catalog.imported": (lazy("imported migrations"), "dot", PLAIN),
    "script.added": (lazy("wrote a revision of a rollback script"), "edit", PLAIN),
    "target.sync_requested": (lazy("asked for the history to be read"), "dot", PLAIN),
    "person.added": (lazy("made an account"), "dot", PLAIN),
    "service.added": (lazy("made a service known"), "dot", PLAIN),
    "target.added": (lazy("made a target known"), "dot", PLAIN),
    "target.synced": (lazy("read the history"), "dot", PLAIN),
    "target.sync_failed": (lazy("could not read the history"), "warn", WARN),
    "rollback.created": (lazy("asked for a rollback"), "dot", PLAIN),
    "rollback.edited": (lazy("edited the rollback"), "edit", PLAIN),
    "rollback.facts_requested": (lazy("asked for the facts to be read again"), "dot", PLAIN),
    "rollback.facts_read": (lazy("read the facts from the target"), "dot", PLAIN),
    "rollback.checklist_confirmed": (lazy("confirmed a point of the checklist"), "ok", OK),
    "rollback.submitted": (lazy("submitted the rollback"), "review", PLAIN),
    "rollback.approved": (lazy("approved the rollback"), "key", OK),
    "rollback.changes_requested": (lazy("asked for changes"), "talk", WARN),
    "rollback.rejected": (lazy("rejected the rollback"), "void", FAIL),
    "rollback.withdrawn": (lazy("withdrew the rollback"), "void", PLAIN),
    "rollback.expired": (lazy("let the rollback expire"), "void", PLAIN),
    "comment.added": (lazy("began a thread"), "talk", PLAIN),
    "comment.replied": (lazy("replied in a thread"), "talk", PLAIN),
    "thread.resolved": (lazy("resolved a thread"), "ok", OK),
    "thread.reopened": (lazy("opened a thread again"), "talk", PLAIN),
    "rehearsal.requested": (lazy("asked for a rehearsal"), "dot", PLAIN),
    "rehearsal.recorded": (lazy("recorded the rehearsal"), "ok", OK),
    "backup.started": (lazy("began a backup"), "dot", PLAIN),
    "backup.dumped": (lazy("took a backup"), "dot", PLAIN),
    "backup.verified": (lazy("verified the backup by restoring it"), "ok", OK),
    "backup.failed": (lazy("could not take or verify the backup"), "fail", FAIL),
    "backup.refused": (lazy("refused to take the backup"), "warn", WARN),
    "backup.removed": (lazy("removed the backup"), "void", PLAIN),
    "execution.requested": (lazy("started the execution"), "dot", PLAIN),
    "execution.cancel_requested": (lazy("asked for the execution to be cancelled"), "void", WARN),
    "execution.claimed": (lazy("claimed the execution"), "lock", PLAIN),
    "execution.preflight": (lazy("began the preflight"), "run", RUN),
    "execution.backup": (lazy("began to take the backup"), "run", RUN),
    "execution.running": (lazy("began to run the script"), "run", RUN),
    "execution.committing": (lazy("began to commit"), "run", RUN),
    "execution.verifying": (lazy("began to verify"), "run", RUN),
    "execution.succeeded": (lazy("committed and verified"), "ok", OK),
    "execution.no_effect": (lazy("ended without effect"), "void", PLAIN),
    "execution.rolled_back": (lazy("rolled everything back"), "fail", FAIL),
    "execution.unresolved": (lazy("does not know the outcome yet"), "lost", LOST),
    "execution.partial": (lazy("got only part of it done"), "warn", WARN),
    "execution.awaiting_restart": (lazy("waits for a restart of the server"), "restart", WARN),
    "execution.committed_check_failed": (lazy("committed; a check after commit failed"), "warn", WARN),
    "alarm.migration_came_back": (lazy("found the migration applied again"), "fail", FAIL),
    "incident.opened": (lazy("opened the incident"), "dot", PLAIN),
    "incident.note_added": (lazy("added to the timeline"), "edit", PLAIN),
    "post_mortem.saved": (lazy("saved the post-mortem"), "edit", PLAIN),
    "post_mortem.submitted": (lazy("handed in the post-mortem"), "ok", OK),
    "identity.confirmed": (lazy("proved who they are"), "key", PLAIN),
    "account.time_zone_set": (lazy("set their time zone"), "dot", PLAIN),
    "account.single_keys_set": (lazy("switched single keys on or off"), "dot", PLAIN),
    "page.opened": (lazy("opened a page"), "dot", PLAIN),
}


@dataclass(frozen=True)
class Words:
    """One event as its line says it."""

    says: str
    icon: str
    tone: str
    why: str


def words_for(body: dict[str, Any]) -> Words:
    """The line of an event. An action without words of its own is shown by its name, never left out."""
    action, facts = body["action"], body["facts"]
    base = action.removesuffix(DENIED)
    says, icon, tone = WORDS.get(base, (base, "dot", PLAIN))
    if body.get("purpose") == Execution.Purpose.REHEARSAL and not base.startswith("rehearsal."):
        says = _("%(what)s (rehearsal)") % {"what": says}
    if base != action:
        return Words(_("was refused: %(what)s") % {"what": says}, "void", FAIL, str(facts.get("why", "")))
    if facts.get("holds") is False:
        icon, tone = "fail", FAIL
    return Words(str(says), icon, tone, "")


def role_words(roles: list[str]) -> str:
    """Roles as stored in an event, in words; one that is unknown by now stays as it was."""
    return ", ".join(str(Role(role).label) if role in Role.values else role for role in roles)


def choices() -> list[tuple[str, str | Promise]]:
    """Every action with its words, for a filter."""
    return [(action, says) for action, (says, _icon, _tone) in WORDS.items()]
