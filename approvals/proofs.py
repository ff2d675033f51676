"""Proofs: ask the worker whether a script undoes all of its migration and leads back, and record what it
found."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from . import access, audit, chains, digests, filling, jobs
from .errors import Denied, Refused
from .models import Job, Migration, MigrationRevision, Proof, RollbackItem, RollbackScript, Target, User

NOT_UNDONE = "not undone"
"""The fate of an effect that blocks (`executor.completeness.Fate`)."""


def ask(
    script: RollbackScript,
    *,
    actor: User | None,
    revision: MigrationRevision | None = None,
    target: Target | None = None,
) -> Proof:
    """Ask the worker for a proof of this script; the one under way where there is one.

    `revision` is the text of the migration to hold it against, without one that which is applied on
    `target`; without a target the service's production target counts. `actor` None is the portal itself.
    Raises Denied for somebody who does not see the service or may only read, Refused for a script that the
    analysis refuses.
    """
    with audit.unit_of_work("proof.asked", actor=actor) as facts:
        migration = script.migration
        if actor is not None and not access.migrations(actor).filter(pk=migration.pk).exists():
            raise Denied(_("You do not see this migration."))
        if actor is not None and not access.writes(actor):
            raise Denied(_("Auditors read everything and change nothing."))
        if not script.readable:
            raise Refused(_("The analysis refuses this script; there is nothing to prove."))
        proof = ask_within(script, actor=actor, revision=revision, target=target)
        facts |= _about(proof)
    return proof


def ask_within(
    script: RollbackScript,
    *,
    actor: User | None,
    revision: MigrationRevision | None = None,
    target: Target | None = None,
) -> Proof:
    """`ask` inside the caller's unit of work, which has made sure that the actor may."""
    target = target or chains.target_of(script.migration.service)
    revision = revision or chains.applied_revision(script.migration, target)
    # Asks about one migration queue at its row, so that a script is proven once; nobody may lock scripts.
    Migration.objects.select_for_update(no_key=True).get(pk=script.migration_id)
    for other in Proof.objects.filter(script=script, revision=revision, at=None).select_related("job"):
        if other.is_open and other.target_id == (target.pk if target else None):
            return other
    key = uuid.uuid4()
    return Proof.objects.create(
        id=key,
        script=script,
        revision=revision,
        target=target,
        job=jobs.ask(Job.Kind.PROVE, subject=key, actor=actor),
    )


def ask_where_missing(
    scripts: Iterable[tuple[RollbackScript, MigrationRevision]], *, target: Target, actor: User
) -> int:
    """Ask for a proof of each pair that has none, neither answered nor under way, inside the caller's unit of
    work. Returns how many were asked for."""
    pairs = [pair for pair in scripts if pair[0].readable]
    known = newest_of([script.pk for script, _revision in pairs])
    missing = []
    for script, revision in pairs:
        newest = known.get(script.pk)
        other = newest is None or newest.revision_id != revision.pk or not (newest.at or newest.is_open)
        if other or _of_other_values(script, revision, newest, target):
            missing.append((script, revision))
    for script, revision in missing:
        ask_within(script, actor=actor, revision=revision, target=target)
    return len(missing)


def take(job: Job) -> Proof:
    """The proof of a job that a worker has claimed."""
    related = ("script__migration__service", "revision__migration__service", "target__service", "job")
    return Proof.objects.select_related(*related).get(pk=job.subject)


def enter(proof: Proof, doing: str) -> None:
    """The worker says what it does now; people see it while they wait."""
    Proof.objects.filter(pk=proof.pk, at=None).update(doing=doing[:300], doing_since=timezone.now())


def record(proof: Proof, *, completeness: Mapping[str, Any], proved: Mapping[str, Any]) -> str:
    """The worker's answer, once and for all: `Completeness.json()` and `Proof.json()` of the executor.
    Returns it as a sentence, which the job gets."""
    with audit.unit_of_work("proof.answered", actor=None) as facts:
        proof = Proof.objects.select_for_update(no_key=True, of=["self"]).get(pk=proof.pk)
        if proof.at is not None:
            raise Refused(_("This proof was answered before."))
        proof.completeness, proof.proof = dict(completeness), dict(proved)
        proof.verdict, proof.way = proved["verdict"], proved["way"]
        proof.holds, proof.server_version = proved["holds"], proved["server_version"][:80]
        proof.doing, proof.at = "", timezone.now()
        proof.save()
        left = not_undone(proof, proof.script.left)
        facts |= _about(proof) | {
            "verdict": proof.verdict,
            "way": proof.way,
            "holds": proof.holds,
            "script_sha256": proved["script_sha256"],
            "forward_sha256": proved["forward_sha256"],
            "server_version": proof.server_version,
            "effects": len(proof.effects),
            "not_undone": len(left),
        }
    verdict = str(proof.get_verdict_display())
    if left:
        return _("%(verdict)s; not undone: %(count)d of %(all)d effects.") % {
            "verdict": verdict.capitalize(),
            "count": len(left),
            "all": len(proof.effects),
        }
    return _("%(verdict)s; every effect is undone or declared.") % {"verdict": verdict.capitalize()}


def latest_of(script_ids: Iterable[int]) -> dict[int, Proof]:
    """The newest answered proof of each script that has one, by the script's key; one query."""
    found = Proof.objects.filter(script__in=list(script_ids), at__isnull=False)
    return _first(found.order_by("script_id", "-at"))


def newest_of(script_ids: Iterable[int]) -> dict[int, Proof]:
    """The newest proof of each script, answered, under way or failed, by the script's key; one query."""
    found = Proof.objects.filter(script__in=list(script_ids))
    return _first(found.order_by("script_id", "-job_id"))


def _first(found: QuerySet[Proof]) -> dict[int, Proof]:
    first = found.distinct("script_id").select_related("job", "target")
    return {proof.script_id: proof for proof in first}


def not_undone(proof: Proof, left: Mapping[str, str]) -> list[dict[str, Any]]:
    """The effects that are neither undone nor declared (with a reason) as left on purpose."""
    return [
        effect
        for effect in proof.effects
        if effect["fate"] == NOT_UNDONE and not left.get(effect["key"], "").strip()
    ]


def left_of(proof: Proof, left: Mapping[str, str]) -> list[tuple[dict[str, Any], str]]:
    """The effects that stay because the author says so, each with its reason."""
    return [
        (effect, left[effect["key"]])
        for effect in proof.effects
        if effect["fate"] != "undone" and left.get(effect["key"], "").strip()
    ]


def declared(items: Iterable[RollbackItem]) -> list[str]:
    """What the authors of these items' scripts declare, one phrase each, for approvers to acknowledge: what
    stays on purpose, and what goes without a proof."""
    said = []
    for item in items:
        if item.script is None:
            continue
        for key, reason in item.script.left.items():
            said.append(
                _("%(migration)s leaves “%(effect)s”: %(reason)s")
                % {"migration": item.migration, "effect": key, "reason": reason}
            )
        if item.script.unproven:
            said.append(
                _("%(migration)s may go without a proof: %(reason)s")
                % {"migration": item.migration, "reason": item.script.unproven}
            )
    return said


def latest_for(items: Iterable[RollbackItem]) -> dict[int, Proof]:
    """`latest_of` for the scripts of a request's items. Of a script with placeholders it is the newest proof
    with the values of the request's target, where there is one: other targets have other values."""
    named = [(item, item.script) for item in items if item.script is not None]
    found = latest_of([script.pk for _item, script in named])
    for item, script in named:
        newest = found.get(script.pk)
        if newest is not None and not is_of(newest, script, text := filling.sql_of(item)):
            found[script.pk] = _with_text(script, item.revision_id, text).first() or newest
    return found


def _with_text(script: RollbackScript, revision: int, text: str) -> QuerySet[Proof]:
    """The answered proofs of a script as it is filled, the newest first."""
    found = Proof.objects.filter(script=script, revision=revision, at__isnull=False)
    same = found.filter(proof__script_sha256=digests.text_sha256(text))
    return same.select_related("job", "target").order_by("-at")


def _of_other_values(
    script: RollbackScript, revision: MigrationRevision, newest: Proof | None, target: Target
) -> bool:
    """Does no answered proof speak of the script with this target's values?"""
    if newest is None or not script.placeholders:
        return False
    text = filling.text_on(target, script.sql)
    return not is_of(newest, script, text) and not _with_text(script, revision.pk, text).exists()


def is_of(proof: Proof, script: RollbackScript, text: str) -> bool:
    """Is this, the script with the values of a target, the very text that was proven? True as long as nothing
    was."""
    if not script.placeholders or proof.at is None or proof.verdict == Proof.Verdict.NOT_PROVABLE:
        return True
    return bool(proof.proof.get("script_sha256") == digests.text_sha256(text))


def why_none(item: RollbackItem, answered: Proof | None, newest: Proof | None) -> str:
    """Why there is no answered proof of exactly this item's script and file; empty where there is one. What
    fills the script's placeholders is the target's now, as it is where the script runs."""
    if answered is not None and answered.revision_id == item.revision_id:
        if item.script is None or is_of(answered, item.script, filling.sql_of(item)):
            return ""
        if newest is None or newest.pk == answered.pk:
            return _(
                "%(migration)s: the script was proven with other values of its placeholders. "
                "Have the facts read again: that asks for a proof with those of its target."
            ) % {"migration": item.migration}
    if newest is None or newest.revision_id != item.revision_id:
        return _("%(migration)s: nobody has asked for a proof of this script.") % {
            "migration": item.migration
        }
    if newest.job.finished_at is not None:
        return _("%(migration)s: the worker could not examine the script: %(why)s") % {
            "migration": item.migration,
            "why": newest.sentence,
        }
    if not newest.is_open:
        return _("%(migration)s: the worker ended while it examined the script. Ask again.") % {
            "migration": item.migration
        }
    doing = newest.doing or _("waiting for a worker")
    return _("%(migration)s: the script is being examined (%(doing)s).") % {
        "migration": item.migration,
        "doing": doing[:1].lower() + doing[1:],
    }


def _about(proof: Proof) -> dict[str, Any]:
    script = proof.script
    return {
        "migration": f"{script.migration.service} {script.migration}",
        "script": script.number,
        "proof": str(proof.pk),
    }
