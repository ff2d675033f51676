"""The page of the decision matrix: the seed's rows, filters, and a place for every link to a row."""

from __future__ import annotations

import re

import pytest
from django.utils.text import slugify

from approvals.analysis.hazards import HAZARDS
from approvals.analysis.matrix import MATRIX
from tests.approvals.factories import World
from tests.approvals.views.visits import as_, see

pytestmark = pytest.mark.integration


def test_every_row_and_every_hazard_has_a_place_of_its_own(world: World) -> None:
    html = see(as_(world.alice), "/matrix/").html
    places = re.findall(r'<tr id="([^"]+)" data-row', html)
    assert len(places) == len(set(places)) == len(MATRIX) + len(HAZARDS)
    assert {f"change-{slugify(row.change)}" for row in MATRIX} <= set(places)
    assert {f"hazard-{hazard.id}" for hazard in HAZARDS} <= set(places)


def test_the_seed_s_rows_come_first_as_they_are_written(world: World) -> None:
    page = see(as_(world.alice), "/matrix/", show="seed")
    assert "CREATE TABLE HIGH Forward fix YES (if populated) DROP TABLE CRITICAL Restore from backup" in page
    assert page.html.count("<tr id=") == 12


@pytest.mark.parametrize(
    ("filters", "shown", "hidden"),
    [
        ({"risk": "CRITICAL", "show": "seed"}, "DROP COLUMN", "ADD COLUMN"),
        ({"q": "drop table"}, "DROP TABLE", "ADD COLUMN"),
        ({"q": "rename", "show": "hazards"}, "A name changes", "RENAME TABLE"),
        ({"show": "extended"}, "CREATE VIEW", "DROP COLUMN"),
    ],
)
def test_rows_are_filtered_by_words_and_by_risk(
    filters: dict[str, str], shown: str, hidden: str, world: World
) -> None:
    page = see(as_(world.alice), "/matrix/", **filters)
    rows = re.findall(r"<b>([^<]+)</b></a>", page.html)
    assert shown in rows
    assert hidden not in rows


def test_what_fits_nothing_says_how_the_unknown_is_rated(world: World) -> None:
    assert "is rated CRITICAL" in see(as_(world.alice), "/matrix/", q="no such thing")
