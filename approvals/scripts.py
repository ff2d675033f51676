"""Rollback scripts: add a revision with its plan and checks. Nothing ever changes one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from django.db.models import Max
from django.utils.translation import gettext as _

from . import access, analysis, audit, digests
from .errors import Denied, Refused
from .models import Check, Migration, RollbackScript, Stage, User

LONGEST = 1_000_000


def add_script(
    migration: Migration,
    *,
    sql: str,
    checks: Sequence[Check],
    actor: User,
    origin: RollbackScript.Origin = RollbackScript.Origin.WRITTEN,
) -> RollbackScript:
    """Store the next revision of the script that undoes `migration` and return it; equal to the last one: that one.

    The actor becomes an author and with that can never approve it; so do the authors of the revisions before it.
    Raises Denied for somebody who may not write here, Refused for checks that are not one SELECT of one scalar.
    A script that the analysis refuses is stored all the same, with its problems: the gate holds it back.
    """
    with audit.unit_of_work("script.added", actor=actor) as facts:
        if not access.owns(actor, migration.service_id):
            raise Denied(_("Only an engineer of the team that owns the service can write its scripts."))
        locked = Migration.objects.select_for_update(no_key=True).get(pk=migration.pk)
        script, created = store(locked, sql=sql, checks=checks, origin=origin, authors=[actor])
        facts |= {
            "migration": f"{locked.service} {locked}",
            "script": script.number,
            "sha256": script.sha256,
            "created": created,
        }
    return script


def store(
    migration: Migration,
    *,
    sql: str,
    checks: Sequence[Check],
    origin: RollbackScript.Origin,
    authors: Iterable[User],
) -> tuple[RollbackScript, bool]:
    """Insert a revision unless the newest one is the same; the caller holds the migration's row locked."""
    sql = _normal(sql)
    if len(sql) > LONGEST:
        raise Refused(_("The script is longer than a million characters."))
    require_readable(checks)
    stored_checks = [asdict(check) for check in checks]
    digest = sha256(sql)
    last = migration.scripts.order_by("-number").first()
    if last and last.sha256 == digest and last.checks == stored_checks:
        return last, False
    number = (migration.scripts.aggregate(top=Max("number"))["top"] or 0) + 1
    # PostgreSQL text can't hold NUL; the plan of the original text names where it stands.
    script = RollbackScript.objects.create(
        migration=migration,
        number=number,
        origin=origin,
        sql=sql.replace("\0", "\N{SYMBOL FOR NULL}"),
        sha256=digest,
        checks=stored_checks,
        plan=analysis.as_json(analysis.plan_script(sql)),
    )
    script.authors.set({*authors, *(last.authors.all() if last else ())})
    return script, True


def sha256(sql: str) -> str:
    """The digest under which this text is stored as a script: of its UTF-8 bytes with line feeds as line ends."""
    return digests.text_sha256(_normal(sql))


def _normal(sql: str) -> str:
    return sql.replace("\r\n", "\n")


def require_readable(checks: Sequence[Check]) -> None:
    """Raise Refused for the first check that is not one SELECT of one scalar, naming its line and column."""
    for check in checks:
        if not check.name.strip():
            raise Refused(_("Every check needs a name."))
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
