"""What templates need to show the portal's words: state, risk, SQL, time, icons."""

from __future__ import annotations

import json
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django import template
from django.core.paginator import Page
from django.db.models import TextChoices
from django.forms import BoundField
from django.http import HttpRequest
from django.templatetags.static import static
from django.utils import formats, timezone
from django.utils.dates import MONTHS_3
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from approvals import once
from approvals.analysis import Risk
from approvals.models import (
    Backup,
    Execution,
    ExecutionStatus,
    ExecutionStep,
    FleetRun,
    Job,
    Role,
    Status,
    Target,
    User,
)
from approvals.pages import sqltext

register = template.Library()

OK, RUN, WARN, FAIL, LOST, IDLE = "ok", "run", "warn", "fail", "lost", "idle"

# value -> (shape, tone). One value means the same wherever it stands, so one table serves every status enum.
STATES: dict[str, tuple[str, str]] = {
    Status.DRAFT: ("edit", IDLE),
    Status.IN_REVIEW: ("review", RUN),
    Status.APPROVED: ("ok", OK),
    Status.EXECUTING: ("run", RUN),
    Status.EXECUTED: ("ok", OK),
    Status.PARTLY_EXECUTED: ("warn", WARN),
    Status.CHANGES_REQUESTED: ("talk", WARN),
    Status.REJECTED: ("void", IDLE),
    Status.CANCELLED: ("void", IDLE),
    Status.EXPIRED: ("void", IDLE),
    Status.FAILED: ("fail", FAIL),
    ExecutionStatus.QUEUED: ("wait", IDLE),
    ExecutionStatus.CLAIMED: ("run", RUN),
    ExecutionStatus.PREFLIGHT: ("run", RUN),
    ExecutionStatus.BACKUP: ("run", RUN),
    ExecutionStatus.RUNNING: ("run", RUN),
    ExecutionStatus.COMMITTING: ("run", RUN),
    ExecutionStatus.VERIFYING: ("run", RUN),
    ExecutionStatus.SUCCEEDED: ("ok", OK),
    ExecutionStatus.NO_EFFECT: ("void", IDLE),
    ExecutionStatus.ROLLED_BACK: ("fail", FAIL),
    ExecutionStatus.UNRESOLVED: ("lost", LOST),
    ExecutionStatus.PARTIAL: ("warn", WARN),
    ExecutionStatus.AWAITING_RESTART: ("restart", WARN),
    ExecutionStatus.COMMITTED_CHECK_FAILED: ("warn", WARN),
    ExecutionStep.State.PENDING: ("wait", IDLE),
    ExecutionStep.State.DONE: ("ok", OK),
    FleetRun.State.HELD: ("warn", WARN),
    FleetRun.State.STOPPED: ("fail", FAIL),
    FleetRun.State.FINISHED: ("ok", OK),
    Job.State.WAITING: ("wait", IDLE),
    Backup.State.DUMPED: ("warn", WARN),
    Backup.State.VERIFIED: ("ok", OK),
    Backup.State.REFUSED: ("void", WARN),
    Backup.State.REMOVED: ("void", IDLE),
    Target.Health.UNKNOWN: ("wait", IDLE),
    Target.Health.GOOD: ("ok", OK),
    Target.Health.FAILING: ("warn", WARN),
}
_ENUMS: tuple[type[TextChoices], ...] = (
    Status,
    ExecutionStatus,
    ExecutionStep.State,
    FleetRun.State,
    Job.State,
    Backup.State,
    Target.Health,
)
# value -> its word; of enums that share a value the first one's.
_WORDS = {value: label for enum in reversed(_ENUMS) for value, label in enum.choices}


@dataclass(frozen=True)
class State:
    """How a status looks: its shape (an icon's name), its tone (a colour's name) and its word."""

    icon: str
    tone: str
    word: str


@register.filter
def as_state(value: str) -> State:
    """The look of a status value. An unknown one is shown as not known, never as nothing."""
    icon, tone = STATES.get(value, ("lost", LOST))
    word = str(_WORDS.get(value, value))
    return State(icon, tone, word[:1].upper() + word[1:])


# A page has a hundred shapes, of a few dozen kinds.
@register.simple_tag
@lru_cache(maxsize=1024)
def icon(name: str, css: str = "", word: str = "") -> SafeString:
    """A shape from static/icons.svg. Without `word` it only repeats what text beside it says."""
    label = (
        format_html('role="img" aria-label="{}"', word) if word else format_html('aria-hidden="{}"', "true")
    )
    classes = f"i {css}".strip() if not name.startswith("risk-") else "meter"
    return format_html(
        '<svg class="{}" {}><use href="{}#{}"/></svg>', classes, label, static("icons.svg"), name
    )


@register.filter
def risk_word(value: int | str | None) -> str:
    """MINIMAL … CRITICAL for 1 … 5; a word stays what it is."""
    return value if isinstance(value, str) else Risk(value).name if value else ""


@register.filter
def risk_level(value: int | str | None) -> int:
    """1 … 5 for a risk given as number or word, 0 for none."""
    return int(Risk[value]) if isinstance(value, str) and value else int(value or 0)


@register.simple_tag
def sql(
    text: str,
    first: int = 1,
    prefix: str = "",
    marks: Mapping[int, str] | None = None,
    link: str | None = None,
) -> SafeString:
    """SQL with line numbers, see `approvals.pages.sqltext`."""
    return sqltext.to_html(text, first=first, prefix=prefix, marks=marks, link=link or "")


@register.filter(expects_localtime=True)
def to_minute(at: datetime) -> str:
    """A moment as every page writes it, to the minute: `3 Nov 2026, 14:05`. What `date` would say of
    "j M Y, H:i", in a tenth of its time."""
    return f"{at.day} {str(MONTHS_3[at.month]).title()} {at.year:04}, {at.hour:02}:{at.minute:02}"


@register.filter
def since(at: datetime, now: datetime | None = None) -> str:
    """`3 h ago`, `in 9 h`, `just now`: the largest unit that fits."""
    seconds = ((now or timezone.now()) - at).total_seconds()
    if abs(seconds) < 45:
        return _("just now") if seconds >= 0 else _("in a moment")
    text = duration(abs(seconds))
    return _("%(time)s ago") % {"time": text} if seconds >= 0 else _("in %(time)s") % {"time": text}


@register.filter
def duration(seconds: float | None) -> str:
    """A span of time in the largest unit that fits: `40 ms`, `0.4 s`, `12 min`, `3 h`, `5 days`. Empty for
    None."""
    if seconds is None:
        return ""
    if seconds < 0.1:
        return _("%(n)d ms") % {"n": round(seconds * 1000)}
    if seconds < 10:
        return _("%(n)s s") % {"n": f"{seconds:.1f}"}
    if seconds < 90:
        return _("%(n)d s") % {"n": round(seconds)}
    if seconds < 90 * 60:
        return _("%(n)d min") % {"n": round(seconds / 60)}
    if seconds < 48 * 3600:
        return _("%(n)d h") % {"n": round(seconds / 3600)}
    days = round(seconds / 86400)
    return ngettext("%(n)d day", "%(n)d days", days) % {"n": days}


@register.filter
def milliseconds(value: float | None) -> str:
    """Milliseconds as a duration, like `duration`."""
    return duration(None if value is None else value / 1000)


@register.filter
def server_version(number: str) -> str:
    """PostgreSQL's version number as people say it: 180006 is 18.6. What is no such number stays as it is."""
    return f"{int(number) // 10_000}.{int(number) % 10_000}" if number.isdigit() else number


@register.filter
def in_zone(at: datetime, zone: str) -> datetime:
    """The same moment in a target's zone; an unknown zone is UTC."""
    try:
        return at.astimezone(zoneinfo.ZoneInfo(zone))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return at.astimezone(zoneinfo.ZoneInfo("UTC"))


@register.filter
def there(at: datetime, zone: str) -> str:
    """What a clock at a target shows: `18:50 Kolkata, UTC+5:30`, with the day where it is another one.
    Nothing where the reader's clock shows the same."""
    here, local = timezone.localtime(at), in_zone(at, zone)
    if here.utcoffset() == local.utcoffset():
        return ""
    shown = formats.date_format(local, "H:i" if here.date() == local.date() else "j M, H:i")
    return f"{shown} {zone_words(local)}"


@register.filter
def zone_words(at: datetime) -> str:
    """The zone of a moment, unmistakable: place and distance from UTC, as `IST` alone is three zones."""
    seconds = int((at.utcoffset() or timedelta()).total_seconds())
    hours, minutes = divmod(abs(seconds) // 60, 60)
    sign = "-" if seconds < 0 else "+"
    distance = f"UTC{sign}{hours}{f':{minutes:02}' if minutes else ''}" if seconds else "UTC"
    place = str(at.tzinfo).rpartition("/")[2].replace("_", " ")
    return distance if place == "UTC" else f"{place}, {distance}"


@register.filter
def get(mapping: Mapping[Any, Any], key: Any) -> Any:
    """`mapping|get:key`; nothing for a missing key."""
    return mapping.get(key)


@register.filter
def pretty_json(value: Any) -> str:
    """JSON for people: indented, keys as they come."""
    return json.dumps(value, indent=2, ensure_ascii=False)


@register.simple_tag(takes_context=True)
def query(context: dict[str, Any], **changes: Any) -> str:
    """The present query string with some parameters set, or left out where the value is empty."""
    request: HttpRequest = context["request"]
    parameters = request.GET.copy()
    for name, value in changes.items():
        parameters.pop(name, None)
        if value not in (None, ""):
            parameters[name] = str(value)
    return "?" + parameters.urlencode()


@register.simple_tag(takes_context=True)
def page_link(context: dict[str, Any], page: Page[Any], number: int) -> str:
    """The present query string with another page of this list."""
    return query(context, **{page.paginator.parameter: number})  # type: ignore[attr-defined]


@register.simple_tag
def once_token() -> SafeString:
    """A hidden field that makes a form count once, however often it is sent. See `approvals.once`."""
    return format_html('<input type="hidden" name="{}" value="{}">', once.FIELD, once.new_token())


@register.filter
def is_check(field: BoundField) -> bool:
    """True for a single checkbox, whose label stands beside it."""
    several = field.use_fieldset and len(field) > 1
    return getattr(field.field.widget, "input_type", "") == "checkbox" and not several


@register.filter
def is_group(field: BoundField) -> bool:
    """True for several radio buttons or checkboxes, which need a fieldset."""
    return bool(field.use_fieldset)


@register.filter
def role_words(user: User) -> list[str]:
    """The roles that a person holds, as words, of groups that were read with them."""
    words = dict(Role.choices)
    return [str(words[group.name]) for group in user.groups.all() if group.name in words]


@register.filter
def executions_label(execution: Execution) -> str:
    """Rehearsal or execution, as a word for people."""
    return _("Rehearsal") if execution.purpose == Execution.Purpose.REHEARSAL else _("Execution")
