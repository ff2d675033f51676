"""The form of a rollback script: its SQL, typed or from a file, and its checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import MaxLengthValidator
from django.utils.translation import gettext as now
from django.utils.translation import gettext_lazy as _

from approvals import analysis, scripts
from approvals.analysis.report import not_utf8
from approvals.models import Check, Stage

from . import PortalForm

Json = dict[str, Any]
# Empty rows that the form offers below the checks there are.
SPARE_CHECKS = 2
# How many of its problems a script is told at once.
TOLD = 20
EDITOR = {"spellcheck": "false", "autocapitalize": "off", "autocomplete": "off", "wrap": "off"}


class ScriptForm(PortalForm):
    """The SQL that takes a migration back. What can't run is stored only on a second, explicit press.

    `plan` reads a text as the script that it is to be (`filling.plan_text`).
    """

    sql = forms.CharField(
        label=_("Rollback SQL"),
        strip=False,
        validators=[MaxLengthValidator(scripts.LONGEST)],
        widget=forms.Textarea(attrs=EDITOR | {"class": "code-input", "rows": 18}),
        help_text=_(
            "The portal runs it in one transaction (what refuses one runs alone) and removes the history row"
            " itself: your own BEGIN, COMMIT and DELETE FROM flyway_schema_history are recognised and taken"
            " over."
        ),
    )
    sql_file = forms.FileField(
        label=_("Or take the SQL from a file"),
        required=False,
        widget=forms.FileInput(attrs={"accept": ".sql,text/plain"}),
        help_text=_("Its text is put into the field above, for you to read before it is stored."),
    )

    unproven = forms.CharField(
        label=_("Why it may go without a proof"),
        required=False,
        max_length=scripts.LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Only where nothing can be proven. Every approver reads it."),
    )

    def __init__(self, *args: Any, plan: Callable[[str], Json], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.plan = plan
        self.loaded = False
        self.problems: tuple[analysis.Problem, ...] = ()
        self._unreadable = ""
        if self.is_bound and (file := self.files.get("sql_file")):
            self._load(file)

    def _load(self, file: UploadedFile[Any]) -> None:
        """Put the text of a file into the SQL field, or keep why that can't be."""
        try:
            text = _text_of(file)
        except ValidationError as error:
            self._unreadable = error.messages[0]
            return
        data = self.data.copy()  # type: ignore[attr-defined]
        data["sql"] = text
        self.data, self.loaded = data, True

    def clean_sql_file(self) -> None:
        """A file is never stored unseen: its text is in the SQL field now."""
        if self._unreadable:
            raise ValidationError(self._unreadable)

    def clean_sql(self) -> str:
        """Say of every statement that can't run where it stands and why."""
        text: str = self.cleaned_data["sql"]
        self.problems = tuple(analysis.Problem(**each) for each in self.plan(text)["problems"])
        if self.problems and "anyway" not in self.data:
            raise ValidationError([place(problem) for problem in self.problems[:TOLD]])
        return text

    def is_valid(self) -> bool:
        """False also where the text of a file was put into the field just now."""
        return super().is_valid() and not self.loaded


def place(problem: analysis.Problem) -> str:
    """A problem with where it is: `line 3, column 7: …`."""
    return now("line %(line)d, column %(column)d: %(message)s") % {
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
    }


def _text_of(file: UploadedFile[Any]) -> str:
    """The text of an uploaded script. Raises ValidationError where it is too long or not UTF-8."""
    if file.size is None or file.size > scripts.LONGEST:
        raise ValidationError(now("%(name)s is larger than a million bytes.") % {"name": file.name})
    data = file.read()
    try:
        return str(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        pass
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise ValidationError(f"{file.name}, {place(not_utf8(data, error.start))}") from None
    raise AssertionError("a text is UTF-8 with and without its mark")


class CheckForm(forms.Form):
    """One verification query. A row left empty is no check."""

    name = forms.CharField(label=_("Name"), required=False, max_length=120)
    sql = forms.CharField(
        label=_("Query"),
        required=False,
        widget=forms.Textarea(attrs=EDITOR | {"class": "code-input code-input-s", "rows": 3}),
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


def check_forms(data: Any = None, known: Iterable[dict[str, Any]] = ()) -> CheckRows[CheckForm]:
    """The rows of checks: as posted, or the known ones with empty ones below."""
    if data is not None:
        return CheckForms(data, prefix="checks")
    return CheckForms(initial=[*known, *({} for _row in range(SPARE_CHECKS))], prefix="checks")


def checks_of(rows: CheckRows[CheckForm]) -> list[Check]:
    """The checks of valid rows, in their order."""
    return list(_checks(rows))


def _checks(rows: CheckRows[CheckForm]) -> Iterator[Check]:
    for row in rows:
        if row.is_used:
            yield row.as_check()
