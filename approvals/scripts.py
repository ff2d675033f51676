"""Rollback scripts: add a revision with its plan and checks. Nothing ever changes one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from django.db.models import Max
from django.utils.translation import gettext as _

from . import access, analysis, audit, digests, filling, proofs
from .errors import Denied, Refused
from .models import Check, Migration, RollbackScript, Stage, User

LONGEST = 1_000_000
LONGEST_REASON = 2_000
MOST_LEFT = 500


def add_script(
    migration: Migration,
    *,
    sql: str,
    checks: Sequence[Check],
    actor: User,
    origin: RollbackScript.Origin = RollbackScript.Origin.WRITTEN,
    left: Mapping[str, str] | None = None,
    unproven: str = "",
) -> RollbackScript:
    """Store the next revision of the script that undoes `migration` and return it; equal to the last one:
    that one. Its proof is asked for.

    `left` are effects of the migration that stay on purpose, by the key that completeness gives them, each
    with the reason; `unproven` says why the script may go without a proof where nothing can be proven. Both
    are part of what is approved.

    The actor becomes an author and with that can never approve it; so do the authors of the revisions before
    it. Raises Denied for somebody who may not write here, Refused for checks that are not one SELECT of one
    scalar and for an effect left without a reason. A script that the analysis refuses is stored all the same,
    with its problems: the gate holds it back.
    """
    with audit.unit_of_work("script.added", actor=actor) as facts:
        if not access.owns(actor, migration.service_id):
            raise Denied(_("Only an engineer of the team that owns the service can write its scripts."))
        locked = Migration.objects.select_for_update(no_key=True).get(pk=migration.pk)
        script, created = store(
            locked, sql=sql, checks=checks, origin=origin, authors=[actor], left=left, unproven=unproven
        )
        if created and script.readable and locked.kind == Migration.Kind.VERSIONED:
            proofs.ask_within(script, actor=actor)
        facts |= {
            "migration": f"{locked.service} {locked}",
            "script": script.number,
            "sha256": script.sha256,
            "created": created,
        }
        if script.left or script.unproven:
            facts |= {"left": len(script.left), "unproven_sha256": audit.digest_of(script.unproven)}
    return script


def store(
    migration: Migration,
    *,
    sql: str,
    checks: Sequence[Check],
    origin: RollbackScript.Origin,
    authors: Iterable[User],
    left: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    unproven: str = "",
    verbatim: bool = False,
) -> tuple[RollbackScript, bool]:
    """Insert a revision unless the newest one is the same; the caller holds the migration's row locked.

    `verbatim`: what looks like placeholders in it is to stay, as with generated ones.
    """
    authors = list(authors)
    sql, left, unproven = _normal(sql), _declared(left or {}), _normal(unproven).strip()
    if len(sql) > LONGEST:
        raise Refused(_("The script is longer than a million characters."))
    require_readable(checks)
    stored_checks = [asdict(check) for check in checks]
    digest = sha256(sql)
    last = migration.scripts.order_by("-number").first()
    said = (digest, stored_checks, left, unproven)
    # Choosing the generator's options is authorship: whoever chose anew is an author of a new revision.
    known = origin != RollbackScript.Origin.GENERATED or (last and {*authors} <= {*last.authors.all()})
    if last and known and said == (last.sha256, last.checks, last.left, last.unproven):
        return last, False
    number = (migration.scripts.aggregate(top=Max("number"))["top"] or 0) + 1
    plan = analysis.plan_script(sql) if verbatim else None
    # PostgreSQL text can't hold NUL; the plan of the original text names where it stands.
    script = RollbackScript.objects.create(
        migration=migration,
        number=number,
        origin=origin,
        sql=sql.replace("\0", "\N{SYMBOL FOR NULL}"),
        sha256=digest,
        checks=stored_checks,
        plan=analysis.as_json(plan) if plan else filling.plan_text(migration, sql, origin=origin),
        placeholders=[] if verbatim else filling.used_in(migration, sql, origin=origin),
        left=left,
        options=dict(options or {}),
        unproven=unproven,
    )
    script.authors.set({*authors, *(last.authors.all() if last else ())})
    return script, True


def _declared(left: Mapping[str, str]) -> dict[str, str]:
    """The effects that stay, in the order of their names. Raises Refused for one without a reason."""
    if len(left) > MOST_LEFT:
        raise Refused(_("More than %(most)d effects are left; write another script.") % {"most": MOST_LEFT})
    found = {}
    for key in sorted(left):
        reason = " ".join(left[key].split())
        if not reason or len(reason) > LONGEST_REASON:
            raise Refused(_("Say why “%(effect)s” stays, in at most 2,000 characters.") % {"effect": key})
        if "\0" in key + reason:
            raise Refused(_("A reason holds a NUL byte, which no database can store."))
        found[key] = reason
    return found


def sha256(sql: str) -> str:
    """The digest under which this text is stored as a script: of its UTF-8 bytes with line feeds as line
    ends."""
    return digests.text_sha256(_normal(sql))


def _normal(sql: str) -> str:
    return sql.replace("\r\n", "\n")


def require_readable(checks: Sequence[Check]) -> None:
    """Raise Refused for the first check that is not one SELECT of one scalar, naming its line and column."""
    for check in checks:
        if not check.name.strip():
            raise Refused(_("Every check needs a name."))
        if "\0" in check.name + check.expected:
            raise Refused(_("A check's name or expectation holds a NUL byte, which no database can store."))
        if check.stage not in Stage.values:
            raise Refused(
                _("Check “%(name)s”: unknown stage %(stage)s.") % {"name": check.name, "stage": check.stage}
            )
        for problem in analysis.plan_check(check.sql):
            raise Refused(
                _("Check “%(name)s”, line %(line)d, column %(column)d: %(message)s")
                % {
                    "name": check.name,
                    "line": problem.line,
                    "column": problem.column,
                    "message": problem.message,
                }
            )
