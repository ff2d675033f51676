"""What is on record about one rollback, each thing read at most once: gates, actions and pages ask this."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from . import digests, grades, history, jobs, policy, proofs, together, windows
from .bindings import Present
from .flyway.history import Rows
from .models import (
    Approval,
    BackupException,
    BreakGlass,
    CalendarEntry,
    ChecklistEntry,
    Evidence,
    Job,
    PolicyRule,
    Proof,
    Role,
    RollbackItem,
    RollbackRequest,
    RollbackTarget,
    Schedule,
    User,
)
from .next_deployment import NextDeployment

if TYPE_CHECKING:
    from .gates import Gate

# So many uses of break-glass are read of one rollback; each is over within a day.
LATEST = 20


class Known:
    """The records of one rollback as they are when they are first asked for; never kept over a change.

    `items` (in order, with migration, revision and script), `rollback_targets` (with target and service),
    `decisions` (of `policy.judged`) and `rule` (of `policy.rule_for`) spare reading what the caller has read
    already. `only` judges one of several targets: the one that is about to begin.
    """

    def __init__(
        self,
        rollback: RollbackRequest,
        *,
        items: Iterable[RollbackItem] | None = None,
        rollback_targets: Iterable[RollbackTarget] | None = None,
        decisions: Iterable[Approval] | None = None,
        only: RollbackTarget | None = None,
        rule: PolicyRule | None = None,
    ) -> None:
        self.only = only
        self.rollback = rollback
        self._items, self._rollback_targets, self._decisions = items, rollback_targets, decisions
        self._rule = rule
        self.judged: list[Gate] | None = None  # by `gates.gates`

    @cached_property
    def now(self) -> datetime:
        """The moment for which ages and deadlines are judged."""
        return timezone.now()

    @cached_property
    def items(self) -> list[RollbackItem]:
        """The items in order, each with all that a digest reads of it."""
        return digests.items_of(self.rollback) if self._items is None else list(self._items)

    @cached_property
    def rollback_targets(self) -> list[RollbackTarget]:
        """The pinned targets, the canary of a fleet first."""
        if self._rollback_targets is not None:
            return list(self._rollback_targets)
        found = self.rollback.rollback_targets.select_related("target")
        if self.only is not None:  # of hundreds these two tell all that is asked about the one
            found = found.filter(Q(position=1) | Q(pk=self.only.pk))
        return list(found)

    @cached_property
    def is_fleet(self) -> bool:
        """Are there several targets?"""
        return len(self.rollback_targets) > 1 or (
            self.only is not None and self.rollback.rollback_targets.count() > 1
        )

    @property
    def concerned(self) -> list[RollbackTarget]:
        """The targets that gates ask about: the one that is about to begin, or else all."""
        return [self.only] if self.only is not None else self.rollback_targets

    @property
    def proven_on(self) -> list[RollbackTarget]:
        """Whose files and values proofs must be bound to: of a fleet the canary's, since all its targets are
        alike or it does not run."""
        return self.concerned[:1]

    @cached_property
    def rule(self) -> PolicyRule:
        """What the policy asks for; see `policy.rule_for`."""
        if self._rule is not None:
            return self._rule
        if self.only is not None:  # the strictest environment of all targets counts on each
            return policy.rule_for(self.rollback)
        return policy.rule_for(self.rollback, {rt.target.environment for rt in self.rollback_targets})

    @cached_property
    def _evidence(self) -> dict[str, Evidence]:
        newest = self._of_change
        if self.is_fleet:  # what was seen on one target says nothing about another
            newest = newest.exclude(kind=Evidence.Kind.FACTS).filter(
                target=self.rollback_targets[0].target_id
            )
        return {each.kind: each for each in newest.order_by("kind", "-at", "-id").distinct("kind")}

    @property
    def _of_change(self) -> QuerySet[Evidence]:
        digest = self.rollback.change_digest or digests.change_digest(self.rollback)
        return Evidence.objects.filter(rollback=self.rollback, change_digest=digest)

    @cached_property
    def facts(self) -> dict[int, Evidence]:
        """The newest facts of each target, by the target's key; of the canary and the only one, if there
        is one."""
        found = self._of_change.filter(kind=Evidence.Kind.FACTS, target__isnull=False)
        if self.only is not None:
            found = found.filter(target__in=[self.rollback_targets[0].target_id, self.only.target_id])
        newest = found.order_by("target_id", "-at", "-id").distinct("target_id")
        return {each.target_id or 0: each for each in newest}

    @cached_property
    def _facts_of_fleet(self) -> Evidence | None:
        if self.only is not None:
            return self.facts.get(self.only.target_id)
        return together.facts(self.rollback_targets, self.facts)

    def evidence(self, kind: Evidence.Kind) -> Evidence | None:
        """The newest evidence of this kind for the change as it is now; older bytes prove nothing.

        Of a fleet: the facts of all its targets as one (or of the only one), everything else of its canary.
        """
        if kind == Evidence.Kind.FACTS and self.is_fleet:
            return self._facts_of_fleet
        return self._evidence.get(kind)

    @cached_property
    def confirmations(self) -> dict[str, ChecklistEntry]:
        """What people confirmed on the checklist for the change as it is now, by point."""
        confirmed = self.rollback.checklist.filter(change_digest=self.rollback.change_digest)
        return {entry.point: entry for entry in confirmed.select_related("confirmed_by")}

    @cached_property
    def next_deployment(self) -> NextDeployment | None:
        """What Flyway will do after it; None without a target."""
        if not self.rollback_targets:
            return None
        where = self.concerned[0]
        rows = self.rows[where.target_id]
        return NextDeployment(self.rollback, items=self.items, rollback_target=where, rows=rows)

    @cached_property
    def rows(self) -> dict[int, Rows]:
        """The histories of the concerned targets as last read, by the target's key."""
        return history.rows_by_target([each.target for each in self.concerned])

    @cached_property
    def approvals(self) -> list[Approval]:
        """The approvals that count now."""
        if self._decisions is not None:
            return policy.valid_of(self.rollback, self._decisions)
        return policy.valid_approvals(self.rollback)

    @cached_property
    def signatures(self) -> list[policy.Signature[Approval]]:
        """Every signature the policy asks for, given or missing."""
        return policy.signatures(self.rule, self.approvals)

    @property
    def missing_roles(self) -> list[Role]:
        """The roles whose signatures are missing, one entry per missing signature."""
        return [line.role for line in self.signatures if line.approval is None]

    @cached_property
    def calendars(self) -> dict[int, list[CalendarEntry]]:
        """The windows and freezes of each target that count, by the target's key."""
        return windows.in_force_on([each.target for each in self.concerned])

    @property
    def calendar(self) -> list[CalendarEntry]:
        """Those of the target that begins first."""
        return self.calendars[self.concerned[0].target_id] if self.concerned else []

    @cached_property
    def standing(self) -> windows.Standing | None:
        """Whether an execution may start by the windows of the target that begins first, now; None without
        a target."""
        if not self.concerned:
            return None
        return windows.standing(self.concerned[0].target, self.calendar, self.now)

    @cached_property
    def break_glass(self) -> list[BreakGlass]:
        """The latest uses of break-glass for this rollback, whatever became of them, newest first."""
        found = BreakGlass.objects.filter(rollback=self.rollback).select_related(*BreakGlass.PEOPLE)
        return list(found[:LATEST])

    def forced_by(self, skip: BreakGlass.Skip, *, since: datetime | None = None) -> BreakGlass | None:
        """What lets it skip this now. `since` is when something came up that would have to be known to
        confirm it: only what was confirmed later counts."""
        for glass in self.break_glass:
            if skip not in glass.skips or not glass.in_force(self.rollback, self.now):
                continue
            if since is None or (glass.confirmed_at is not None and glass.confirmed_at > since):
                return glass
        return None

    @cached_property
    def backup_exceptions(self) -> list[BackupException]:
        """The latest exceptions instead of a backup, whatever became of them, newest first."""
        found = BackupException.objects.filter(rollback=self.rollback)
        found = found.select_related(*BackupException.PEOPLE).prefetch_related("signatures__person")
        return list(found[:LATEST])

    @property
    def excepted_by(self) -> BackupException | None:
        """What lets it run without the backup that the policy asks for, now: never in place of one that could
        be had, or that failed for another reason than the size of the target."""
        backup = self.evidence(Evidence.Kind.BACKUP)
        if not self.rollback.excepted or (backup is not None and not grades.beyond_reach(backup)):
            return None
        return next((each for each in self.backup_exceptions if each.in_force(self.rollback, self.now)), None)

    @cached_property
    def beyond_reach(self) -> list[Evidence]:
        """By target, what a worker said last of the backup of this very change, where it can't be had since
        the target is above its limit; the first target's first."""
        told = self._of_change.filter(
            kind__in=(Evidence.Kind.BACKUP, Evidence.Kind.PREFLIGHT), data__has_key="above_limit"
        )
        last = told.order_by("target_id", "-at", "-id").distinct("target_id").select_related("target")
        place = {each.target_id: number for number, each in enumerate(self.rollback_targets)}
        found = [each for each in last if each.data["above_limit"] and not each.holds]
        return sorted(found, key=lambda each: place.get(each.target_id or 0, len(place)))

    @cached_property
    def schedule(self) -> Schedule | None:
        """The start that is scheduled and waits."""
        waiting = Schedule.objects.filter(rollback=self.rollback, state=Schedule.State.WAITING)
        return waiting.select_related("by").first()

    @property
    def preflight_job(self) -> Job | None:
        """The newest request for a preflight."""
        return self._jobs.get(Job.Kind.PREFLIGHT)

    @cached_property
    def proofs(self) -> dict[tuple[int, int], Proof]:
        """The answered proof that counts for each script on each target, by the keys of script and target."""
        where = [each.target for each in self.proven_on]
        return proofs.latest_for(self.items, where, self.present, self.newest_proofs)

    @cached_property
    def present(self) -> Present:
        """The files that lead up to the items, as they are now."""
        return Present(self.items, self.rows)

    @cached_property
    def newest_proofs(self) -> dict[int, Proof]:
        """The newest proof of each script, answered or not, by the script's key."""
        return proofs.newest_of(self._scripts)

    @property
    def _scripts(self) -> list[int]:
        return [item.script_id for item in self.items if item.script_id]

    @property
    def facts_job(self) -> Job | None:
        """The newest request to read the facts."""
        return self._jobs.get(Job.Kind.FACTS)

    @cached_property
    def _jobs(self) -> dict[str, Job]:
        return jobs.latest_of_kinds((Job.Kind.PREFLIGHT, Job.Kind.FACTS), self.rollback.pk)

    @cached_property
    def signers(self) -> dict[Role, list[User]]:
        """Who could still sign in each deciding role, by name: neither requester nor author, nobody twice."""
        roles = (Role.SENIOR_DBA, Role.PLATFORM_LEAD)
        authors = Q(scripts__in=[item.script_id for item in self.items if item.script_id])
        out = [self.rollback.requester_id, *(approval.approver_id for approval in self.approvals)]
        people = (
            User.objects.filter(is_active=True)
            .annotate(held=F("groups__name"))  # a person once for each role
            .filter(held__in=roles)
            .exclude(pk__in=out)
            .exclude(pk__in=User.objects.filter(authors).values("pk"))
            .order_by("first_name", "last_name", "username")
        )
        found: dict[Role, list[User]] = {role: [] for role in roles}
        for person in people:
            found[Role(person.held)].append(person)
        return found
