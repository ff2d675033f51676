"""What Flyway will do next, as pages say it: info, validate and migrate, with outOfOrder and without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from approvals.flyway.forecast import FileFate as Fate
from approvals.flyway.forecast import Forecast
from approvals.flyway.treatment import Treatment
from approvals.known import Known
from approvals.models import FileFate, HistoryTreatment, ImportRun, Status
from approvals.next_deployment import Foreseen, NextDeployment

# So many complaints and files are told; of more, how many.
TOLD = 3
FAIL, WARN, OK = "fail", "warn", "ok"
# From here on the files as they were imported count, and no longer what was planned with them.
DONE = frozenset({Status.EXECUTED})


@dataclass(frozen=True)
class Command:
    """What one of Flyway's commands says: a shape, what it comes to, and its own words."""

    name: str
    tone: str
    says: str
    words: tuple[str, ...] = ()
    more: int = 0


@dataclass(frozen=True)
class Run:
    """The next deployment with one value of outOfOrder. `own`: it is the one of the imported settings."""

    out_of_order: bool
    own: bool
    tone: str
    sentence: str
    comes_back: bool
    commands: tuple[Command, ...] = ()


@dataclass(frozen=True)
class Panel:
    """The next deployment for one treatment of the history and one fate of the file.

    `settings_known` is False where no settings file was imported, so that either run may be theirs.
    `imported`: it is about the files as imported last, not as they are planned.
    """

    treatment: str
    fate: str
    runs: tuple[Run, ...]
    settings_known: bool
    last_import: ImportRun | None
    imported: bool = False

    @property
    def tone(self) -> str:
        """How bad it is: of the runs that may be theirs the worst."""
        tones = {run.tone for run in self.runs if run.own or not self.settings_known}
        return next((tone for tone in (FAIL, WARN) if tone in tones), OK)

    @property
    def comes_back(self) -> bool:
        """Whether a deployment would undo the rollback, with either value."""
        return any(run.comes_back for run in self.runs)

    @property
    def comes_back_only(self) -> Run | None:
        """The run with which it comes back, where it does with one only."""
        found = [run for run in self.runs if run.comes_back]
        return found[0] if len(found) == 1 else None

    @property
    def treatment_words(self) -> str:
        return str(HistoryTreatment(self.treatment).label)

    @property
    def fate_words(self) -> str:
        """What becomes of the file, for people; nothing decided is told as what follows from it."""
        if self.fate == FileFate.UNDECIDED:
            return _("not decided: it stays in the release")
        return str(FileFate(self.fate).label)


def planned(known: NextDeployment, *, treatment: str = "", fate: str | None = None) -> Panel:
    """The panel for a choice; what is not given, or makes no sense, is the request's own choice."""
    rollback = known.rollback
    if treatment not in HistoryTreatment.values:
        treatment = rollback.history_treatment
    if fate not in FileFate.values:
        fate = rollback.file_fate
    runs = [
        known.foresee(treatment=Treatment(treatment), fate=Fate(fate or Fate.KEPT), out_of_order=order)
        for order in (False, True)
    ]
    return _panel(known, treatment, fate or "", runs)


def imported(known: NextDeployment) -> Panel:
    """The panel for the files as they were imported last."""
    runs = [known.foresee_imported(out_of_order=order) for order in (False, True)]
    rollback = known.rollback
    return _panel(known, rollback.history_treatment, rollback.file_fate, runs, is_imported=True)


def of_rollback(known: NextDeployment) -> Panel:
    """What the page of a rollback shows: as planned, and once it was executed as imported."""
    after = known.rollback.status in DONE and known.last_import is not None
    return imported(known) if after else planned(known)


def of_known(known: Known) -> Panel | None:
    """The same from what is known of a rollback already; None while it has no target."""
    return of_rollback(known.next_deployment) if known.next_deployment else None


def _panel(
    known: NextDeployment, treatment: str, fate: str, runs: Sequence[Foreseen], *, is_imported: bool = False
) -> Panel:
    settings = known.deployment
    return Panel(
        treatment=treatment,
        fate=fate,
        runs=tuple(_run(each, own=each.out_of_order == settings.out_of_order) for each in runs),
        settings_known=settings.known,
        last_import=known.last_import,
        imported=is_imported,
    )


def _run(foreseen: Foreseen, *, own: bool) -> Run:
    found = foreseen.forecast
    tone = WARN if found is None or found.blocked else OK
    return Run(
        out_of_order=foreseen.out_of_order,
        own=own,
        tone=FAIL if foreseen.comes_back else tone,
        sentence=foreseen.sentence,
        comes_back=foreseen.comes_back,
        commands=_commands(found) if found else (),
    )


def _commands(found: Forecast) -> tuple[Command, ...]:
    seen = found.outlook
    if seen.refusal is not None:
        refused = Command("info", FAIL, _("Refuses."), (seen.refusal.message,))
        return (refused,)
    return _info(found), _validate(found), _migrate(found)


def _info(found: Forecast) -> Command:
    words = tuple(
        f"V{version}: {state.value}"
        if state is not None
        else _("V%(version)s: not shown") % {"version": version}
        for version, state in found.states.items()
    )
    return Command("info", FAIL if found.comes_back else OK, "", words[:TOLD], max(len(words) - TOLD, 0))


def _validate(found: Forecast) -> Command:
    complaints = found.outlook.complaints
    if not complaints:
        return Command("validate", OK, _("Passes."))
    words = tuple(complaint.message for complaint in complaints[:TOLD])
    waits = found.outlook.run.refusal is None  # migrate lets pass what it is about to apply
    says = _("Fails until migrate has run:") if waits else _("Fails:")
    return Command("validate", OK if waits else WARN, says, words, max(len(complaints) - TOLD, 0))


def _migrate(found: Forecast) -> Command:
    run = found.outlook.run
    if run.refusal is not None:
        return Command("migrate", WARN, _("Refuses."), tuple(run.refusal.message.splitlines()[:TOLD]))
    if run.stops is not None:
        done = tuple(_("applies %(file)s") % {"file": file.path} for file in run.files[: TOLD - 1])
        return Command("migrate", WARN, _("Stops:"), (*done, run.stops.message), len(run.files) - len(done))
    if not run.files:
        return Command("migrate", OK, _("Has nothing to do."))
    words = tuple(file.path for file in run.files[:TOLD])
    tone = FAIL if found.comes_back else OK
    return Command("migrate", tone, _("Applies:"), words, max(len(run.files) - TOLD, 0))
