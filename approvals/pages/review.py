"""What the review page of a rollback says: statement by statement, what goes, the evidence, the decisions.

Everything is read from records, never worked out anew: what people see here is what the digests cover.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from approvals import break_glass, checklist, filling, gates, goes, policy, workflow
from approvals.actions import Action, available_actions, why_nothing
from approvals.analysis import Risk, StepKind
from approvals.gates import Gate
from approvals.known import Known
from approvals.models import (
    Approval,
    Backup,
    BackupException,
    BreakGlass,
    Check,
    Evidence,
    Execution,
    HistoryTreatment,
    Job,
    PolicyRule,
    RollbackItem,
    RollbackRequest,
    RollbackTarget,
    Status,
    Thread,
    User,
)

from . import exception_page, fleet_page, ground, proof_panel, rollback_queries
from .conversation import Talk, talk_about
from .gone import Gone, told
from .lockchart import LockChart, beyond_plan, lock_chart
from .proof_panel import ProofView
from .statements import Line, Lock, back_lines, forward_lines, strongest_locks

# Where nothing waits for the gates any more: they would be judged by facts of after it.
GATES_PAST = workflow.ENDED | {Status.EXECUTING}
# Actions of the decision bar; the others stand where they belong, with their own reasons.
BAR = ("submit", "approve", "start", "request_changes", "reject", "reopen", "withdraw")


@dataclass(frozen=True)
class ItemSheet:
    """One migration of the request, with what it did and what its script does, side by side."""

    item: RollbackItem
    pin: dict[str, Any] | None
    forward: list[Line]
    back: list[Line]
    taken_over: list[dict[str, Any]]
    problems: list[dict[str, Any]]
    notes: list[str]
    checks: list[Check]
    authors: list[str]
    talk: Talk
    # Completeness and proof of the script, against the text that is applied.
    found: ProofView | None
    # Where a comment on a line is written, the line's number to be appended; empty where nobody may.
    say_at: str

    @property
    def line_prefix(self) -> str:
        """Makes the lines of the whole script link targets: #s1-12."""
        return f"s{self.item.position}-"


@dataclass(frozen=True)
class Proofs:
    """The evidence for the change as it is now. `running` is a rehearsal that is under way."""

    facts: Evidence | None
    facts_job: Job | None
    rehearsal: Evidence | None
    rehearsed_by: Execution | None
    running: Execution | None
    backup: Evidence | None
    dump: Backup | None
    outdated: bool


@dataclass(frozen=True)
class Sheet:
    """Everything the review page shows; each part is read once, when it is asked for."""

    rollback: RollbackRequest
    user: User
    known: Known
    threads: Sequence[Thread] = ()

    @property
    def target(self) -> RollbackTarget | None:
        return next(iter(self.known.rollback_targets), None)

    @property
    def rule(self) -> PolicyRule:
        return self.known.rule

    @cached_property
    def fleet(self) -> fleet_page.View | None:
        """Of a fleet: how its targets stand."""
        known = self.known
        return fleet_page.read(self.rollback, known.rollback_targets) if known.is_fleet else None

    @cached_property
    def items(self) -> list[ItemSheet]:
        """The migrations in order, with their scripts and proofs."""
        scripts = [item.script for item in self.known.items if item.script]
        used = {item.script_id: item.revision_id for item in self.known.items if item.script_id}
        found = proof_panel.read_all(scripts, used, self.known.newest_proofs)
        speaks = "comment" in self.actions
        return [
            _item_sheet(item, pin, self.threads, found.get(item.script_id or 0), speaks=speaks)
            for item, pin in _with_pins(self.known.items, self.target.pins if self.target else [])
        ]

    @cached_property
    def gates(self) -> list[Gate]:
        return _gates(self.rollback, self.known)

    @cached_property
    def points(self) -> list[checklist.Point]:
        return checklist.points(self.rollback, self.known)

    @property
    def signatures(self) -> list[policy.Signature[Approval]]:
        return self.known.signatures

    @cached_property
    def decisions(self) -> list[Approval]:
        return list(self.rollback.approvals.all())

    @cached_property
    def losses(self) -> list[str]:
        return goes.phrases(self.rollback, self.known.evidence(Evidence.Kind.FACTS), self.known.items)

    @cached_property
    def gone(self) -> list[Gone]:
        """What goes, one by one, as a worker has counted it; [] where nothing goes or nobody has counted."""
        facts = self.known.evidence(Evidence.Kind.FACTS)
        return [told(each) for each in facts.data.get(goes.KEY, ())] if facts and facts.holds else []

    @cached_property
    def locks(self) -> list[Lock]:
        return strongest_locks(line for item in self.items for line in item.back)

    @cached_property
    def attempts(self) -> list[Execution]:
        return rollback_queries.attempts(self.rollback)

    @cached_property
    def proofs(self) -> Proofs:
        return _proofs(self.known, self.attempts)

    @cached_property
    def actions(self) -> dict[str, Action]:
        return available_actions(self.rollback, self.user, self.known)

    @property
    def why_nothing(self) -> str:
        return "" if set(self.actions) - {"comment"} else why_nothing(self.user)

    @property
    def gates_are_past(self) -> bool:
        """True once an attempt runs or everything has ended: facts moved on, and nothing waits for them."""
        return self.rollback.status in GATES_PAST

    @property
    def missing(self) -> list[Gate]:
        return [gate for gate in self.gates if not gate.holds]

    @property
    def forced(self) -> list[Gate]:
        """Those that let pass by break-glass only."""
        return [gate for gate in self.gates if gate.forced]

    @property
    def holding(self) -> list[Gate]:
        return [gate for gate in self.gates if gate.holds and not gate.forced]

    @property
    def glasses(self) -> list[BreakGlass]:
        """Uses of break-glass that were confirmed, and what waits for a second person."""
        waits = self.rollback.status in break_glass.ASKABLE
        return [
            glass
            for glass in self.known.break_glass
            if glass.confirmed_at or (waits and glass.waits and glass.counts_for(self.rollback))
        ]

    @property
    def exceptions(self) -> list[BackupException]:
        """Exceptions instead of a backup that count, and what waits for signatures."""
        return exception_page.told(self.rollback, self.known.backup_exceptions)

    @property
    def given(self) -> int:
        """How many of the signatures were given."""
        return sum(1 for line in self.signatures if line.approval is not None)

    @property
    def statements(self) -> int:
        return sum(len(item.back) for item in self.items)

    @property
    def alone(self) -> int:
        """How many of them run alone, since PostgreSQL refuses them inside a transaction."""
        return sum(line.how != StepKind.TRANSACTIONAL for item in self.items for line in item.back)

    @property
    def loss(self) -> str:
        """What goes, as one figure: the counted number of one thing, else how many things lose data."""
        if len(self.losses) == 1:
            return self.losses[0].partition(": ")[2]
        return str(len(self.losses))

    @property
    def loss_of(self) -> str:
        """Of what `loss` is the figure."""
        if not self.losses:
            return _("nothing is removed")
        return ", ".join(phrase.partition(": ")[0] for phrase in self.losses)

    @property
    def real(self) -> Execution | None:
        """The newest real execution."""
        return next((e for e in self.attempts if e.purpose == Execution.Purpose.REAL), None)

    @property
    def ground(self) -> ground.Ground | None:
        """What the rehearsal stood on."""
        return ground.read(self.proofs.rehearsal, str(self.rollback.service))

    @property
    def lock_chart(self) -> LockChart | None:
        """The locks that the rehearsal was seen with."""
        run = self.proofs.rehearsed_by
        return lock_chart(run.locks, until=run.finished_at or run.queued_at) if run else None

    @property
    def leaves(self) -> bool:
        """Does any script leave something on purpose, or go without a proof?"""
        return any(
            each.item.script and (each.item.script.left or each.item.script.unproven) for each in self.items
        )

    @property
    def beyond_plan(self) -> list[str]:
        """What the rehearsal locked beyond what the statements say."""
        chart = self.lock_chart
        history = self.target.target.history_table if self.target else ""
        plan = {lock.relation: lock.mode for lock in self.locks}
        return beyond_plan(chart, plan, besides=history) if chart else []

    @property
    def heading(self) -> str:
        """What is asked for, as a title."""
        if self.known.is_fleet:
            return _("Roll back %(versions)s on %(count)d targets of %(service)s") % {
                "versions": self.versions or _("nothing"),
                "count": len(self.known.rollback_targets),
                "service": self.rollback.service,
            }
        return _("Roll back %(versions)s on %(target)s") % {
            "versions": self.versions or _("nothing"),
            "target": self.target.target.name if self.target else _("no target"),
        }

    @property
    def target_name(self) -> str:
        return self.target.target.name if self.target else ""

    @property
    def versions(self) -> str:
        return ", ".join(str(item.migration) for item in self.known.items)

    @property
    def why_not(self) -> list[str]:
        """Why buttons that this person would expect in the decision bar are not there; each reason once."""
        labels: dict[str, list[str]] = {}
        for key in BAR:
            if key in self.actions and not self.actions[key].allowed:
                labels.setdefault(self.actions[key].why_not, []).append(self.actions[key].label.rstrip("…"))
        found = [f"{', '.join(names)}: {why}" for why, names in labels.items()]
        return [*found, self.why_nothing] if self.why_nothing else found

    @property
    def has_bar(self) -> bool:
        """Whether the decision bar has anything to say: not to who only reads what nobody decides on."""
        waits = self.rollback.status in (Status.IN_REVIEW, Status.APPROVED, Status.EXECUTING)
        return waits or any(key in self.actions for key in BAR)

    @property
    def other_decisions(self) -> list[Approval]:
        """Decisions that fill no signature line: voided ones, rejections, requests for changes."""
        filled = {line.approval.pk for line in self.signatures if line.approval}
        return [decision for decision in self.decisions if decision.pk not in filled]

    @property
    def deadline(self) -> datetime | None:
        """When the time to decide or to execute is over, while that clock runs."""
        return deadline(self.rollback)

    @property
    def deadline_word(self) -> str:
        return _("Execute until") if self.rollback.status == Status.APPROVED else _("Review ends")


def deadline(rollback: RollbackRequest) -> datetime | None:
    """When the time to decide or to execute is over; None where no such clock runs."""
    return rollback.expires_at if rollback.status in (Status.IN_REVIEW, Status.APPROVED) else None


def sheet(rollback: RollbackRequest, user: User, threads: Sequence[Thread] = ()) -> Sheet:
    """The page of a rollback that came from `rollback_queries.with_everything`.

    A fixed number of queries, however many items and statements it has; pages that show less ask less.
    `threads` come to stand at the statements that they are about.
    """
    known = Known(
        rollback,
        items=rollback.items.all(),
        rollback_targets=rollback.rollback_targets.all(),
        decisions=rollback.approvals.all(),
    )
    return Sheet(rollback, user, known, threads)


def _gates(rollback: RollbackRequest, known: Known) -> list[Gate]:
    """The gates that somebody still waits for; behind a rollback that is only the next deployment."""
    found = gates.gates(rollback, known)
    if rollback.status not in GATES_PAST:
        return found
    runs = rollback.status in (Status.EXECUTING, Status.EXECUTED)
    return [gate for gate in found if gate.is_for_later and runs]


def _with_pins(
    items: Sequence[RollbackItem], pins: Sequence[dict[str, Any]]
) -> list[tuple[RollbackItem, dict[str, Any] | None]]:
    return [(item, pins[number] if number < len(pins) else None) for number, item in enumerate(items)]


def _item_sheet(
    item: RollbackItem,
    pin: dict[str, Any] | None,
    threads: Sequence[Thread],
    found: ProofView | None,
    *,
    speaks: bool,
) -> ItemSheet:
    plan = filling.plan_of(item)
    say = reverse("rollback_comment", args=[item.rollback_id])
    back = back_lines(plan)
    return ItemSheet(
        item=item,
        pin=pin,
        forward=forward_lines(item.revision.analysis),
        back=back,
        taken_over=plan.get("taken_over", []),
        problems=plan.get("problems", []),
        notes=plan.get("notes", []),
        checks=item.script.check_list() if item.script else [],
        authors=[str(author) for author in item.script.authors.all()] if item.script else [],
        talk=talk_about(item, back, threads),
        found=found,
        say_at=f"{say}?script={item.script_id}&line=" if speaks and item.script_id else "",
    )


def _proofs(known: Known, attempts: Sequence[Execution]) -> Proofs:
    rehearsal = known.evidence(Evidence.Kind.REHEARSAL)
    backup = known.evidence(Evidence.Kind.BACKUP)
    by_id = {str(execution.pk): execution for execution in attempts}
    rehearsals = [e for e in attempts if e.purpose == Execution.Purpose.REHEARSAL]
    return Proofs(
        facts=known.evidence(Evidence.Kind.FACTS),
        facts_job=known.facts_job,
        rehearsal=rehearsal,
        rehearsed_by=by_id.get(rehearsal.data.get("execution", "")) if rehearsal else None,
        running=next((e for e in rehearsals if e.is_open), None),
        backup=backup,
        dump=Backup.objects.filter(pk=backup.data.get("backup")).first() if backup else None,
        outdated=rehearsal is None and any(not e.is_open for e in rehearsals),
    )


def covers(page: Sheet) -> list[str]:
    """What an approval covers, in words: what runs, where, what goes from the history, under which rules."""
    rollback, target = page.rollback, page.target
    words = [
        _("Taking back %(versions)s with exactly the statements shown, in this order, in one transaction.")
        % {"versions": page.versions}
        if not page.alone
        else _(
            "Taking back %(versions)s with exactly the statements shown, in this order: %(alone)d run alone, "
            "each for good once it ran, the others in one transaction."
        )
        % {"versions": page.versions, "alone": page.alone},
        _("The checks shown here decide whether it commits."),
    ]
    if page.known.is_fleet and target is not None:
        words.append(
            _(
                "On %(count)d targets, each named here by its system and object id, with its own "
                "history rows; "
                "%(canary)s is the canary, and nothing else begins before it is done."
            )
            % {"count": len(page.known.rollback_targets), "canary": target.target.name}
        )
    elif target is not None:
        words.append(
            _("On %(target)s only: database %(dbname)s of system %(system)s, object id %(oid)s.")
            % {
                "target": target.target.name,
                "dbname": target.target.dbname,
                "system": target.target.system_identifier or _("not read yet"),
                "oid": target.target.database_oid or _("not read yet"),
            }
        )
        words.append(_rows_covered(rollback, target.pins))
    if rollback.policy_version is not None:
        words.append(
            _("At risk %(risk)s or lower, under policy version %(policy)s. A higher risk stops it.")
            % {"risk": Risk(rollback.risk or 5).name, "policy": rollback.policy_version.number}
        )
    words.append(_("Nothing else: any edit, another target or one changed byte voids it."))
    return words


def _rows_covered(rollback: RollbackRequest, pins: Sequence[dict[str, Any]]) -> str:
    of = {"ranks": ", ".join(str(pin["installed_rank"]) for pin in pins)}
    if rollback.history_treatment == HistoryTreatment.MARK:
        return _("Keeping the history rows of rank %(ranks)s, with a DELETE row behind for each.") % of
    return _("Deleting exactly the history rows of rank %(ranks)s, as they were when it was submitted.") % of
