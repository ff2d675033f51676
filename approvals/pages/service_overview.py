"""A service: how far its migrations have come on their way back, its targets, what its last import found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from approvals import queries
from approvals.models import ImportRun, Proof, Service, Target, User

from . import coverage_page
from .coverage_page import Share
from .findings import Finding, of_directory
from .ways_back import hazards, proven, risk_of

# So many targets are listed on the page; a link leads to all.
LISTED = 20


@dataclass(frozen=True)
class ServiceOverview:
    """What the page of a service says above its list of migrations."""

    last_import: ImportRun | None
    findings: list[Finding]
    targets: list[Target]
    target_count: int
    shares: list[Share]

    @property
    def versioned(self) -> int:
        return self.shares[0].total


def read(service: Service, user: User) -> ServiceOverview:
    """Read the page; four queries."""
    run = service.import_runs.select_related("by", "service").first()
    targets = queries.targets(user, service=service.name)
    return ServiceOverview(
        last_import=run,
        findings=of_directory(run),
        targets=list(targets[:LISTED]),
        target_count=targets.count(),
        shares=coverage_page.shares(service),
    )


def add_risks(migrations: Iterable[Any]) -> None:
    """Raise the risks of one page of `queries.migrations` by what their scripts endanger; one query."""
    scripts = [migration for migration in migrations if migration.script_pk]
    words = hazards(migration.script_pk for migration in scripts)
    for migration in scripts:
        migration.risk = risk_of(migration.risk, words.get(migration.script_pk, []))


def add_proofs(migrations: Iterable[Any]) -> None:
    """Give the migrations of one page of `queries.migrations` the newest proofs of their newest scripts; one
    query."""
    scripts = [migration for migration in migrations if migration.script_pk]
    found = proven(Proof.objects.filter(script__in=[migration.script_pk for migration in scripts]))
    for migration in scripts:
        migration.proof = found.get(migration.script_pk)
