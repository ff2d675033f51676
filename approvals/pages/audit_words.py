"""Audit events as people read them: what somebody did, in words, and the shape it has on a line of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from approvals.models import Execution, Role
from approvals.models.audit import DENIED

OK, RUN, WARN, FAIL, LOST, PLAIN = "ok", "run", "warn", "fail", "lost", ""

# action -> (what somebody did, shape, tone)
WORDS: dict[str, tuple[str | Promise, str, str]] = {
    "chain.began": (lazy("began the chain"), "chain", PLAIN),
    "chain.verified": (lazy("verified the chain"), "chain", OK),
    "chain.found_broken": (lazy("found the chain broken"), "fail", FAIL),
    "trail.exported": (lazy("exported events"), "dot", PLAIN),
    "trail.report_exported": (lazy("exported the report of rollbacks"), "dot", PLAIN),
    "catalog.imported": (lazy("imported migrations"), "dot", PLAIN),
    "import.requested": (lazy("asked for an import of migrations"), "dot", PLAIN),
    "import_token.made": (lazy("made a token for a pipeline"), "key", PLAIN),
    "import_token.revoked": (lazy("revoked a token of a pipeline"), "void", PLAIN),
    "script.added": (lazy("wrote a revision of a rollback script"), "edit", PLAIN),
    "target.sync_requested": (lazy("asked for the history to be read"), "dot", PLAIN),
    "person.added": (lazy("made an account"), "dot", PLAIN),
    "service.added": (lazy("made a service known"), "dot", PLAIN),
    "target.added": (lazy("made a target known"), "dot", PLAIN),
    "placeholders.set": (lazy("set values of placeholders"), "dot", PLAIN),
    "target.synced": (lazy("read the history"), "dot", PLAIN),
    "target.sync_failed": (lazy("could not read the history"), "warn", WARN),
    "window.proposed": (lazy("asked for a window"), "dot", PLAIN),
    "window.confirmed": (lazy("confirmed a window"), "ok", OK),
    "window.removal_asked": (lazy("asked for a window to be taken away"), "dot", PLAIN),
    "window.removed": (lazy("took a window away"), "void", PLAIN),
    "window.dismissed": (lazy("said no to a change of a window"), "void", PLAIN),
    "freeze.declared": (lazy("declared a freeze"), "lock", WARN),
    "freeze.removal_asked": (lazy("asked for a freeze to be lifted"), "dot", PLAIN),
    "freeze.removed": (lazy("lifted a freeze"), "void", PLAIN),
    "freeze.dismissed": (lazy("said no to lifting a freeze"), "lock", PLAIN),
    "break_glass.asked": (lazy("asked to break the glass"), "forced", WARN),
    "break_glass.confirmed": (lazy("confirmed break-glass: the rollback is forced"), "forced", FAIL),
    "break_glass.dismissed": (lazy("took break-glass back, or said no to it"), "void", PLAIN),
    "break_glass.reviewed": (lazy("closed the review of break-glass"), "ok", OK),
    "backup_exception.asked": (lazy("asked to run without a backup that can't be had"), "forced", WARN),
    "backup_exception.signed": (lazy("signed an exception instead of a backup"), "forced", FAIL),
    "backup_exception.dismissed": (lazy("took the exception back, or said no to it"), "void", PLAIN),
    "backup.by_exception": (lazy("took what could be had, by exception"), "forced", FAIL),
    "schedule.made": (lazy("scheduled the start"), "dot", PLAIN),
    "schedule.cancelled": (lazy("cancelled the scheduled start"), "void", PLAIN),
    "schedule.missed": (lazy("let the rollback expire: it missed its window"), "void", WARN),
    "fleet.started": (lazy("started the run over all targets"), "run", RUN),
    "fleet.woke": (lazy("let the run go on by the windows of its targets"), "clock", RUN),
    "fleet.held": (lazy("held the run"), "warn", WARN),
    "fleet.went_on": (lazy("went on with the run"), "run", RUN),
    "fleet.cancelled": (lazy("ended the run"), "void", WARN),
    "preflight.requested": (lazy("asked for a preflight"), "dot", PLAIN),
    "preflight.recorded": (lazy("recorded the preflight"), "ok", OK),
    "rollback.created": (lazy("asked for a rollback"), "dot", PLAIN),
    "rollback.edited": (lazy("edited the rollback"), "edit", PLAIN),
    "rollback.facts_requested": (lazy("asked for the facts to be read again"), "dot", PLAIN),
    "rollback.facts_read": (lazy("read the facts from the target"), "dot", PLAIN),
    "rollback.checklist_confirmed": (lazy("confirmed a point of the checklist"), "ok", OK),
    "trial.asked": (lazy("asked for the checks to be tried on a copy"), "dot", PLAIN),
    "trial.ended": (lazy("tried the checks on a copy"), "dot", PLAIN),
    "generation.asked": (lazy("asked for a way back to be generated"), "dot", PLAIN),
    "generation.answered": (lazy("generated a way back"), "ok", OK),
    "proof.asked": (lazy("asked for a script to be proven"), "dot", PLAIN),
    "proof.answered": (lazy("examined a script on the scratch server"), "dot", PLAIN),
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
    "backup.tables": (lazy("verified the backup of the touched tables by restoring it"), "ok", OK),
    "backup.point_in_time": (lazy("made sure of a point in time to go back to"), "ok", OK),
    "backup.failed": (lazy("could not take or verify the backup"), "fail", FAIL),
    "backup.refused": (lazy("refused to take the backup"), "warn", WARN),
    "backup.removed": (lazy("removed the backup's file, which was old"), "void", PLAIN),
    "backup.relied_on": (lazy("relied on a verified backup that was there"), "ok", OK),
    "clone.made": (lazy("made a masked clone of a backup"), "ok", PLAIN),
    "clone.failed": (lazy("could not make a masked clone"), "fail", FAIL),
    "clone.dropped": (lazy("dropped a masked clone"), "void", PLAIN),
    "masking.proposed": (lazy("made a rule of masking"), "dot", PLAIN),
    "masking.confirmed": (lazy("confirmed a rule of masking"), "ok", OK),
    "masking.removal_asked": (lazy("asked for a rule of masking to be taken away"), "dot", WARN),
    "masking.removed": (lazy("took a rule of masking away"), "void", WARN),
    "masking.dismissed": (lazy("said no to a change of masking"), "void", PLAIN),
    "backup.fetched": (lazy("took a backup out of the storage, by command"), "warn", WARN),
    "base_backup.tested": (lazy("restored a physical backup and compared it, by command"), "ok", OK),
    "base_backup.failed": (lazy("could not restore a physical backup as it should be"), "fail", FAIL),
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
    "execution.set_aside": (lazy("did not begin it: the run does not go on"), "void", PLAIN),
    "execution.step_claimed": (lazy("claimed a step that runs alone"), "lock", PLAIN),
    "execution.step_done": (lazy("ran a step alone"), "ok", PLAIN),
    "execution.step_undone": (lazy("took a step back"), "ok", PLAIN),
    "execution.step_failed": (lazy("could not run a step alone"), "fail", FAIL),
    "execution.step_unknown": (lazy("does not know how a step stands"), "lost", LOST),
    "execution.step_pending": (lazy("found a step not begun, and keeps it so"), "void", PLAIN),
    "execution.late_step_ignored": (lazy("ignored a late word about a step"), "void", WARN),
    "execution.go_on_asked": (lazy("asked to go on with what is partly done"), "talk", WARN),
    "execution.take_back_asked": (lazy("asked to take back what is partly done"), "talk", WARN),
    "execution.continuing_signed": (lazy("signed for continuing"), "key", OK),
    "execution.go_on": (lazy("started to go on with what is partly done"), "run", RUN),
    "execution.take_back": (lazy("started to take back what is partly done"), "run", RUN),
    "execution.by_hand_asked": (lazy("asked to call it settled by hand"), "talk", WARN),
    "execution.by_hand": (lazy("called it settled by hand"), "warn", WARN),
    # Until 2026-11 one person could.
    "execution.settled_by_hand": (lazy("called it settled by hand"), "warn", WARN),
    "execution.restart_confirmed": (lazy("said that the server was restarted"), "restart", PLAIN),
    "execution.committed_check_failed": (lazy("committed; a check after commit failed"), "warn", WARN),
    "alarm.migration_came_back": (lazy("found the migration applied again"), "fail", FAIL),
    "alarm.answered": (lazy("answered for the alarm"), "edit", PLAIN),
    "incident.opened": (lazy("opened the incident"), "dot", PLAIN),
    "incident.note_added": (lazy("added to the timeline"), "edit", PLAIN),
    "incident.action_added": (lazy("added an action"), "edit", PLAIN),
    "incident.action_changed": (lazy("changed an action"), "edit", PLAIN),
    "incident.action_done": (lazy("marked an action as done"), "ok", OK),
    "incident.action_reopened": (lazy("opened an action again"), "restart", WARN),
    "incident.references_set": (lazy("set the change record and the correction"), "edit", PLAIN),
    "post_mortem.reopened": (lazy("opened the post-mortem again"), "restart", WARN),
    "contact.added": (lazy("named a contact"), "dot", PLAIN),
    "contact.changed": (lazy("changed a contact"), "edit", PLAIN),
    "contact.removed": (lazy("took a contact away"), "void", PLAIN),
    "post_mortem.saved": (lazy("saved the post-mortem"), "edit", PLAIN),
    "post_mortem.submitted": (lazy("handed in the post-mortem"), "ok", OK),
    "identity.confirmed": (lazy("proved who they are"), "key", PLAIN),
    "account.time_zone_set": (lazy("set their time zone"), "dot", PLAIN),
    "session.began": (lazy("signed in"), "dot", PLAIN),
    "session.ended": (lazy("signed out"), "dot", PLAIN),
    "account.password_changed": (lazy("changed their password"), "key", PLAIN),
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


# what an action is about -> how a filter calls all of them
FAMILIES: dict[str, str | Promise] = {
    "rollback": lazy("Rollbacks"),
    "rehearsal": lazy("Rehearsals"),
    "backup": lazy("Backups"),
    "base_backup": lazy("Physical backups"),
    "execution": lazy("Executions"),
    "alarm": lazy("Alarms"),
    "preflight": lazy("Preflights"),
    "break_glass": lazy("Break-glass"),
    "backup_exception": lazy("Exceptions instead of a backup"),
    "schedule": lazy("Scheduled starts"),
    "window": lazy("Windows"),
    "freeze": lazy("Freezes"),
    "incident": lazy("Incidents"),
    "post_mortem": lazy("Post-mortems"),
    "script": lazy("Scripts"),
    "catalog": lazy("Imports"),
    "import": lazy("Asked imports"),
    "import_token": lazy("Tokens of pipelines"),
    "target": lazy("Targets"),
    "service": lazy("Services"),
    "person": lazy("People"),
    "contact": lazy("Contacts"),
    "identity": lazy("Proofs of identity"),
    "account": lazy("Accounts"),
    "page": lazy("Pages"),
    "trail": lazy("Exports"),
    "chain": lazy("The chain"),
}


def choices() -> list[tuple[str | Promise, list[tuple[str, str | Promise]]]]:
    """Every action with its words, in groups by what it is about; a group's first choice is all of it."""
    groups: dict[str, list[tuple[str, str | Promise]]] = {family: [] for family in FAMILIES}
    for action, (says, _icon, _tone) in WORDS.items():
        groups.setdefault(action.split(".")[0], []).append((action, says))
    return [
        (FAMILIES.get(family, family), [(family, _all_of(family)), *actions])
        for family, actions in groups.items()
        if actions
    ]


def _all_of(family: str) -> str:
    return _("%(family)s: everything") % {"family": FAMILIES.get(family, family)}
