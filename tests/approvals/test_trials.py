"""Trials as people ask for them; what a worker does with them is in tests/executor."""

from __future__ import annotations

import pytest

from approvals import trials
from approvals.errors import Refused
from approvals.models import Check, Job, Target
from tests.approvals import factories
from tests.approvals.factories import World

pytestmark = pytest.mark.integration


def test_nothing_is_tried_on_the_server_of_a_production_target(world: World) -> None:
    rollback = factories.draft(world)
    Target.objects.filter(pk=world.production.pk).update(rehearsal_target=None)
    check = Check("One", "SELECT 1", "1")
    with pytest.raises(Refused, match="names no staging server"):
        trials.ask(rollback, 1, sql="SELECT 1;", checks=[check], actor=world.alice)
    assert not Job.objects.filter(kind=Job.Kind.TRY).exists()
