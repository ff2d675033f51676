"""Proofs: ask the worker whether a script undoes all of its migration and leads back, and record what it
found."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from . import access, audit, chains, digests, filling, history, jobs
from .bindings import Present
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
    target = target or filling.target_of(script.migration.service)
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


def ask_where_missing(items: Iterable[RollbackItem], *, target: Target, actor: User) -> int:
    """Ask for a proof of each item's script that has none as it runs on the target now, neither answered nor
    under way, inside the caller's unit of work. Returns how many were asked for."""
    wanted = [item for item in items if item.script is not None and item.script.readable]
    if not wanted:
        return 0
    present = Present(wanted, {target.pk: history.rows_of(target)})
    newest = newest_of([item.script_id for item in wanted if item.script_id is not None])
    answered = latest_for(wanted, [target], present, newest)
    asked = 0
    for item in wanted:
        script = item.script
        if script is None or _is_there(item, target, answered, newest.get(script.pk), present):
            continue
        ask_within(script, actor=actor, revision=item.revision, target=target)
        asked += 1
    return asked


def _is_there(
    item: RollbackItem,
    target: Target,
    answered: Mapping[tuple[int, int], Proof],
    newest: Proof | None,
    present: Present,
) -> bool:
    """Whether there is a proof, or one is to be expected."""
    found = answered.get((item.script_id or 0, target.pk))
    if found is not None and not why_other(found, item, target, present):
        return True
    if newest is None or newest.revision_id != item.revision_id or not newest.is_open:
        return False
    filled_elsewhere = newest.target_id != target.pk and item.script is not None and item.script.placeholders
    return not filled_elsewhere


def take(job: Job) -> Proof:
    """The proof of a job that a worker has claimed."""
    related = ("script__migration__service", "revision__migration__service", "target__service", "job")
    return Proof.objects.select_related(*related).get(pk=job.subject)


def enter(proof: Proof, doing: str) -> None:
    """The worker says what it does now; people see it while they wait."""
    Proof.objects.filter(pk=proof.pk, at=None).update(doing=doing[:300], doing_since=timezone.now())


def record(
    proof: Proof,
    *,
    completeness: Mapping[str, Any],
    proved: Mapping[str, Any],
    chain: chains.Chain,
) -> str:
    """The worker's answer, once and for all: `Completeness.json()` and `Proof.json()` of the executor, and
    what they were made with. Returns it as a sentence, which the job gets."""
    with audit.unit_of_work("proof.answered", actor=None) as facts:
        proof = Proof.objects.select_for_update(no_key=True, of=["self"]).get(pk=proof.pk)
        if proof.at is not None:
            raise Refused(_("This proof was answered before."))
        proof.completeness, proof.proof = dict(completeness), dict(proved)
        proof.verdict, proof.way = proved["verdict"], proved["way"]
        proof.holds, proof.server_version = proved["holds"], proved["server_version"][:80]
        proof.chain_sha256, proof.placeholders = chain.sha256, list(chain.placeholders)
        proof.doing, proof.at = "", timezone.now()
        proof.save()
        left = not_undone(proof, proof.script.left)
        facts |= _about(proof) | {
            "verdict": proof.verdict,
            "way": proof.way,
            "holds": proof.holds,
            "script_sha256": proved["script_sha256"],
            "forward_sha256": proved["forward_sha256"],
            "chain_sha256": proof.chain_sha256,
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
    # First which, then what they say: to sort what a thousand proofs say takes longer than all else.
    first = Proof.objects.filter(pk__in=found.distinct("script_id").values("pk"))
    return {proof.script_id: proof for proof in first.select_related("job", "target")}


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


def latest_for(
    items: Iterable[RollbackItem],
    targets: Sequence[Target],
    present: Present,
    newest: Mapping[int, Proof],
) -> dict[tuple[int, int], Proof]:
    """The answered proof that counts for each item's script on each target, by the keys of script and target:
    the newest that was made with this text, these files and these values, else the newest of all. `newest` is
    what `newest_of` found of these scripts: where that fits there is nothing to look for; else one query.
    And those of `present`."""
    found = {}
    wanted = []
    for item in items:
        for target in targets if item.script is not None else ():
            made = newest.get(item.script_id or 0)
            if made is not None and made.at is not None and not why_other(made, item, target, present):
                found[made.script_id, target.pk] = made
            else:
                wanted.append((item, target))
    known = _candidates({item.script_id or 0 for item, _target in wanted}) if wanted else {}
    for item, target in wanted:
        answered = known.get(item.script_id or 0, [])
        fits = (each for each in answered if not why_other(each, item, target, present))
        if (chosen := next(fits, answered[0] if answered else None)) is not None:
            found[chosen.script_id, target.pk] = chosen
    return found


def _candidates(script_ids: Iterable[int]) -> dict[int, list[Proof]]:
    """Answered proofs by script, the newest first: of those that are bound to the same the newest alone."""
    bound_to = ("script_id", "revision_id", "chain_sha256")
    answered = Proof.objects.filter(script__in=script_ids, at__isnull=False)
    found: dict[int, list[Proof]] = {}
    first = answered.order_by(*bound_to, "-at").distinct(*bound_to)  # which, and then what they say
    newest = Proof.objects.filter(pk__in=first.values("pk")).select_related("job", "target")
    for proof in sorted(newest, key=lambda each: each.job_id, reverse=True):
        found.setdefault(proof.script_id, []).append(proof)
    return found


def why_other(proof: Proof, item: RollbackItem, target: Target, present: Present) -> str:
    """Why an answered proof is not one of this item's script as it runs on the target now; empty where it
    is."""
    migration = {"migration": item.migration, "target": target}
    if proof.revision_id != item.revision_id:
        return _("%(migration)s: another text of the migration was proven.") % migration
    if item.script is not None and not is_of(proof, item.script, filling.text_for(item, target)):
        return (
            _(
                "%(migration)s: the script was proven with other values of its placeholders. "
                "Have the facts read again: that asks for a proof with those of its target."
            )
            % migration
        )
    if not present.is_of(proof, item, target):
        return (
            _(
                "%(migration)s: the script was proven behind other files, or other values, than those that "
                "lead up to it on %(target)s now. Have the facts read again: that asks for another proof."
            )
            % migration
        )
    return ""


def is_of(proof: Proof, script: RollbackScript, text: str) -> bool:
    """Is this, the script with the values of a target, the very text that was proven? True as long as nothing
    was."""
    if not script.placeholders or proof.at is None or proof.verdict == Proof.Verdict.NOT_PROVABLE:
        return True
    return bool(proof.proof.get("script_sha256") == digests.text_sha256(text))


def why_none(
    item: RollbackItem, target: Target, answered: Proof | None, newest: Proof | None, present: Present
) -> str:
    """Why there is no answered proof of exactly this item's script, file and chain as they are on the target
    now; empty where there is one."""
    other = why_other(answered, item, target, present) if answered is not None else ""
    if answered is not None and not other:
        return ""
    if other and (newest is None or newest.at is not None):
        return other
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
