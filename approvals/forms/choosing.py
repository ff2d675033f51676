"""One thing of many in a form: chosen from a list while there are few, named by typing once there are many.

A list of a thousand options is slow to make and slow to use. Above OFFERED things the field is a text field
that proposes the first of them; every other one is taken by its name as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import MultipleObjectsReturned, ObjectDoesNotExist, ValidationError
from django.db.models import Model, Q, QuerySet
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as now_
from django.utils.translation import gettext_lazy as _

OFFERED = 100


class Proposing(forms.TextInput):
    """A text field with proposals."""

    def __init__(self, proposals: list[str], attrs: dict[str, Any]) -> None:
        super().__init__(attrs | {"autocomplete": "off"})
        self.proposals = proposals

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        """The field, followed by what it proposes."""
        known = f"{(attrs or {}).get('id') or name}_known"
        field = super().render(name, value, {**(attrs or {}), "list": known}, renderer)
        options = format_html_join("", '<option value="{}"></option>', ((each,) for each in self.proposals))
        return format_html('{}<datalist id="{}">{}</datalist>', field, known, options)


class Pick(forms.ModelChoiceField):  # type: ignore[type-arg]
    """One thing of a queryset. Typed, it is found by `to_field_name`, or by what `find` makes of its label.

    Where neither is a key, give the initial thing itself: its key alone has no name to show.
    """

    default_error_messages = {
        "none_such": _("There is no “%(value)s” to choose here. Type it as the field proposes it.")
    }

    def __init__(self, *args: Any, find: Callable[[str], Q] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.find = find
        self.typed = False

    def get_bound_field(self, form: forms.BaseForm, field_name: str) -> forms.BoundField:
        """The field in one of its two ways; one query, whichever it is."""
        offered = list(self._things[: OFFERED + 1])
        if len(offered) > OFFERED:
            self.typed = True
            nothing = {"placeholder": now_("%(nothing)s, or type a name") % {"nothing": self.empty_label}}
            names = [self.name_of(each) for each in offered[:OFFERED]]
            self.widget = Proposing(names, nothing | self.widget.attrs)
            self.widget.is_required = self.required
        else:
            listed = [(self.prepare_value(each), self.label_from_instance(each)) for each in offered]
            self.choices = [("", self.empty_label), *listed]
        return super().get_bound_field(form, field_name)

    @property
    def _things(self) -> QuerySet[Model]:
        found: QuerySet[Model] = self.queryset  # type: ignore[assignment]  # every form sets one
        return found

    def name_of(self, thing: Model) -> str:
        """What a thing is called by where it is typed."""
        if self.to_field_name:
            return str(thing.serializable_value(self.to_field_name))
        return str(self.label_from_instance(thing))

    def prepare_value(self, value: Any) -> Any:
        """A thing as the field shows it."""
        return (
            self.name_of(value) if self.typed and isinstance(value, Model) else super().prepare_value(value)
        )

    def to_python(self, value: Any) -> Model | None:
        """The thing that was chosen or named."""
        if not self.typed or value in self.empty_values or isinstance(value, Model):
            return super().to_python(value)
        self.validate_no_null_characters(value)
        text = str(value).strip()
        if not text:
            return None
        wanted = self.find(text) if self.find else Q(**{str(self.to_field_name): text})
        try:
            return self._things.get(wanted)
        except (ObjectDoesNotExist, MultipleObjectsReturned):
            message = self.error_messages["none_such"]
            raise ValidationError(message, code="none_such", params={"value": text}) from None
