"""What a generator made of a migration, ready for templates: the script, what it could not do, what goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from approvals import generations
from approvals.models import Generation, Migration, RollbackScript

from .difference import Difference, difference

Json = dict[str, Any]
READ = "by reading"


@dataclass(frozen=True)
class Way:
    """One of the ways of a choice, with its consequence."""

    key: str
    says: str
    taken: bool


@dataclass(frozen=True)
class Made:
    """A choice that this migration really has: what it is about, and its ways."""

    subject: str
    about: str
    ways: tuple[Way, ...]


@dataclass(frozen=True)
class Gone:
    """Data that goes: what, how much, and how certain that is."""

    what: str
    amount: str
    counted: bool
    notes: tuple[str, ...]
    nothing: bool


@dataclass(frozen=True)
class GenerationView:
    """The newest generation of a migration's way back, and how its script differs from the one before."""

    generation: Generation
    difference: Difference | None
    before: RollbackScript | None

    @property
    def answer(self) -> Json:
        said: Json = self.generation.answer
        return said

    @property
    def answered(self) -> bool:
        return self.generation.at is not None

    @property
    def by_reading(self) -> bool:
        """The weaker origin: the files did not replay."""
        return self.answer.get("origin") == READ

    @property
    def made(self) -> list[Made]:
        return [
            Made(
                choice["subject"],
                choice["about"],
                tuple(Way(key, says, key == choice["taken"]) for key, says in choice["ways"].items()),
            )
            for choice in self.answer.get("choices", ())
        ]

    @property
    def losses(self) -> list[Gone]:
        return [_gone(loss) for loss in self.answer.get("losses") or ()]

    @property
    def uncounted(self) -> list[str]:
        """What goes, where nobody counted it."""
        return [] if self.losses else [each["what"] for each in self.answer.get("goes", ())]

    @property
    def fixes(self) -> bool:
        """Is there a corrective migration beside it?"""
        return bool((self.answer.get("forward_fix") or {}).get("files"))


def read(migration: Migration) -> GenerationView | None:
    """The newest generation of this migration, None where there never was one; four queries at most."""
    generation = generations.latest_of(migration)
    if generation is None:
        return None
    script = generation.script
    if script is None:
        return GenerationView(generation, None, None)
    before = migration.scripts.filter(number__lt=script.number).order_by("-number").first()
    changed = difference(before.sql, script.sql) if before else None
    return GenerationView(generation, changed, before)


def _gone(loss: Json) -> Gone:
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
    return [*notes, *_compared(loss)]


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
