"""The page of policies: rules in words, floors as the database holds them, versions and their changes."""

from __future__ import annotations

import psycopg
import pytest

from approvals.models import PolicyRule, PolicyVersion
from approvals.pages import policy_page
from tests.approvals.factories import World
from tests.approvals.views.visits import as_, see

pytestmark = pytest.mark.integration


def stricter(world: World) -> PolicyVersion:
    """A second version, by adam: HIGH on production takes three."""
    newest = PolicyVersion.objects.latest("number")
    version = PolicyVersion.objects.create(number=2, note="After the audit", created_by=world.adam)
    for rule in newest.rules.all():
        values = {
            field.name: getattr(rule, field.name)
            for field in PolicyRule._meta.fields
            if field.name not in ("id", "policy")
        }
        if (rule.environment, rule.risk) == ("production", 4):
            values["senior_dbas"] = 3
        PolicyRule.objects.create(policy=version, **values)
    return version


@pytest.mark.parametrize("name", ["alice", "dora", "olga", "axel", "adam"])
def test_everybody_reads_who_must_approve_what(name: str, world: World) -> None:
    page = see(as_(world.people[name]), "/policies/")
    backed_up = "backup verified, or a point in time on a physical backup at most 7 days old"
    assert f"CRITICAL 2 senior DBAs and 1 platform lead rehearsal at most 24 h old {backed_up}" in page
    assert f"HIGH 2 senior DBAs rehearsal at most 7 days old {backed_up}" in page
    assert "nobody needs to approve decide within 72 h, run within 24 h" in page
    assert page.forms == [each for each in page.forms if not each.startswith("/policies")]


def test_the_floors_are_asked_of_the_database(world: World) -> None:
    assert all(floor.held for floor in policy_page.floors())
    assert "Not in force" not in see(as_(world.axel), "/policies/")


def test_a_floor_that_was_taken_down_is_told(committed_world: World, superuser: psycopg.Connection) -> None:
    superuser.execute("ALTER TABLE approvals_policyrule DROP CONSTRAINT floor_high_two_approvers")
    superuser.execute("ALTER TABLE approvals_approval DISABLE TRIGGER approval_insert")
    superuser.execute("DROP INDEX one_decision_per_person")
    gone = {floor.name for floor in policy_page.floors() if not floor.held}
    assert gone == {"floor_high_two_approvers", "approval_insert", "one_decision_per_person"}
    assert "Not in force: On production, HIGH and CRITICAL take at least two people." in see(
        as_(committed_world.axel), "/policies/"
    )


def test_a_version_says_who_made_it_and_what_it_changed(world: World) -> None:
    stricter(world)
    page = see(as_(world.axel), "/policies/")
    assert "Version 2 shown Adam" in page
    assert "HIGH × Production: 2 senior DBAs became 3 senior DBAs" in page
    assert "HIGH 3 senior DBAs" in page


def test_an_earlier_version_is_shown_as_replaced(world: World) -> None:
    stricter(world)
    page = see(as_(world.axel), "/policies/", version="1")
    assert "replaced" in page
    assert "Version 2 is in force now" in page
    assert "HIGH 2 senior DBAs" in page


@pytest.mark.parametrize("version", ["7", "x", "-1", "1e3"])
def test_a_version_that_there_is_not(version: str, world: World) -> None:
    assert see(as_(world.axel), "/policies/", version=version).status == 404
