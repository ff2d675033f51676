"""Choosing one of many: a list while there are few, a name to type once there are more than fit one."""

from __future__ import annotations

import pytest

from approvals.forms.asking import ReasonStep
from approvals.forms.choosing import OFFERED
from approvals.forms.incidents import ReferencesForm
from approvals.forms.rollbacks import FilterForm
from approvals.models import Incident, Migration, Service, Team
from tests.approvals import factories
from tests.approvals.factories import World

pytestmark = pytest.mark.integration


def many_services() -> None:
    team = Team.objects.create(name="many")
    Service.objects.bulk_create(Service(name=f"many-{n:03}", team=team) for n in range(OFFERED))


def test_a_few_are_a_list(world: World) -> None:
    form = FilterForm({"service": world.service.name}, user=world.axel)
    assert form.chosen()["service"] == world.service.name
    assert f'<option value="{world.service.name}" selected>' in str(form["service"])
    assert "datalist" not in str(form["service"])


def test_of_many_the_first_are_proposed_and_every_other_can_be_named(world: World) -> None:
    many_services()
    form = FilterForm({"service": world.service.name}, user=world.axel)
    shown = str(form["service"])
    assert shown.count("<option") == OFFERED
    assert 'list="id_service_known"' in shown
    assert '<datalist id="id_service_known">' in shown
    assert f'value="{world.service.name}"' in shown.partition("<datalist")[0]
    assert form.chosen()["service"] == world.service.name


def test_a_name_that_nothing_has_is_said_beside_the_field_and_kept(world: World) -> None:
    many_services()
    form = FilterForm({"service": "mani-001"}, user=world.axel)
    assert form.chosen()["service"] == ""
    assert "There is no “mani-001” to choose here." in str(form.errors)
    assert 'value="mani-001"' in str(form["service"])


@pytest.mark.parametrize("typed", ["INC-{pk} {title}", "INC-{pk}", "inc-{pk}", "{pk}"])
def test_an_incident_is_named_by_its_number_whatever_stands_behind_it(world: World, typed: str) -> None:
    rollback = factories.draft(world)
    wanted = factories.incident(world)
    many_incidents(world)
    text = typed.format(pk=wanted.pk, title=wanted.title)
    form = ReasonStep({"incident": text, "urgency": "urgent"}, instance=rollback, service=world.service)
    assert form.is_valid(), form.errors
    assert form.answers()["incident"] == wanted


def test_what_was_chosen_is_shown_by_its_name_even_if_it_is_not_proposed(world: World) -> None:
    rollback = factories.draft(world)
    rollback.incident = factories.incident(world)
    many_incidents(world)
    shown = str(ReasonStep(None, instance=rollback, service=world.service)["incident"])
    assert f'value="{rollback.incident.label} {rollback.incident.title}"' in shown.partition("<datalist")[0]
    assert rollback.incident.label not in shown.partition("<datalist")[2]


@pytest.mark.parametrize("typed", ["INC-", "INC-0", "latest", "-1", "९", "9" * 30, " "])
def test_what_names_no_incident_chooses_none(world: World, typed: str) -> None:
    many_incidents(world)
    data = {"incident": typed, "urgency": "urgent"}
    form = ReasonStep(data, instance=factories.draft(world), service=world.service)
    assert form.is_valid() is (not typed.strip())
    assert not form.cleaned_data.get("incident")


def many_incidents(world: World) -> None:
    Incident.objects.bulk_create(
        Incident(service=world.service, title="Slow", reason="r", impact="i", opened_by=world.alice)
        for _n in range(OFFERED + 1)
    )


@pytest.mark.parametrize("typed", ["V3", "3", "V3 {description}"])
def test_a_migration_is_named_by_its_version(world: World, typed: str) -> None:
    Migration.objects.bulk_create(
        Migration(service=world.service, kind="V", version=f"9{n}", version_key=[9, n], description="many")
        for n in range(OFFERED + 1)
    )
    wanted = world.migration("3")
    text = typed.format(description=wanted.description)
    form = ReferencesForm({"references-corrected_by": text}, factories.incident(world))
    assert form.is_valid(), form.errors
    assert form.cleaned_data["corrected_by"] == wanted
