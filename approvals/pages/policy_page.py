"""Reads for the page of policies: each rule in words, the floors as the database holds them, the versions."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy
from django.utils.translation import ngettext

from approvals import grades
from approvals.analysis import Risk
from approvals.models import Environment, PolicyRule, PolicyVersion
from approvals.pages.incident_page import hours
from approvals.policy import execution_period, review_period

# What the database refuses whatever a policy says: name of the constraint or trigger there -> in words.
FLOORS: dict[str, str | Promise] = {
    "floor_production_one_approver": lazy("On production at least one person approves, whatever the risk."),
    "floor_high_two_approvers": lazy("On production, HIGH and CRITICAL take at least two people."),
    "floor_production_rehearsed_and_backed_up": lazy(
        "On production nothing goes without rehearsal and backup."
    ),
    "approval_insert": lazy(
        "Nobody approves what they asked for or wrote, with a role they don't hold, or another digest."
    ),
    "approval_change": lazy(
        "A decision is never changed or deleted; all that may happen to it is to be voided."
    ),
    "identity_confirmed_within_five_minutes": lazy(
        "Who decides has proved who they are within the five minutes before."
    ),
    "one_decision_per_person": lazy("One person decides once on one digest."),
    "one_open_execution_per_target": lazy("Only one execution is open on a target at a time."),
}


@dataclass(frozen=True)
class Cell:
    """What one risk on one environment demands, as sentences; the first says who approves."""

    rule: PolicyRule
    says: list[str]


@dataclass(frozen=True)
class Row:
    """One risk across the environments."""

    risk: int
    cells: list[Cell]


@dataclass(frozen=True)
class Floor:
    """One rule of the database, and whether it is there and in force right now."""

    name: str
    says: str
    held: bool


@dataclass(frozen=True)
class Change:
    """A version with what it changed against the one before it."""

    version: PolicyVersion
    changes: list[str]


def table(version: PolicyVersion) -> list[Row]:
    """Risk by environment, the highest risk first; one query."""
    rules = {(rule.risk, rule.environment): rule for rule in version.rules.all()}
    risks = sorted({risk for risk, _environment in rules}, reverse=True)
    return [
        Row(risk, [_cell(rules[risk, each]) for each in Environment if (risk, each) in rules])
        for risk in risks
    ]


def _cell(rule: PolicyRule) -> Cell:
    return Cell(rule, [_who(rule), *_evidence(rule), _times(rule)])


def _who(rule: PolicyRule) -> str:
    dbas = ngettext("%(n)d senior DBA", "%(n)d senior DBAs", rule.senior_dbas) % {"n": rule.senior_dbas}
    leads = ngettext("%(n)d platform lead", "%(n)d platform leads", rule.platform_leads) % {
        "n": rule.platform_leads
    }
    asked = [words for words, count in ((dbas, rule.senior_dbas), (leads, rule.platform_leads)) if count]
    return _(" and ").join(asked) if asked else _("nobody needs to approve")


def _evidence(rule: PolicyRule) -> list[str]:
    found = []
    if rule.rehearsal_required:
        age = rule.rehearsal_max_age_hours
        found.append(
            _("rehearsal at most %(age)s old") % {"age": _age(age)} if age else _("rehearsal passed")
        )
    if rule.rehearsal_required and not rule.rehearsal_with_rows:
        found.append(_("rehearsed without rows: the structure only"))
    found += grades.told(rule)
    if rule.risk >= 4 and (rule.senior_dbas or rule.platform_leads):
        typed = _("what stays lost is typed by each approver")
        found.append(typed if rule.risk >= 5 else _("what stays lost is ticked by each approver"))
    return found


def _times(rule: PolicyRule) -> str:
    spans = {"review": hours(review_period(rule)), "run": hours(execution_period(rule))}
    return _("decide within %(review)s, run within %(run)s") % spans


def _age(age: int) -> str:
    days, rest = divmod(age, 24)
    if rest or days < 2:
        return _("%(n)d h") % {"n": age}
    return ngettext("%(n)d day", "%(n)d days", days) % {"n": days}


def floors() -> list[Floor]:
    """The floors with the database's own word on whether each is in force; one query."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT conname FROM pg_constraint WHERE conname = ANY(%(names)s) AND convalidated
                UNION SELECT tgname FROM pg_trigger WHERE tgname = ANY(%(names)s) AND tgenabled = 'A'
                UNION SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                       WHERE c.relname = ANY(%(names)s) AND i.indisunique AND i.indisvalid""",
            {"names": list(FLOORS)},
        )
        held = {str(row[0]) for row in cursor.fetchall()}
    return [Floor(name, str(says), name in held) for name, says in FLOORS.items()]


def versions() -> list[Change]:
    """Every version, newest first, with what each changed; two queries."""
    found = list(
        PolicyVersion.objects.order_by("-number").select_related("created_by").prefetch_related("rules")
    )
    before: list[PolicyVersion | None] = [*found[1:], None]
    return [Change(version, _changes(older, version)) for version, older in zip(found, before, strict=True)]


def _changes(older: PolicyVersion | None, newer: PolicyVersion) -> list[str]:
    if older is None:
        return []
    was = {(rule.environment, rule.risk): _cell(rule).says for rule in older.rules.all()}
    changed = []
    for rule in newer.rules.all():
        before, after = was.get((rule.environment, rule.risk), []), _cell(rule).says
        if before != after:
            gone, new = (
                [each for each in before if each not in after],
                [each for each in after if each not in before],
            )
            what = {"place": _place(rule), "before": ", ".join(gone) or "–", "after": ", ".join(new) or "–"}
            changed.append(_("%(place)s: %(before)s became %(after)s") % what)
    return changed


def _place(rule: PolicyRule) -> str:
    return f"{Risk(rule.risk).name} × {Environment(rule.environment).label}"
