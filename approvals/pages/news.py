"""What is new on a rollback's page since its reader looked last, each with a link to where it stands."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from approvals import looks
from approvals.gates import Gate
from approvals.known import Known
from approvals.looks import Since
from approvals.models import AuditEvent, Comment, RollbackItem, RollbackScript, User

from .audit_words import Words, words_for
from .difference import Difference, difference

# Where on the page an event's subject stands, by how its action begins.
PLACES = (
    ("comment.", "#comments"),
    ("thread.", "#comments"),
    ("rollback.approved", "#approvals"),
    ("rollback.rejected", "#approvals"),
    ("rollback.changes_requested", "#approvals"),
    ("rollback.checklist_confirmed", "#checklist"),
    ("rollback.facts", "#risk"),
    ("rollback.edited", "#sql"),
    ("rollback.", "#request"),
    ("break_glass.", "#gates"),
    ("backup_exception.", "#gates"),
    ("rehearsal.", "#rehearsal"),
    ("backup.", "#backup"),
    ("execution.", "#attempts"),
)


@dataclass(frozen=True)
class ScriptChange:
    """One migration whose script is another one now; `was` or `now` is None where it came or went."""

    migration: str
    position: int | None
    was: RollbackScript | None
    now: RollbackScript | None
    difference: Difference


@dataclass(frozen=True)
class Event:
    """Something that somebody else did."""

    who: str
    words: Words
    at: datetime
    href: str
    text: str


@dataclass(frozen=True)
class News:
    """What is new since `at`. `risk` and `status` are (was, is) where they changed."""

    at: datetime
    risk: tuple[int | None, int | None] | None
    status: tuple[str, str] | None
    scripts: list[ScriptChange]
    fell: list[Gate]
    came: list[Gate]
    events: list[Event]

    def __bool__(self) -> bool:
        return bool(self.events or self.fell)


def news(
    since: Since | None,
    items: Sequence[RollbackItem],
    gates: Sequence[Gate],
) -> News | None:
    """The news for a reader, None where there is none.

    One query more where scripts changed, one where something was said.
    """
    if since is None:
        return None
    before, present = since.before, since.now
    by_key = {gate.key: gate for gate in gates}
    held, holds = set(before["holds"]), set(present["holds"])
    found = News(
        at=since.at,
        risk=_change(before["risk"], present["risk"]),
        status=_change(before["status"], present["status"]),
        scripts=script_changes(before["scripts"], items),
        fell=[by_key[key] for key in sorted(held - holds) if key in by_key],
        came=[by_key[key] for key in sorted(holds - held) if key in by_key],
        events=event_lines(since.events),
    )
    return found if found else None


@dataclass(frozen=True)
class Meanwhile:
    """What others did after a page was opened, and how the scripts differ from those that it showed."""

    events: list[Event]
    scripts: list[ScriptChange]

    @property
    def who(self) -> str:
        """Who was faster: the person behind the newest event, empty where it was nobody."""
        return self.events[0].who if self.events else ""

    def __bool__(self) -> bool:
        return bool(self.events or self.scripts)


def meanwhile(known: Known, *, seen: int, digest: str, reader: User) -> Meanwhile:
    """What happened after event `seen` to a rollback that the reader saw with this request digest."""
    rollback = known.rollback
    events = looks.events_since(rollback, seen, reader=reader)
    stood = looks.seen_with(rollback, digest, reader=reader) if digest != rollback.request_digest else None
    return Meanwhile(
        events=event_lines(events),
        scripts=script_changes(stood["scripts"], known.items) if stood else [],
    )


def _change(was: Any, now: Any) -> tuple[Any, Any] | None:
    return (was, now) if was != now else None


def script_changes(before: Mapping[str, int | None], items: Sequence[RollbackItem]) -> list[ScriptChange]:
    """What differs between the scripts as they were (keys of migrations and scripts) and as they are."""
    present = {str(item.migration_id): item for item in items}
    changed = [
        key
        for key in [*present, *(key for key in before if key not in present)]
        if before.get(key) != (present[key].script_id if key in present else None)
    ]
    if not changed:
        return []
    old = {script.pk: script for script in _scripts([before.get(key) for key in changed])}
    found = []
    for key in changed:
        was = old.get(before.get(key) or 0)
        item = present.get(key)
        now = item.script if item else None
        found.append(
            ScriptChange(
                migration=str(item.migration if item else was.migration if was else ""),
                position=item.position if item else None,
                was=was,
                now=now,
                difference=difference(was.sql if was else "", now.sql if now else ""),
            )
        )
    return found


def _scripts(keys: Sequence[int | None]) -> QuerySet[RollbackScript]:
    wanted = [key for key in keys if key]
    return RollbackScript.objects.filter(pk__in=wanted).select_related("migration").defer("plan", "checks")


def event_lines(events: Sequence[AuditEvent]) -> list[Event]:
    """Events as lines of the panel, with what was said where they are comments; one query at most."""
    bodies = [json.loads(event.body) for event in events]
    keys = [body["facts"]["comment"] for body in bodies if "comment" in body["facts"]]
    said = dict(Comment.objects.filter(pk__in=keys).values_list("pk", "text")) if keys else {}
    return [_event_line(body, said) for body in bodies]


def _event_line(body: dict[str, Any], said: Mapping[int, str]) -> Event:
    facts = body["facts"]
    href = next((place for begin, place in PLACES if body["action"].startswith(begin)), "")
    if "thread" in facts:
        href = f"#thread-{facts['thread']}"
    return Event(
        who=body["actor_name"],
        words=words_for(body),
        at=datetime.fromisoformat(body["at"]),
        href=href,
        text=said.get(facts.get("comment", 0), ""),
    )
