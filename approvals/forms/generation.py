"""The choices of whoever has a way back generated, each with what it costs and what follows from it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, cast

from django import forms
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as now
from django.utils.translation import gettext_lazy as _

from approvals.models import Incident, Service, Target

from . import PortalForm
from .asking import IncidentField
from .choosing import Pick

KEPT_FOR = timedelta(days=90)
_NAME = r'(?:"(?:[^"]|"")+"|[^".=\s]+)'
_FILL = re.compile(rf"\s*({_NAME})\.({_NAME})\.({_NAME})\s*=\s*(\S.*?)\s*\Z")


def _ways(label: Any, ways: list[tuple[str, Any]], help_text: Any = "") -> forms.ChoiceField:
    """Radio buttons; nothing sent is the first way."""
    return forms.ChoiceField(
        label=label, choices=ways, required=False, widget=forms.RadioSelect, help_text=help_text
    )


class GenerateForm(PortalForm):
    """What the generator asks where more than one way leads back."""

    column_order = _ways(
        _("A column that came from the middle of its table"),
        [
            (
                "by size",
                _(
                    "As its size suggests: a table that has at most 8 MB on the target, with all that must be"
                    " read for it, is rebuilt, which is exact and takes a moment; in a larger one, or one of"
                    " unknown size, the column is added again at the end."
                ),
            ),
            (
                "append",
                _("Add it again at the end: instant; equal to before except for the order of columns."),
            ),
            (
                "rebuild",
                _(
                    "Rebuild the table: exact; it is written anew under ACCESS EXCLUSIVE, so nobody reads or"
                    " writes it meanwhile, for a time that grows with its size."
                ),
            ),
        ],
    )
    enum_value = _ways(
        _("A value that was added to an enum"),
        [
            (
                "swap",
                _(
                    "Replace the type: exact; columns of the type are rewritten under ACCESS EXCLUSIVE, and"
                    " it fails where a row uses the value."
                ),
            ),
            ("leave", _("Leave the value: nothing is rewritten; the schema keeps one value more, harmless.")),
        ],
    )
    index = _ways(
        _("An index that comes back"),
        [
            ("plain", _("CREATE INDEX in the transaction: all or nothing; writers wait while it is built.")),
            (
                "concurrently",
                _(
                    "CREATE INDEX CONCURRENTLY outside of it: nobody waits; it runs after the commit and may"
                    " leave an invalid index behind."
                ),
            ),
        ],
    )
    fill_default = _ways(
        _("A column that comes back NOT NULL and has no default"),
        [
            ("ask", _("Use only the values given below; without one the script stops where rows exist.")),
            ("neutral", _("Give all rows the type’s zero value, such as 0 or an empty text.")),
        ],
    )
    fill = forms.CharField(
        label=_("Values for such columns, or for those whose former type does not hold each value"),
        required=False,
        max_length=20_000,
        widget=forms.Textarea(
            attrs={
                "rows": 2,
                "class": "code-input code-input-s",
                "spellcheck": "false",
                "autocomplete": "off",
            }
        ),
        help_text=_(
            "One per line: public.wallets.currency = 'KES'. Right of = stands any SQL expression. One that"
            " names its own column, as in public.wallets.label = left(label, 30), says what becomes of each"
            " value that goes back to another type."
        ),
    )
    keep_data = forms.BooleanField(
        label=_("Keep the data in place instead of dropping it"),
        required=False,
        help_text=_(
            "A table moves to the schema rollback_archive, in a millisecond whatever its size. Of a column"
            " its values are copied there with the key: that takes room and time, and is refused above a"
            " limit. The script that brings them back is written along."
        ),
    )
    purge_after = forms.DateField(
        label=_("Ops may purge what was kept after"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    target = Pick(
        label=_("Count what goes on"),
        required=False,
        queryset=Target.objects.none(),
        to_field_name="name",
        empty_label=_("nowhere"),
        help_text=_(
            "A worker counts rows and values there, reading only. Where the files do not replay, it reads"
            " that schema, too."
        ),
    )

    def __init__(self, *args: Any, targets: QuerySet[Target], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast(Pick, self.fields["target"]).queryset = targets.order_by("environment", "name")
        today = timezone.localdate()
        self.fields["purge_after"].widget.attrs["min"] = str(today)
        self.initial.setdefault("purge_after", today + KEPT_FOR)

    def clean_purge_after(self) -> str:
        """The day as an ISO date; it lies ahead."""
        day = self.cleaned_data["purge_after"]
        if day is not None and day <= timezone.localdate():
            raise forms.ValidationError(now("%(day)s is over."), params={"day": day})
        return day.isoformat() if day else ""

    def clean_fill(self) -> list[dict[str, Any]]:
        """The values, each with its column as schema, table and name."""
        found = []
        for number, line in enumerate(self.cleaned_data["fill"].splitlines(), start=1):
            if not line.strip():
                continue
            match = _FILL.match(line)
            if match is None:
                raise forms.ValidationError(
                    now("Line %(number)d is not schema.table.column = expression."), params={"number": number}
                )
            found.append({"column": [_plain(match[part]) for part in (1, 2, 3)], "value": match[4]})
        return found

    @property
    def options(self) -> dict[str, Any]:
        """The choices as `approvals.generations.ask` takes them."""
        chosen = {name: value for name, value in self.cleaned_data.items() if name != "target"}
        if not chosen["keep_data"]:
            chosen["purge_after"] = ""
        return chosen


def _plain(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def initial_of(options: dict[str, Any]) -> dict[str, Any]:
    """Stored choices as the form begins with them."""
    lines = [
        f"{'.'.join(map(_quoted, each['column']))} = {each['value']}" for each in options.get("fill", ())
    ]
    found = {name: value for name, value in options.items() if value not in ("", None)}
    return found | {"fill": "\n".join(lines)}


def _quoted(name: str) -> str:
    plain = re.fullmatch(r"[a-z_][a-z0-9_]*", name)
    return name if plain else '"' + name.replace('"', '""') + '"'


class HandOverForm(PortalForm):
    """Which incident is told of a corrective migration."""

    incident = IncidentField(
        label=_("Incident"),
        queryset=Incident.objects.none(),
        empty_label=_("choose"),
        help_text=_("Its timeline then names the draft, with its address."),
    )

    def __init__(self, *args: Any, service: Service, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        found = Incident.objects.filter(service=service).order_by("-id")
        cast(IncidentField, self.fields["incident"]).queryset = found
