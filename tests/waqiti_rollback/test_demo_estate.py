"""A complete small portal inside a test session: the session's servers, a portal database of the test's own,
targets made for it, and a real worker process."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace

import pytest
from celery import current_app

from approvals.models import HistoryRow, Target
from tests.servers import Database
from waqiti_rollback.demo import running
from waqiti_rollback.demo.estate import PortalEstate
from waqiti_rollback.demo.services import BY_NAME, WALLET_PRODUCTION, WALLET_STAGING
from waqiti_rollback.demo.targets import prepare_targets, write_credentials
from waqiti_rollback.demo.witness import Witness
from waqiti_rollback.embedded import Estate, Valkey

TARGETS = (BY_NAME[WALLET_STAGING], replace(BY_NAME[WALLET_PRODUCTION], newest="2025.11.22.001"))


@pytest.fixture
def small(estate: Estate, portal_db: Database, valkey: Valkey) -> Iterator[PortalEstate]:
    """Two targets of wallet-service and a worker that can sign in to them."""
    prepare_targets(estate, size="small", targets=TARGETS)
    found = PortalEstate(estate, database=portal_db.name, env="test")
    write_credentials(found.credentials, estate)
    with running.worker(found):
        yield found
    current_app.close()


def test_the_worker_reads_the_histories_of_the_targets(small: PortalEstate) -> None:
    from waqiti_rollback.demo import journey
    from waqiti_rollback.demo.load import create_catalog
    from waqiti_rollback.demo.people import create_people, invent_passwords

    create_people(small.directory / "logins.json", invent_passwords())
    create_catalog(small.servers, TARGETS)
    journey.sync(list(Target.objects.all()), by="ines")
    for target in TARGETS:
        rows = HistoryRow.objects.filter(target__name=target.name, version__isnull=False)
        read = list(rows.order_by("installed_rank").values_list("version", flat=True))
        assert read == Witness(small.servers.clusters[target.environment], target.database).versions()
        assert read[-1] == target.newest
    assert set(Target.objects.values_list("health", flat=True)) == {Target.Health.GOOD}


def test_only_the_worker_is_told_how_to_sign_in_to_targets(estate: Estate) -> None:
    found = PortalEstate(estate, database="any")
    secrets = {"TARGET_CREDENTIALS", "SCRATCH_DATABASE_URL", "BACKUP_DIR"}
    assert secrets <= found.environment("worker").keys()
    for process in ("web", "beat", "migrate"):
        assert secrets.isdisjoint(found.environment(process))
    assert len({found.environment(process)["DATABASE_URL"] for process in ("web", "worker", "migrate")}) == 3
    write_credentials(found.credentials, estate)
    assert stat.S_IMODE(found.credentials.stat().st_mode) == 0o600
