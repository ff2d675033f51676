"""The page of the decision matrix and the hazards: the data that every rating comes from."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from approvals.analysis.hazards import HAZARDS
from approvals.analysis.matrix import MATRIX


def matrix(request: HttpRequest) -> HttpResponse:
    """Show the table of forward changes and the hazards of rollback scripts."""
    seed = [row for row in MATRIX if row.origin == "seed"]
    extended = [row for row in MATRIX if row.origin != "seed"]
    context = {"seed": seed, "extended": extended, "hazards": HAZARDS}
    return render(request, "matrix.html", context)
