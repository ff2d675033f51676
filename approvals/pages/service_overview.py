"""A service: how far its migrations have come on their way back, its targets, what its last import found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from approvals import queries
from approvals.models import ImportRun, Migration, RollbackScript, Service, Target, User

from .findings import Finding, of_directory
from .ways_back import hazards, risk_of

# So many targets are listed on the page; a link leads to all.
LISTED = 20


@dataclass(frozen=True)
class ServiceOverview:
    """What the page of a service says above its list of migrations."""

    last_import: ImportRun | None
    findings: list[Finding]
    targets: list[Target]
    target_count: int
    versioned: int
    with_script: int

    @property
    def without_script(self) -> int:
        return self.versioned - self.with_script

    @property
    def covered(self) -> float:
        """How many of a hundred versioned migrations have a script."""
        return round(100 * self.with_script / self.versioned, 2) if self.versioned else 0.0


def read(service: Service, user: User) -> ServiceOverview:
    """Read the page; five queries."""
    run = service.import_runs.select_related("by", "service").first()
    targets = queries.targets(user, service=service.name)
    present = Migration.objects.filter(service=service, kind=Migration.Kind.VERSIONED, removed_at=None)
    scripts = RollbackScript.objects.filter(migration__in=present)
    return ServiceOverview(
        last_import=run,
        findings=of_directory(run),
        targets=list(targets[:LISTED]),
        target_count=targets.count(),
        versioned=present.count(),
        with_script=scripts.values("migration").distinct().count(),
    )


def add_risks(migrations: Iterable[Any]) -> None:
    """Raise the risks of one page of `queries.migrations` by what their scripts endanger; one query."""
    scripts = [migration for migration in migrations if migration.script_pk]
    words = hazards(migration.script_pk for migration in scripts)
    for migration in scripts:
        migration.risk = risk_of(migration.risk, words.get(migration.script_pk, []))
