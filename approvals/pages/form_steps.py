"""The steps in which a rollback is asked for: which there are, how each stands, what is missing in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db.models import TextChoices
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from approvals import gates
from approvals.flyway.versions import Version
from approvals.gates import Gate, Needed
from approvals.models import RollbackRequest, Status, Target

from .rollback_queries import Applied, Choice


class Step(TextChoices):
    """In the order in which the form asks; the value is part of the step's address."""

    TARGET = "target", gettext_lazy("Target")
    MIGRATIONS = "migrations", gettext_lazy("Migrations")
    REASON = "reason", gettext_lazy("Incident and reason")
    SCRIPTS = "scripts", gettext_lazy("Scripts and checks")
    CHECKLIST = "checklist", gettext_lazy("Checklist")
    FILE = "file", gettext_lazy("File and deployments")
    REVIEW = "review", gettext_lazy("Review and submit")

    @property
    def following(self) -> Step:
        """The step after this one; the last one leads to itself."""
        steps = list(Step)
        return steps[min(steps.index(self) + 1, len(steps) - 1)]


# Where in the form each gate can be made to hold; the others are supplied on the rollback's own page.
STEP_OF_GATE = {
    "history": Step.MIGRATIONS,
    "reason": Step.REASON,
    "forward_fix": Step.REASON,
    "script": Step.SCRIPTS,
    "checks": Step.SCRIPTS,
    "transactional": Step.SCRIPTS,
    "completeness": Step.SCRIPTS,
    "proof": Step.SCRIPTS,
    "facts": Step.CHECKLIST,
    "checklist": Step.CHECKLIST,
    "file": Step.FILE,
}


@dataclass(frozen=True)
class StepLine:
    """One step in the list beside the form. `state` is done, missing, later or open (nothing to be done)."""

    step: Step
    state: str
    here: bool
    url: str = ""

    @property
    def label(self) -> str:
        return str(self.step.label)

    @property
    def number(self) -> int:
        return list(Step).index(self.step) + 1


@dataclass(frozen=True)
class Missing:
    """A gate that does not hold yet, and where to supply it."""

    gate: Gate
    url: str

    @property
    def before_submit(self) -> bool:
        """Must it hold before the request can be submitted, or only later?"""
        return self.gate.needed <= Needed.SUBMIT


def url_of(rollback: RollbackRequest, step: Step) -> str:
    """The address of a step of this rollback's form."""
    return reverse("rollback_form", args=[rollback.pk, step.value])


def lines(rollback: RollbackRequest, here: Step, judged: Sequence[Gate] | None = None) -> list[StepLine]:
    """Every step of a rollback that exists, as its gates stand."""
    lacking = {STEP_OF_GATE.get(gate.key, Step.REVIEW) for gate in _unmet(rollback, judged)}
    found = []
    for step in Step:
        if step == Step.REVIEW:
            state = "later" if rollback.status == Status.DRAFT else "done"
        else:
            state = "missing" if step in lacking else "done"
        found.append(StepLine(step, state, step == here, url_of(rollback, step)))
    return found


def lines_before(here: Step, target: Target | None = None) -> list[StepLine]:
    """The steps while there is no rollback yet: it comes to be when its migrations are chosen."""
    new = reverse("rollback_new")
    urls = {Step.TARGET: new, Step.MIGRATIONS: f"{new}?target={target.name}" if target else ""}
    done = {Step.TARGET} if target else set()
    return [
        StepLine(step, "done" if step in done else "later", step == here, urls.get(step, "")) for step in Step
    ]


def missing(rollback: RollbackRequest, judged: Sequence[Gate] | None = None) -> list[Missing]:
    """What does not hold yet but for decisions, each with the address where it is supplied; what is needed
    first comes first."""
    detail = reverse("rollback_detail", args=[rollback.pk])
    found = [
        Missing(gate, url_of(rollback, STEP_OF_GATE[gate.key]) if gate.key in STEP_OF_GATE else detail)
        for gate in _unmet(rollback, judged)
        if gate.key != "approvals"
    ]
    return sorted(found, key=lambda each: each.gate.needed)


def _unmet(rollback: RollbackRequest, judged: Iterable[Gate] | None) -> list[Gate]:
    return [gate for gate in judged or gates.gates(rollback) if not gate.holds]


def first_open(rollback: RollbackRequest) -> Step:
    """The first step in which something is missing; the last one where nothing is."""
    return next((line.step for line in lines(rollback, Step.REVIEW) if line.state == "missing"), Step.REVIEW)


@dataclass(frozen=True)
class Along:
    """One migration that goes, and why: chosen, or because it stands on one that goes."""

    choice: Choice
    chosen: bool
    why: str


def along(applied: Applied, down_to: str) -> list[Along]:
    """Everything that goes when the rollback goes down to this version, newest first, each with why."""
    found = applied.down_to(down_to)
    lowest = next((each for each in found if each.version == down_to), None)
    return [Along(each, each == lowest, _why(each, lowest)) for each in found if lowest is not None]


def _why(choice: Choice, lowest: Choice | None) -> str:
    if lowest is None or choice == lowest:
        return _("You chose it.")
    if Version.parse(choice.version) > Version.parse(lowest.version):
        return _("It is newer than V%(version)s and applied, so it may stand on what goes.") % {
            "version": lowest.version
        }
    return _("It was applied after V%(version)s (rank %(rank)s), so it may stand on what goes.") % {
        "version": lowest.version,
        "rank": choice.rank,
    }
