"""What stands on a page a hundred times: moments, states, risks, ways back, lines of a log; each by one tag.

As templates of several tags they took a quarter of a long page's time.
"""

from __future__ import annotations

from datetime import UTC, datetime

from django import template
from django.utils import timezone
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from approvals.models import ExecutionLog
from approvals.pages.ways_back import Proven, Rehearsal, WayBack

from .portal import as_state, icon, risk_level, risk_word, since, there, to_minute

register = template.Library()


@register.simple_tag
def moment(at: datetime, zone: str = "", plain: bool = False) -> SafeString:
    """A moment in the reader's zone, in UTC when pointed at; with a target's clock beside it where `zone`
    names another one, and how long ago it was unless `plain`."""
    utc = at.astimezone(UTC).isoformat()
    shown = escape(to_minute(timezone.localtime(at)))
    clock = there(at, zone) if zone else ""
    beside = f" ({escape(clock)})" if clock else ""
    passed = "" if plain else f' <span class="faint nowrap">{escape(since(at))}</span>'
    # Without format_html, which would look at every number of it.
    return mark_safe(  # noqa: S308 (digits, and words that are escaped above)
        f'<time datetime="{utc}" title="{utc[:10]} {utc[11:19]} UTC">{shown}{beside}</time>{passed}'
    )


@register.simple_tag
def state_mark(status: str, word: str = "", pill: bool = False) -> SafeString:
    """A state as shape, colour and word."""
    state = as_state(status)
    shape = icon(state.icon, "spin") if state.icon == "run" else icon(state.icon)
    css = f"state state-{state.tone} pill" if pill else f"state state-{state.tone}"
    return format_html('<span class="{}">{}{}</span>', css, shape, word or state.word)


@register.simple_tag
def way_back(back: WayBack, has_version: bool) -> SafeString:
    """The newest script of a migration and what proves it, or that there is none."""
    if back.script is None and not has_version:
        return format_html('<span class="faint">{}</span>', _("none: it has no version"))
    if back.script is None:
        return format_html('<span class="state state-idle">{}{}</span>', icon("void"), _("none"))
    given = {"n": back.script.number, "origin": back.script.word}
    script = escape(_("revision %(n)s, %(origin)s") % given)
    proof, rehearsal = _proof_of(back.proof), _rehearsal_of(back.rehearsal)
    return mark_safe(f"{script}<small>{proof}</small><small>{rehearsal}</small>")  # noqa: S308 (escaped)


def _proof_of(proof: Proven | None) -> SafeString:
    if proof is None:
        return escape(_("not proven"))
    said = proof.word
    words = escape(f"{_('Proof:')} {said.word}")
    return mark_safe(  # noqa: S308 (escaped)
        f'<span class="state state-{escape(said.tone)}">{icon(said.icon)}<span>{words}</span></span>'
    )


def _rehearsal_of(rehearsal: Rehearsal | None) -> SafeString:
    if rehearsal is None:
        return escape(_("not rehearsed here"))
    if not rehearsal.current:
        said = _("an earlier script was rehearsed")
    else:
        said = _("rehearsed") if rehearsal.holds else _("rehearsal failed")
    return escape(f"{said} {since(rehearsal.at)}")


@register.simple_tag
def log_line(line: ExecutionLog) -> SafeString:
    """A line of an execution's log, in UTC; a shape says of a warning or an error what it is."""
    at = line.at.astimezone(UTC).isoformat()
    shape = ""
    if line.level == "error":
        shape = icon("fail", "fail", _("error"))
    elif line.level == "warning":
        shape = icon("warn", "warn", _("warning"))
    return mark_safe(  # noqa: S308 (digits, and words that are escaped)
        f'<li class="log-{escape(line.level)}"><time datetime="{at}">{at[11:19]}</time>'
        f"<span>{shape}{escape(line.text)}</span></li>"
    )


@register.simple_tag
def risk_mark(risk: int | str | None) -> SafeString:
    """A risk as meter and word; said to be unrated where there is none."""
    level = risk_level(risk)
    if not level:
        return format_html('<span class="risk risk-none">{}</span>', _("not rated"))
    meter = icon(f"risk-{level}")
    return format_html('<span class="risk risk-{}">{}{}</span>', level, meter, risk_word(risk))
