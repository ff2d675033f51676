"""Ways back of older migrations: one that is generated, and one that forgets a table."""

from __future__ import annotations

from approvals import generations, scripts
from approvals.models import Check, Migration, Target

from .people import user
from .services import WALLET_PRODUCTION

EVENTS, SAGAS = "7", "5"
FORGETFUL = "-- Only what the payments page shows.\nDROP TABLE saga_step_states;\n"


def ask_for_some() -> None:
    """Ask the worker for both; nobody waits for the answers, which come while the rest is loaded."""
    target = Target.objects.get(name=WALLET_PRODUCTION)
    versioned = Migration.objects.filter(service=target.service, kind=Migration.Kind.VERSIONED)
    generations.ask(versioned.get(version=EVENTS), options={}, target=target, actor=user("amina"))
    scripts.add_script(
        versioned.get(version=SAGAS),
        sql=FORGETFUL,
        checks=[Check("The steps are gone", "SELECT to_regclass('saga_step_states') IS NULL", "true")],
        actor=user("bram"),
    )
