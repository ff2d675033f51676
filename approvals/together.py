"""The facts of several targets as one: what the scripts touch on all of them together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from . import goes
from .alike import listed
from .models import Evidence, RollbackTarget


def facts(rollback_targets: Sequence[RollbackTarget], found: Mapping[int, Evidence]) -> Evidence | None:
    """The newest facts of each target (by the target's key) as one, which is never stored.

    It holds if those of every target hold. Rows and values are sums: they are 0 only where every target has
    none, and unknown where one target's are. None where nothing was read yet.
    """
    if not found:
        return None
    missing = [each.target.name for each in rollback_targets if each.target_id not in found]
    bad = [each for each in rollback_targets if each.target_id in found and not found[each.target_id].holds]
    oldest = min(found.values(), key=lambda each: each.at)
    if missing or bad:
        return Evidence(
            kind=Evidence.Kind.FACTS, holds=False, sentence=_why_not(missing, bad, found), at=oldest.at
        )
    data = _sum([found[each.target_id].data for each in rollback_targets])
    said = ngettext(
        "Read all %(count)d targets: %(tables)d table on each, schema version %(version)s.",
        "Read all %(count)d targets: %(tables)d tables on each, schema version %(version)s.",
        len(data["tables"]),
    ) % {
        "count": len(rollback_targets),
        "tables": len(data["tables"]),
        "version": data["schema_version"],
    }
    return Evidence(kind=Evidence.Kind.FACTS, holds=True, sentence=said, at=oldest.at, data=data)


def _why_not(missing: Sequence[str], bad: Sequence[RollbackTarget], found: Mapping[int, Evidence]) -> str:
    said = []
    if bad:
        first = bad[0]
        said.append(f"{first.target.name}: {found[first.target_id].sentence}")
        if len(bad) > 1:
            said.append(
                _("The same or worse: %(names)s.") % {"names": listed([str(b.target) for b in bad[1:]])}
            )
    if missing:
        said.append(_("Not read yet: %(names)s.") % {"names": listed(missing)})
    return " ".join(said)


def _sum(each: Sequence[dict[str, Any]]) -> dict[str, Any]:
    versions = sorted({str(data.get("schema_version", "")) for data in each})
    return {
        "tables": _added((data.get("tables", []) for data in each), "relation", ("rows", "bytes"), len(each)),
        "values": _added((data.get("values", []) for data in each), "column", ("values",), len(each)),
        **_goes(each),
        "dependents": sorted({name for data in each for name in data.get("dependents", [])}),
        "schema_version": ", ".join(versions),
    }


def _added(
    lists: Iterable[Sequence[dict[str, Any]]], key: str, numbers: Sequence[str], targets: int
) -> list[dict[str, Any]]:
    """Entries of the same key as one: numbers added up, exact only where all are, the oldest estimate's
    date. What not every target has told is not known."""
    found: dict[str, list[dict[str, Any]]] = {}
    for entries in lists:
        for entry in entries:
            found.setdefault(entry[key], []).append(entry)
    summed = []
    for name, same in found.items():
        one: dict[str, Any] = {key: name, "exact": all(entry["exact"] for entry in same)}
        for number in numbers:
            known = [entry[number] for entry in same if entry[number] is not None]
            whole = len(known) == len(same) and len(same) == targets
            one[number] = sum(known) if whole else None
        if numbers == ("rows", "bytes"):
            one["bytes"] = one["bytes"] or 0
            one["as_of"] = min((entry["as_of"] for entry in same if entry.get("as_of")), default=None)
        one["exact"] = one["exact"] and len(same) == targets
        summed.append(one)
    return summed


_SAME = ("kind", "name", "becomes", "condition", "unknown")


def _goes(each: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What goes on all of them: entries that say the same are one, with their numbers added up. Nothing where
    not every target has told it."""
    if any(goes.KEY not in data for data in each):
        return {}
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for entry in (entry for data in each for entry in data[goes.KEY]):
        key = tuple(entry.get(name) for name in _SAME)
        if (one := found.get(key)) is None:
            found[key] = dict(entry)
            continue
        counts = one["count"], entry["count"]
        one["count"] = None if None in counts else sum(counts)
        one["exact"] = one["exact"] and entry["exact"]
        one["along"] = one.get("along", False) or entry.get("along", False)
        one["stops"] = one.get("stops", 0) + entry.get("stops", 0)
    return {goes.KEY: list(found.values())}
