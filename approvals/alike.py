"""Are targets of the same kind? What is rehearsed and proven on one of a fleet must hold for all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from .models import Evidence, RollbackItem, RollbackTarget, Target

# How many a request may have: what they sign, people must still be able to read.
MOST = 500
# In the facts of a target: the digest of its schema, without positions of sequences.
SCHEMA = "schema_sha256"
NAMES = 4


# What decides how a script runs on a target and by which rules; its values are `settings_of` a target.
SETTINGS = (
    gettext_noop("service"),
    gettext_noop("environment"),
    gettext_noop("history table"),
    gettext_noop("search path"),
    gettext_noop("owner role"),
    gettext_noop("marker"),
    gettext_noop("placeholders"),
    gettext_noop("major version of the server"),
)
# The columns that they are read from.
COLUMNS = (
    "service_id",
    "environment",
    "history_schema",
    "history_table",
    "search_path",
    "owner_role",
    "has_marker",
    "placeholders",
    "server_version",
)


def settings_of(target: Target) -> tuple[object, ...]:
    """How a target is set up, one value for each of SETTINGS."""
    return (
        target.service_id,
        target.environment,
        (target.history_schema, target.history_table),
        target.search_path,
        target.owner_role,
        target.has_marker,
        target.placeholders,
        target.server_version.partition(".")[0],
    )


def differences(target: Target, canary: Target) -> tuple[str, ...]:
    """Those of SETTINGS, untranslated, in which this target is set up differently from the canary."""
    here, there = settings_of(target), settings_of(canary)
    if here == there:
        return ()
    return tuple(word for word, one, other in zip(SETTINGS, here, there, strict=True) if one != other)


def unlike(target: Target, canary: Target) -> list[str]:
    """The same as words; empty if they are set up alike."""
    return [_(word) for word in differences(target, canary)]


def problems(
    rollback_targets: Sequence[RollbackTarget],
    facts: Mapping[int, Evidence],
    items: Iterable[RollbackItem],
    *,
    canary: RollbackTarget,
) -> list[str]:
    """Why what was proven on the canary says nothing about these targets, one sentence each; empty if it
    speaks for all. `facts` are the newest of each, by the target's key."""
    found = []
    for each in rollback_targets:
        if words := unlike(each.target, canary.target):
            found.append(_("%(target)s differs in: %(words)s.") % {"target": each, "words": ", ".join(words)})
    found += [
        _("%(name)s fills placeholders that differ from target to target.") % {"name": item.migration}
        for item in items
        if item.script is not None and "flyway:database" in item.script.placeholders
    ]
    found += _twice(rollback_targets)
    return found + _other_schemas(rollback_targets, facts, canary)


def _twice(rollback_targets: Sequence[RollbackTarget]) -> list[str]:
    """One database under two names would be taken back twice."""
    where = [(each.target.system_identifier, each.target.database_oid) for each in rollback_targets]
    twice = {place for place, count in Counter(where).items() if count > 1 and place[0]}
    names = [each.target.name for each, place in zip(rollback_targets, where, strict=True) if place in twice]
    return [_("The same database: %(names)s.") % {"names": listed(names)}] if names else []


def _other_schemas(
    rollback_targets: Sequence[RollbackTarget], facts: Mapping[int, Evidence], canary: RollbackTarget
) -> list[str]:
    wanted = _schema(facts.get(canary.target_id))
    if not wanted:
        return [_("The schema of %(target)s was not read.") % {"target": canary.target}]
    other = [each.target.name for each in rollback_targets if _schema(facts.get(each.target_id)) != wanted]
    if not other:
        return []
    words = {"names": listed(other), "canary": canary.target}
    return [_("The schema is not that of %(canary)s, or was not read: %(names)s.") % words]


def _schema(evidence: Evidence | None) -> str:
    return str(evidence.data.get(SCHEMA, "")) if evidence is not None and evidence.holds else ""


def listed(names: Sequence[str]) -> str:
    """Names as people read them; of many the first ones, and how many more."""
    told = ", ".join(names[:NAMES])
    more = len(names) - NAMES
    return _("%(names)s and %(more)d more") % {"names": told, "more": more} if more > 0 else told
