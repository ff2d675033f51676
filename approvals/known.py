"""What is on record about one rollback, each thing read at most once: gates, actions and pages ask this."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from django.db.models import Q
from django.utils import timezone

from . import digests, history, jobs, policy, proofs, windows
from .bindings import Present
from .flyway.history import Rows
from .models import (
    Approval,
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


class Known:
    """The records of one rollback as they are when they are first asked for; never kept over a change.

    `items` (in order, with migration and script) and `rollback_targets` (with target) spare reading what the
    caller has read already.
    """

    def __init__(
        self,
        rollback: RollbackRequest,
        *,
        items: Iterable[RollbackItem] | None = None,
        rollback_targets: Iterable[RollbackTarget] | None = None,
    ) -> None:
        self.rollback = rollback
        self._items, self._rollback_targets = items, rollback_targets
        self.judged: list[Gate] | None = None  # by `gates.gates`

    @cached_property
    def now(self) -> datetime:
        """The moment for which ages and deadlines are judged."""
        return timezone.now()

    @cached_property
    def items(self) -> list[RollbackItem]:
        """The items in order, each with its migration and script."""
        if self._items is not None:
            return list(self._items)
        return list(self.rollback.items.select_related("migration", "script").order_by("position"))

    @cached_property
    def rollback_targets(self) -> list[RollbackTarget]:
        """The pinned targets; exactly one until fleets come."""
        if self._rollback_targets is not None:
            return list(self._rollback_targets)
        return list(self.rollback.rollback_targets.select_related("target"))

    @cached_property
    def rule(self) -> PolicyRule:
        """What the policy asks for; see `policy.rule_for`."""
        return policy.rule_for(self.rollback, {rt.target.environment for rt in self.rollback_targets})

    @cached_property
    def _evidence(self) -> dict[str, Evidence]:
        digest = self.rollback.change_digest or digests.change_digest(self.rollback)
        newest = Evidence.objects.filter(rollback=self.rollback, change_digest=digest)
        return {each.kind: each for each in newest.order_by("kind", "-at", "-id").distinct("kind")}

    def evidence(self, kind: Evidence.Kind) -> Evidence | None:
        """The newest evidence of this kind for the change as it is now; older bytes prove nothing."""
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
        where = self.rollback_targets[0]
        rows = self.rows[where.target_id]
        return NextDeployment(self.rollback, items=self.items, rollback_target=where, rows=rows)

    @cached_property
    def rows(self) -> dict[int, Rows]:
        """The histories of the pinned targets as last read, by the target's key."""
        return {each.target_id: history.rows_of(each.target) for each in self.rollback_targets}

    @cached_property
    def approvals(self) -> list[Approval]:
        """The approvals that count now."""
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
    def calendar(self) -> list[CalendarEntry]:
        """The windows and freezes of the target that count."""
        return windows.in_force(self.rollback_targets[0].target) if self.rollback_targets else []

    @cached_property
    def standing(self) -> windows.Standing | None:
        """Whether an execution may start on the target by its windows, now; None without a target."""
        if not self.rollback_targets:
            return None
        return windows.standing(self.rollback_targets[0].target, self.calendar, self.now)

    @cached_property
    def schedule(self) -> Schedule | None:
        """The start that is scheduled and waits."""
        waiting = Schedule.objects.filter(rollback=self.rollback, state=Schedule.State.WAITING)
        return waiting.select_related("by").first()

    @cached_property
    def preflight_job(self) -> Job | None:
        """The newest request for a preflight."""
        return jobs.latest(Job.Kind.PREFLIGHT, self.rollback.pk)

    @cached_property
    def proofs(self) -> dict[tuple[int, int], Proof]:
        """The answered proof that counts for each script on each target, by the keys of script and target."""
        return proofs.latest_for(self.items, [each.target for each in self.rollback_targets], self.present)

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

    @cached_property
    def facts_job(self) -> Job | None:
        """The newest request to read the facts."""
        return jobs.latest(Job.Kind.FACTS, self.rollback.pk)

    @cached_property
    def signers(self) -> dict[Role, list[User]]:
        """Who could still sign in each deciding role, by name: neither requester nor author, nobody twice."""
        roles = (Role.SENIOR_DBA, Role.PLATFORM_LEAD)
        authors = Q(scripts__in=[item.script_id for item in self.items if item.script_id])
        out = [self.rollback.requester_id, *(approval.approver_id for approval in self.approvals)]
        people = (
            User.objects.filter(is_active=True, groups__name__in=roles)
            .exclude(pk__in=out)
            .exclude(pk__in=User.objects.filter(authors).values("pk"))
            .distinct()
            .prefetch_related("groups")
            .order_by("first_name", "last_name", "username")
        )
        found: dict[Role, list[User]] = {role: [] for role in roles}
        for person in people:
            held = {group.name for group in person.groups.all()}
            for role in roles:
                if role in held:
                    found[role].append(person)
        return found
