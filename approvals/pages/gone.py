"""Data that goes, ready for templates: what, how much, how certain that is, and since when it was there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from approvals import goes

Json = dict[str, Any]


@dataclass(frozen=True)
class Gone:
    """Data that goes: what, how much, and how certain that is."""

    what: str
    amount: str
    counted: bool
    notes: tuple[str, ...]
    nothing: bool


def told(loss: Json) -> Gone:
    """One entry of a data plan, as `Loss.json` gives it, or of what a worker counted for a rollback."""
    if loss["kind"] == goes.UNKNOWN:
        what = loss["name"] or ", ".join(loss["places"]) or _("the target")
        return Gone(what, _amount(loss), False, (loss["unknown"],) if loss["unknown"] else (), False)
    name = ".".join(loss["relation"])
    if loss["kind"] == "rows":
        what = _("rows of %(table)s") % {"table": name}
    elif loss["kind"] == "values":
        what = _("values of %(table)s.%(column)s") % {"table": name, "column": loss["column"]}
    elif loss["kind"] == "heard":
        what = _("what %(listener)s does that hears of rows of %(table)s") % {
            "listener": loss["becomes"],
            "table": name,
        }
    else:
        what = _("values of %(table)s.%(column)s that %(type)s can’t hold as they are") % {
            "table": name,
            "column": loss["column"],
            "type": loss["becomes"],
        }
    if loss["condition"]:
        what = _("%(what)s where %(condition)s") % {"what": what, "condition": loss["condition"]}
    return Gone(what, _amount(loss), loss["exact"], tuple(_notes(loss)), loss["exact"] and loss["count"] == 0)


def _amount(loss: Json) -> str:
    if loss["count"] is None:
        return _("not known")
    number = f"{loss['count']:,}"
    return number if loss["exact"] else _("about %(number)s") % {"number": number}


def _notes(loss: Json) -> list[str]:
    notes = []
    if loss["unknown"]:
        notes.append(loss["unknown"])
    if not loss["exact"] and loss["count"] is not None:
        at = _moment(loss["estimated_at"])
        notes.append(
            _("estimated by the statistics of %(at)s") % {"at": f"{at:%Y-%m-%d %H:%M} UTC"}
            if at
            else _("estimated; statistics were never taken")
        )
    if loss["stops"]:
        notes.append(
            ngettext(
                "%(n)s more does not fit at all and stops the script",
                "%(n)s more do not fit at all and stop the script",
                loss["stops"],
            )
            % {"n": f"{loss['stops']:,}"}
        )
    if at := _moment(loss["since"]):
        when = _("%(at)s UTC") if at.tzinfo else _("%(at)s, by the clock of whoever migrated")
        notes.append(
            _("none older than %(at)s: %(why)s")
            % {"at": when % {"at": f"{at:%Y-%m-%d %H:%M}"}, "why": loss["since_because"]}
        )
    elif why := loss.get("since_unknown"):
        notes.append(_("since when is not known: %(why)s") % {"why": why})
    return [*notes, *_compared(loss), *_places(loss)]


def _places(loss: Json) -> Iterator[str]:
    """Which statements do it, where a rollback's scripts were read."""
    if not (places := loss.get("places")):
        return
    more = loss["statements"] - len(places)
    listed = "; ".join(places)
    yield (
        _("by %(places)s and %(n)s more") % {"places": listed, "n": more}
        if more
        else _("by %(places)s") % {"places": listed}
    )


def _compared(loss: Json) -> Iterator[str]:
    """What was counted here before, and how much more or less it is now."""
    earlier = loss.get("earlier")
    if not earlier or not loss["exact"] or loss["count"] is None:
        return
    at = _moment(earlier["at"])
    words = {
        "before": f"{earlier['count']:,}",
        "at": f"{at:%Y-%m-%d %H:%M}" if at else "",
        "n": f"{abs(loss['count'] - earlier['count']):,}",
    }
    if loss["count"] > earlier["count"]:
        yield _("%(before)s on %(at)s UTC: at least %(n)s came after that") % words
    elif loss["count"] < earlier["count"]:
        yield _("%(before)s on %(at)s UTC: at least %(n)s went after that") % words
    else:
        yield _("as many as on %(at)s UTC") % words


def _moment(text: str | None) -> datetime | None:
    return parse_datetime(text) if text else None
