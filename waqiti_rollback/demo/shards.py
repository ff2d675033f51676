"""A rollback over the shards of a service: the canary, a wave, and a wave in which one of them fails.

The failure is real: on one shard somebody has registered a second device since the facts were read, so the
key that comes back finds two rows for one person. Ops end the run there; the rest takes a new request.
"""

from __future__ import annotations

import psycopg

from approvals import fleets
from approvals.models import FleetRun, RollbackRequest, Target
from waqiti_rollback.embedded import Estate

from . import journey, stories, wishes
from .people import user
from .services import BY_NAME, SHARDS

SECOND_DEVICE = "INSERT INTO devices (user_id, push_token) VALUES (7, md5('second device'))"
FAILS = SHARDS[3]
WAVE = 2


def carry_out_on_some(servers: Estate) -> RollbackRequest:
    """Executed on four shards of six. Raises journey.Stuck unless the run stops where it should."""
    rollback = journey.on_all(journey.ask(wishes.DEVICES), Target.objects.filter(name__in=SHARDS))
    journey.submit(rollback)
    stories.sign(rollback)
    shard = BY_NAME[FAILS]
    dsn = servers.clusters[shard.environment].superuser_dsn(shard.database)
    with psycopg.connect(dsn, autocommit=True) as somebody:
        somebody.execute(SECOND_DEVICE)
    run = journey.rests(journey.start_run(rollback, wave_size=WAVE))
    failed = run.executions.filter(status="rolled_back").values_list("target__name", flat=True)
    if (run.state, list(failed)) != (FleetRun.State.STOPPED, [FAILS]):
        raise journey.Stuck(f"{run} of {rollback.label} is {run.state}, failed on {list(failed)}.")
    fleets.cancel(
        run,
        actor=user("grace"),
        reason="Which of two devices stays is for the product team to say; the rest follows then.",
    )
    return journey.fresh(rollback)
