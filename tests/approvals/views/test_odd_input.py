"""What no page offers but anybody can send: it is answered, never with an error of the server."""

from __future__ import annotations

import pytest

from approvals.models import Status
from tests.approvals import factories
from tests.approvals.factories import World
from tests.approvals.views.visits import as_

pytestmark = pytest.mark.integration

LONG = "9" * 5000
ADDRESSES = [
    "/people/al%00ice/",
    "/rollbacks/new/?target=%00",
    "/rollbacks/new/?target=wallet-service-production&down_to=%00",
    f"/rollbacks/new/?target=wallet-service-production&down_to={LONG}",
    f"/search/?q={'9' * 90}",
    f"/search/?q=V{'9' * 60}.1",
    f"/search/?q=RB-{'9' * 18}",
    "/search/?q=%00",
    "/search/?q=wallet&in=%00",
    f"/rollbacks/?page={LONG}",
    f"/audit/?before={LONG}",
    f"/audit/?after={LONG}",
    "/audit/?person=%00",
    "/people/?q=%00&team=%00",
    "/services/?q=%00",
    "/targets/?service=%00",
    "/incidents/?q=%00",
    "/incidents/actions/?q=%00",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_odd_address_is_answered(world: World, address: str) -> None:
    for person in (world.alice, world.dora):
        assert as_(person).get(address).status_code < 500


@pytest.mark.parametrize("line", [LONG, "-1", "9" * 18, "²", "%00"])
def test_an_odd_line_is_no_line(world: World, line: str) -> None:
    rollback = factories.rollback_in(world, Status.IN_REVIEW)
    script = rollback.items.get().script
    assert script is not None
    client = as_(world.alice)
    address = f"/rollbacks/{rollback.pk}/comment/?script={script.pk}&line={line}"
    assert client.get(address).status_code < 500
    sent = client.post(address, {"text": "Why?", "script": script.pk, "line": line})
    assert sent.status_code in (400, 409)
