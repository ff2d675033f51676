"""The page of the decision matrix and the hazards: the data that every rating comes from."""

from __future__ import annotations

from collections.abc import Iterable

from django.http import HttpResponse
from django.shortcuts import render

from approvals.analysis import Risk
from approvals.analysis.hazards import HAZARDS, Hazard
from approvals.analysis.matrix import MATRIX
from approvals.forms.matrix import MatrixFilter
from approvals.requests import Request


def matrix(request: Request) -> HttpResponse:
    """Show the table of forward changes and the hazards of rollback scripts, as the URL filters them."""
    form = MatrixFilter(request.GET)
    text, risk, show = form.chosen("q").lower(), form.chosen("risk"), form.chosen("show")
    rows = [row for row in MATRIX if _fits(row.risk, risk, (row.change, row.action, row.data_loss), text)]
    hazards = [each for each in HAZARDS if _fits(each.risk, risk, _words(each), text)]
    context = {
        "form": form,
        "seed": [row for row in rows if row.origin == "seed" and show in ("", "seed")],
        "hazards": hazards if show in ("", "hazards") else [],
        "extended": [row for row in rows if row.origin != "seed" and show in ("", "extended")],
    }
    return render(request, "matrix.html", context)


def _words(hazard: Hazard) -> tuple[str, ...]:
    return hazard.id, hazard.title, hazard.reason, hazard.problem, hazard.solution


def _fits(risk: Risk, wanted: str, words: Iterable[str], text: str) -> bool:
    return wanted in ("", risk.name) and all(word in " ".join(words).lower() for word in text.split())
