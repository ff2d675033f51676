"""Generations: ask the worker for a way back with the engineer's choices, and store what it wrote."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from . import access, audit, chains, filling, history, jobs, proofs, scripts
from .errors import Denied, Refused
from .models import Check, Generation, Job, Migration, RollbackScript, Target, User

# What may be chosen, and the first of each is what is chosen where nothing is said.
CHOICES: dict[str, tuple[str, ...]] = {
    "column_order": ("by size", "append", "rebuild"),
    "enum_value": ("swap", "leave"),
    "index": ("plain", "concurrently"),
    "fill_default": ("ask", "neutral"),
}
LONGEST_FILL = 2_000


def options_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The choices in full, as they are stored and as the worker takes them.

    {column_order, enum_value, index, fill_default} (see `CHOICES`), keep_data (bool), purge_after (ISO date
    or ''), fill ([{"column": [schema, table, column], "value": SQL}]). Raises Refused for anything else.
    """
    if unknown := set(given) - {*CHOICES, "keep_data", "purge_after", "fill"}:
        raise Refused(_("Unknown choice: %(names)s.") % {"names": ", ".join(sorted(unknown))})
    found: dict[str, Any] = {}
    for name, ways in CHOICES.items():
        found[name] = given.get(name) or ways[0]
        if found[name] not in ways:
            raise Refused(
                _("%(name)s is one of %(ways)s, not %(word)s.")
                % {"name": name, "ways": ", ".join(ways), "word": found[name]}
            )
    found["keep_data"] = given.get("keep_data", False) is True
    found["purge_after"] = _date(given.get("purge_after") or "")
    found["fill"] = [_fill(each) for each in given.get("fill") or []]
    return found


def _date(text: str) -> str:
    try:
        return dt.date.fromisoformat(text).isoformat() if text else ""
    except (TypeError, ValueError):
        raise Refused(_("%(text)s is no date such as 2026-12-31.") % {"text": text}) from None


def _fill(given: Any) -> dict[str, Any]:
    column = given.get("column") if isinstance(given, dict) else None
    value = given.get("value") if isinstance(given, dict) else None
    fits = isinstance(column, list) and len(column) == 3 and all(isinstance(part, str) for part in column)
    if not fits or not isinstance(value, str) or not value.strip() or len(value) > LONGEST_FILL:
        raise Refused(_("A fill value names schema, table and column, and gives an SQL expression."))
    return {"column": column, "value": value.strip()}


def ask(
    migration: Migration, *, options: Mapping[str, Any], target: Target | None, actor: User
) -> Generation:
    """Ask the worker to generate the way back of a versioned migration; whoever chooses becomes an author.

    `target` is where what goes is counted, and whose live schema helps where the files do not replay; None
    counts nowhere. Raises Denied for anybody but an engineer of the owning team, Refused for bad choices, a
    target of another service, or while another generation for the migration is under way.
    """
    with audit.unit_of_work("generation.asked", actor=actor, target=target) as facts:
        if not access.owns(actor, migration.service_id):
            raise Denied(_("Only an engineer of the team that owns the service can write its scripts."))
        if migration.kind != Migration.Kind.VERSIONED:
            raise Refused(_("Only versioned migrations are taken back."))
        if target is not None and target.service_id != migration.service_id:
            raise Refused(_("%(target)s belongs to another service.") % {"target": target})
        chosen = options_of(options)
        locked = Migration.objects.select_for_update(no_key=True).get(pk=migration.pk)
        for other in Generation.objects.filter(migration=locked, at=None).select_related("job"):
            if other.is_open:
                raise Refused(_("A way back of %(migration)s is being generated.") % {"migration": locked})
        key = uuid.uuid4()
        generation = Generation.objects.create(
            id=key,
            migration=locked,
            revision=chains.applied_revision(locked, target or filling.target_of(locked.service)),
            target=target,
            options=chosen,
            job=jobs.ask(Job.Kind.GENERATE, subject=key, actor=actor),
        )
        facts |= _about(generation) | {"options_sha256": audit.digest_of(repr(sorted(chosen.items())))}
    return generation


def take(job: Job) -> Generation:
    """The generation of a job that a worker has claimed."""
    related = ("migration__service", "revision__migration__service", "target__service", "job__asked_by")
    return Generation.objects.select_related(*related).get(pk=job.subject)


def enter(generation: Generation, doing: str) -> None:
    """The worker says what it does now; people see it while they wait."""
    Generation.objects.filter(pk=generation.pk, at=None).update(doing=doing[:300], doing_since=timezone.now())


def ran_at(generation: Generation) -> dt.datetime | None:
    """When the migration ran on the target that is counted on, as its history says: without a zone, by the
    clock of whoever migrated. None where nobody knows."""
    if generation.target is None:
        return None
    try:
        standing = history.standing_on(generation.target)
    except Refused:
        return None
    key = tuple(map(int, generation.migration.version_key))
    return next((row.installed_on for version, row in standing.items() if version.parts == key), None)


def what_of(loss: Mapping[str, Any]) -> tuple[str, ...]:
    """What a loss is about, to find it among other counts of the same."""
    names = ("column", "becomes", "condition")
    return (loss["kind"], *loss["relation"], *(loss[name] or "" for name in names))


def counted_before(generation: Generation) -> dict[tuple[str, ...], dict[str, Any]]:
    """What was counted exactly on the same target for the last way back before this: {count, at}, by
    `what_of`."""
    last = (
        Generation.objects.filter(migration=generation.migration_id, target=generation.target_id)
        .filter(at__isnull=False, job__lt=generation.job_id)
        .order_by("-job_id")
        .first()
    )
    if last is None or generation.target_id is None:
        return {}
    at = last.answer.get("counted_at") or (last.at.isoformat() if last.at else None)
    return {
        what_of(loss): {"count": loss["count"], "at": at}
        for loss in last.answer.get("losses", ())
        if loss["exact"] and loss["count"] is not None
    }


def record(generation: Generation, *, answer: Mapping[str, Any], checks: Sequence[Check] = ()) -> str:
    """The worker's answer, once and for all: store the script, with its gaps as they are written in it, and
    ask for its proof. Returns a sentence, which the job gets.

    `answer` is `Generated.json()` with losses, forward_fix and milliseconds; `checks` are drafts for the
    engineer.
    """
    with audit.unit_of_work("generation.answered", actor=None, target=generation.target) as facts:
        generation = Generation.objects.select_for_update(no_key=True, of=["self"]).get(pk=generation.pk)
        if generation.at is not None:
            raise Refused(_("This generation was answered before."))
        author = generation.job.asked_by
        if answer["script"].strip() and author is not None:
            generation.script = _store(generation, answer, checks, author)
        generation.answer, generation.doing, generation.at = dict(answer), "", timezone.now()
        generation.save()
        facts |= _about(generation) | {
            "origin": answer["origin"],
            "gaps": len(answer["gaps"]),
            "script": generation.script.number if generation.script else None,
            "sha256": generation.script.sha256 if generation.script else None,
        }
    return _sentence(generation)


def _store(
    generation: Generation, answer: Mapping[str, Any], checks: Sequence[Check], author: User
) -> RollbackScript:
    """What stays by the author's choice is declared with it: approvers acknowledge that like any other."""
    migration = Migration.objects.select_for_update(no_key=True).get(pk=generation.migration_id)
    script, _created = scripts.store(
        migration,
        sql=answer["script"],
        checks=checks,
        origin=RollbackScript.Origin.GENERATED,
        left=answer.get("left") or {},
        authors=[author],
        options=generation.options,
    )
    if script.readable:
        proofs.ask_within(script, actor=author, revision=generation.revision, target=generation.target)
    return script


def _sentence(generation: Generation) -> str:
    gaps = generation.answer["gaps"]
    if generation.script is None and not gaps and generation.answer.get("left"):
        return _("Nothing is left to undo: what the migration did stays by choice.")
    if generation.script is None:
        return _("Nothing could be generated: %(why)s") % {
            "why": "; ".join(gaps) or _("there is nothing to undo")
        }
    if gaps:
        return _("Stored as r%(number)d, with %(count)d open: %(first)s") % {
            "number": generation.script.number,
            "count": len(gaps),
            "first": gaps[0],
        }
    return _("Stored as r%(number)d; its proof is under way.") % {"number": generation.script.number}


def latest_of(migration: Migration) -> Generation | None:
    """The newest generation for this migration, answered, under way or failed."""
    found = Generation.objects.filter(migration=migration).order_by("-job_id")
    return found.select_related("job__asked_by", "script", "target", "revision").first()


def of_script(script_ids: Sequence[int]) -> dict[int, Generation]:
    """The newest generation that wrote each script, by the script's key; one query."""
    found = Generation.objects.filter(script__in=script_ids).order_by("script_id", "-job_id")
    return {each.script_id: each for each in found.distinct("script_id") if each.script_id is not None}


def _about(generation: Generation) -> dict[str, Any]:
    migration = generation.migration
    return {"migration": f"{migration.service} {migration}", "generation": str(generation.pk)}
