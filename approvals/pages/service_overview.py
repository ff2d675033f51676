"""A service: how far its migrations have come on their way back, its targets, what its last import found."""

from __future__ import annotations

from dataclasses import dataclass

from approvals import queries
from approvals.models import ImportRun, Service, Target, User

from . import coverage_page
from .coverage_page import Share
from .findings import Finding, of_directory

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
    """Read the page; seven queries."""
    run = service.import_runs.select_related("by", "service").first()
    targets = queries.targets(user, service=service.name)
    return ServiceOverview(
        last_import=run,
        findings=of_directory(run),
        targets=list(targets[:LISTED]),
        target_count=targets.count(),
        shares=coverage_page.shares(service),
    )
