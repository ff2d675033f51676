"""How the history is treated is part of the request, and of what people sign."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from approvals import digests, rollbacks
from approvals.errors import Refused
from approvals.flyway.treatment import Treatment
from approvals.models import HistoryTreatment, RollbackRequest, Status
from tests.approvals.factories import World, again, body, draft, rollback_in

pytestmark = pytest.mark.integration


def test_the_portal_offers_what_the_executor_can_do() -> None:
    assert HistoryTreatment.values == [each.value for each in Treatment]


def test_the_row_is_deleted_unless_the_request_says_otherwise(world: World) -> None:
    assert draft(world).history_treatment == HistoryTreatment.DELETE


def test_another_treatment_is_another_change(world: World) -> None:
    rollback = draft(world)
    before = rollback.change_digest
    rollbacks.edit(
        rollback, actor=world.alice, revision=rollback.revision, history_treatment=HistoryTreatment.MARK
    )
    assert again(rollback).change_digest == digests.change_digest(again(rollback)) != before


def test_an_approved_request_loses_its_approvals_with_another_treatment(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    rollbacks.edit(
        rollback, actor=world.alice, revision=rollback.revision, history_treatment=HistoryTreatment.MARK
    )
    assert again(rollback).status == Status.DRAFT
    assert not again(rollback).approvals.filter(decision="approve", voided_at=None).exists()


def test_the_event_of_the_submission_names_it(world: World) -> None:
    rollback_in(world, Status.IN_REVIEW)
    assert body("rollback.submitted")["facts"]["history_treatment"] == "delete"


@pytest.mark.parametrize("word", ["undo", "UNDO_SQL", "", "DELETE"])
def test_no_other_treatment_is_known(world: World, word: str) -> None:
    with pytest.raises(Refused, match="Unknown treatment of the history"):
        draft(world, history_treatment=word)
    stored = draft(world)
    with pytest.raises(IntegrityError, match="history_treatment_is_known"), transaction.atomic():
        RollbackRequest.objects.filter(pk=stored.pk).update(history_treatment=word)


@pytest.mark.parametrize("status", [Status.IN_REVIEW, Status.APPROVED, Status.EXECUTING])
def test_after_submission_the_database_itself_keeps_it(status: Status, world: World) -> None:
    rollback = rollback_in(world, status)
    with pytest.raises(IntegrityError, match="only a draft can be edited"), transaction.atomic():
        RollbackRequest.objects.filter(pk=rollback.pk).update(history_treatment=HistoryTreatment.MARK)
