"""Forms of approvers and ops: decide on what was read, start it. Each carries the digest that was shown."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.utils.translation import gettext_lazy as _

from approvals import decisions
from approvals.analysis import Risk
from approvals.known import Known
from approvals.models import Approval, Role, RollbackRequest, User

from . import PortalForm


class DecisionForm(PortalForm):
    """One person's decision on the request digest that their page showed."""

    digest = forms.CharField(widget=forms.HiddenInput)
    # The newest event that the page knew of.
    seen = forms.IntegerField(widget=forms.HiddenInput, required=False, min_value=0, max_value=2**62)
    role = forms.TypedChoiceField(label=_("You sign as"), coerce=Role, widget=forms.RadioSelect)
    # The tick carries the words it stands for: a page with older words can't acknowledge newer ones.
    ticked = forms.MultipleChoiceField(
        label=_("What stays lost"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        error_messages={
            "invalid_choice": _("What stays lost was counted anew. Read it again, then tick it.")
        },
    )
    typed = forms.CharField(
        label=_("Type what stays lost, in these words"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "autocomplete": "off", "spellcheck": "false"}),
    )
    comment = forms.CharField(label=_("Comment"), required=False, widget=forms.Textarea(attrs={"rows": 3}))

    def __init__(
        self,
        *args: Any,
        rollback: RollbackRequest,
        user: User,
        decision: Approval.Decision,
        known: Known | None = None,
        **kwargs: Any,
    ) -> None:
        """`known` spares reading the records of the rollback again."""
        super().__init__(*args, **kwargs)
        known = known or Known(rollback)
        self.rollback = rollback
        self._offer_roles(decisions.roles_to_give(rollback, user, known))
        approves = decision == Approval.Decision.APPROVE
        self.words = decisions.acknowledgement(rollback, known) if approves else ""
        self._ask_for_words(rollback)
        if decision != Approval.Decision.APPROVE:
            self.fields["comment"].label = _("Say why: the requester needs to know what to do")
            self.fields["comment"].required = True

    def _offer_roles(self, roles: list[Role]) -> None:
        field = cast(forms.TypedChoiceField, self.fields["role"])
        field.choices = [(role.value, role.label) for role in roles]
        field.initial = roles[0].value if roles else None
        if len(roles) == 1:
            field.widget = forms.HiddenInput()

    def _ask_for_words(self, rollback: RollbackRequest) -> None:
        """HIGH ticks what stays lost, CRITICAL types it, below nothing is asked."""
        critical = (rollback.risk or Risk.CRITICAL) >= Risk.CRITICAL
        if not self.words or critical:
            del self.fields["ticked"]
        else:
            ticked = cast(forms.MultipleChoiceField, self.fields["ticked"])
            ticked.choices = [(self.words, _("I have read it: %(words)s") % {"words": self.words})]
        if not self.words or not critical:
            del self.fields["typed"]
        else:
            self.fields["typed"].help_text = self.words

    @property
    def acknowledged(self) -> str:
        """What the person ticked or typed, as the domain compares it."""
        ticked: list[str] = self.cleaned_data.get("ticked", [])
        return ticked[0] if ticked else str(self.cleaned_data.get("typed", ""))


class StartForm(PortalForm):
    """The start of a real execution. For CRITICAL the target's name is typed."""

    digest = forms.CharField(widget=forms.HiddenInput)
    name = forms.CharField(required=False, widget=forms.TextInput(attrs={"autocomplete": "off"}))

    def __init__(self, *args: Any, rollback: RollbackRequest, target: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.target = target
        if (rollback.risk or Risk.CRITICAL) < Risk.CRITICAL:
            del self.fields["name"]
        else:
            self.fields["name"].label = _("Type the name of the target: %(target)s") % {"target": target}

    def clean_name(self) -> str:
        """The name as typed; anything but the target's is an error."""
        name = self.cleaned_data["name"].strip()
        if name != self.target:
            raise forms.ValidationError(
                _("This is not the target's name. Type %(target)s."), params={"target": self.target}
            )
        return str(name)
