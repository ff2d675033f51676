"""Forms of the catalog: filters of its lists, and a new revision of a rollback script with its checks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from approvals import queries
from approvals.models import Environment, Target
from approvals.pages import coverage_page, target_overview

from . import PortalForm


class Filter(PortalForm):
    """A search field; what can't be understood filters nothing."""

    q = forms.CharField(label=_("Search"), required=False, max_length=100)

    def chosen(self, name: str) -> str:
        """The value of a filter that was understood, or nothing."""
        self.is_valid()
        return str(self.cleaned_data.get(name) or "")


def choice(label: Any, choices: Iterable[tuple[str, Any]]) -> forms.ChoiceField:
    """A filter or an order to choose; nothing chosen is the first."""
    return forms.ChoiceField(label=label, required=False, choices=list(choices))


class ServiceFilter(Filter):
    """Services by name."""

    show = choice(_("Show"), [("", _("all")), ("problems", _("with something wrong"))])
    sort = choice(_("Order"), queries.choices(queries.SERVICE_SORTS))


class TargetFilter(Filter):
    """Targets by name, service, environment and health."""

    environment = choice(_("Environment"), [("", _("any")), *Environment.choices])
    health = choice(
        _("Connection"), [("", _("any")), *Target.Health.choices, ("lacking", _("something is missing"))]
    )
    sort = choice(_("Order"), queries.choices(queries.TARGET_SORTS))
    service = forms.CharField(required=False, max_length=80, widget=forms.HiddenInput)


class MigrationFilter(Filter):
    """Migrations of a service by version or description."""

    show = choice(_("Show"), [(key, word) for key, (word, _fits) in queries.MIGRATION_VIEWS.items()])
    sort = choice(_("Order"), queries.choices(queries.MIGRATION_SORTS))


class CoverageFilter(Filter):
    """Migrations of a service by how far their way back has come."""

    show = choice(_("Show"), [(key, word) for key, (word, _fits) in coverage_page.VIEWS.items()])
    sort = choice(_("Order"), queries.choices(coverage_page.SORTS))


class HistoryFilter(Filter):
    """The lines of a target's history by version, description or file."""

    show = choice(_("Show"), [(key, word) for key, (word, _fits) in target_overview.VIEWS.items()])
    sort = choice(_("Order"), [("", _("newest first")), ("oldest", _("oldest first"))])


class ProblemFilter(Filter):
    """Problems of an import by file or words, sort and severity."""

    code = choice(_("Sort"), [])
    severity = choice(_("Taken in"), [("", _("any")), ("error", _("no")), ("warning", _("yes"))])

    def __init__(self, *args: Any, problems: list[dict[str, Any]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.problems = problems
        codes = sorted({problem["code"] for problem in problems})
        self.fields["code"].choices = [  # type: ignore[attr-defined]
            ("", _("any")),
            *((code, code.replace("-", " ")) for code in codes),
        ]

    def matching(self) -> list[dict[str, Any]]:
        """The problems that the URL asks for, in the order of the files."""
        wanted = {name: self.chosen(name) for name in ("code", "severity")}
        text = self.chosen("q").casefold()
        return [
            problem
            for problem in self.problems
            if all(problem[name] == value for name, value in wanted.items() if value)
            and text in f"{problem['path']} {problem['message']}".casefold()
        ]
