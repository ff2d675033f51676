"""Forms of the catalog: filters of its lists, and a new revision of a rollback script with its checks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django import forms
from django.core.validators import MaxLengthValidator
from django.utils.translation import gettext_lazy as _

from approvals import queries, scripts
from approvals.models import Check, Environment, RollbackScript, Stage, Target
from approvals.pages import target_overview

from . import PortalForm

# Empty rows that the form offers below the checks there are.
SPARE_CHECKS = 2


class Filter(PortalForm):
    """A search field; what can't be understood filters nothing."""

    q = forms.CharField(label=_("Search"), required=False, max_length=100)

    def chosen(self, name: str) -> str:
        """The value of a filter that was understood, or nothing."""
        self.is_valid()
        return str(self.cleaned_data.get(name) or "")


def _choice(label: Any, choices: Iterable[tuple[str, Any]]) -> forms.ChoiceField:
    """A filter or an order to choose; nothing chosen is the first."""
    return forms.ChoiceField(label=label, required=False, choices=list(choices))


class ServiceFilter(Filter):
    """Services by name."""

    show = _choice(_("Show"), [("", _("all")), ("problems", _("with something wrong"))])
    sort = _choice(_("Order"), queries.choices(queries.SERVICE_SORTS))


class TargetFilter(Filter):
    """Targets by name, service, environment and health."""

    environment = _choice(_("Environment"), [("", _("any")), *Environment.choices])
    health = _choice(
        _("Connection"), [("", _("any")), *Target.Health.choices, ("lacking", _("something is missing"))]
    )
    sort = _choice(_("Order"), queries.choices(queries.TARGET_SORTS))
    service = forms.CharField(required=False, max_length=80, widget=forms.HiddenInput)


class MigrationFilter(Filter):
    """Migrations of a service by version or description."""

    show = _choice(_("Show"), [(key, word) for key, (word, _fits) in queries.MIGRATION_VIEWS.items()])
    sort = _choice(_("Order"), queries.choices(queries.MIGRATION_SORTS))


class HistoryFilter(Filter):
    """The lines of a target's history by version, description or file."""

    show = _choice(_("Show"), [(key, word) for key, (word, _fits) in target_overview.VIEWS.items()])
    sort = _choice(_("Order"), [("", _("newest first")), ("oldest", _("oldest first"))])


class ProblemFilter(Filter):
    """Problems of an import by file or words, sort and severity."""

    code = _choice(_("Sort"), [])
    severity = _choice(_("Taken in"), [("", _("any")), ("error", _("no")), ("warning", _("yes"))])

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


class ScriptForm(PortalForm):
    """The SQL that takes a migration back."""

    sql = forms.CharField(
        label=_("Rollback SQL"),
        strip=False,
        validators=[MaxLengthValidator(scripts.LONGEST)],
        widget=forms.Textarea(
            attrs={"class": "code-input", "spellcheck": "false", "autocapitalize": "off", "rows": 18}
        ),
        help_text=_(
            "The portal runs it in one transaction and removes the history row itself: your own BEGIN, COMMIT"
            " and DELETE FROM flyway_schema_history are recognised and taken over."
        ),
    )


class CheckForm(forms.Form):
    """One verification query. A row left empty is no check."""

    name = forms.CharField(label=_("Name"), required=False, max_length=120)
    sql = forms.CharField(
        label=_("Query"),
        required=False,
        widget=forms.Textarea(
            attrs={
                "class": "code-input code-input-s",
                "spellcheck": "false",
                "autocapitalize": "off",
                "rows": 3,
            }
        ),
    )
    expected = forms.CharField(label=_("Expected result"), required=False, max_length=200)
    stage = forms.ChoiceField(label=_("When"), choices=Stage.choices, required=False)

    def clean(self) -> dict[str, Any]:
        """A row that says anything must have a name and a query."""
        values = dict(self.cleaned_data)
        if self.is_used:
            for name in ("name", "sql"):
                if not values.get(name):
                    self.add_error(name, _("A check needs a name and a query."))
        return values

    @property
    def is_used(self) -> bool:
        return any(self.cleaned_data.get(name) for name in ("name", "sql", "expected"))

    def as_check(self) -> Check:
        """The check that this row says."""
        values = self.cleaned_data
        return Check(
            values["name"], values["sql"], values["expected"], values["stage"] or Stage.BEFORE_COMMIT
        )


CheckForms = forms.formset_factory(CheckForm, extra=0, max_num=50, absolute_max=50)


CheckRows = forms.BaseFormSet


def check_forms(data: Any = None, script: RollbackScript | None = None) -> CheckRows[CheckForm]:
    """The rows of checks: as posted, or those of a script with empty ones below."""
    if data is not None:
        return CheckForms(data, prefix="checks")
    known: list[dict[str, Any]] = list(script.checks) if script else []
    return CheckForms(initial=[*known, *({} for _row in range(SPARE_CHECKS))], prefix="checks")


def checks_of(rows: CheckRows[CheckForm]) -> list[Check]:
    """The checks of valid rows, in their order."""
    return list(_checks(rows))


def _checks(rows: CheckRows[CheckForm]) -> Iterator[Check]:
    for row in rows:
        if row.is_used:
            yield row.as_check()
