"""Pages of a list: numbered where people look for something, by key where the list grows while they read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

PER_PAGE = 50
LARGEST_KEY = 2**63 - 1


# Asks for everything at once, where a page offers that: a report to print.
WHOLE = "all"


class Numbered(Paginator):  # type: ignore[type-arg]
    """Pages of a list whose number stands in this parameter of the URL; one page may hold several lists."""

    def __init__(self, things: QuerySet[Any] | Sequence[Any], per_page: int, parameter: str) -> None:
        super().__init__(things, per_page)
        self.parameter = parameter


def page(
    request: HttpRequest,
    things: QuerySet[Any] | Sequence[Any],
    *,
    per_page: int = PER_PAGE,
    parameter: str = "page",
    whole: bool = False,
    default: int = 1,
) -> Page[Any]:
    """The page that `?page=` (or another parameter) asks for, the nearest one where that makes no sense, and
    the default where it asks for none; everything on one page where the whole is wanted."""
    pages = Numbered(things, per_page, parameter)
    if not pages.count:
        pages.object_list = []  # asked for none of nothing, a query set still works its question out
    if whole:
        pages.per_page = max(pages.count, 1)
    return pages.get_page(request.GET.get(parameter) or default)


def wants_whole(request: HttpRequest) -> bool:
    """Was everything at once asked for?"""
    return request.GET.get(WHOLE) == "1"


@dataclass(frozen=True)
class Slice:
    """Part of a list that is ordered by a falling key, with the keys from which its neighbours begin."""

    object_list: list[Any]
    newer_key: int | None
    older_key: int | None

    @property
    def has_previous(self) -> bool:
        return self.newer_key is not None

    @property
    def has_next(self) -> bool:
        return self.older_key is not None

    @property
    def has_other_pages(self) -> bool:
        return self.has_previous or self.has_next


def by_key(request: HttpRequest, things: QuerySet[Any], key: str, *, per_page: int = PER_PAGE) -> Slice:
    """The newest things, or those `?before=` a key, or those `?after=` one; one query whatever the length."""
    before, after = _key(request.GET.get("before")), _key(request.GET.get("after"))
    if after is not None:
        found = list(things.filter(**{f"{key}__gt": after}).order_by(key)[: per_page + 1])
        more, found = len(found) > per_page, found[:per_page][::-1]
        return Slice(found, _edge(found, 0, key) if more else None, _edge(found, -1, key))
    if before is not None:
        things = things.filter(**{f"{key}__lt": before})
    found = list(things.order_by(f"-{key}")[: per_page + 1])
    more, found = len(found) > per_page, found[:per_page]
    return Slice(found, _edge(found, 0, key) if before else None, _edge(found, -1, key) if more else None)


def _key(text: str | None) -> int | None:
    """A key from the URL; None for what is none. No row can have one above LARGEST_KEY."""
    if not text or not text.isascii() or not text.isdigit():
        return None
    return min(int(text[:19]), LARGEST_KEY)


def _edge(found: list[Any], place: int, key: str) -> int | None:
    return int(getattr(found[place], key)) if found else None
