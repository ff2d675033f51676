"""The targets of a service beside a request's canary: those set up like it, and why the others can't go."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

from django.utils.translation import gettext as _

from approvals import alike
from approvals.models import RollbackRequest, Target, User

from .rollback_queries import asks_for
from .search import Wanted

# Where a filter looks.
SEARCHED = ("name", "host", "dbname")


@dataclass(frozen=True)
class Offered:
    """Those that may go along, by name, and the others by the words for what is different there."""

    fitting: list[Target]
    unlike: dict[str, list[Target]]

    @cached_property
    def by_key(self) -> dict[int, Target]:
        """Those that may go along."""
        return {target.pk: target for target in self.fitting}

    @property
    def others(self) -> int:
        """How many can't go along."""
        return sum(len(targets) for targets in self.unlike.values())

    @cached_property
    def why_not(self) -> dict[Target, str]:
        """Why each of the others can't, as a sentence."""
        return {
            target: _("%(target)s can’t go along: it differs in %(words)s.")
            % {"target": target, "words": words}
            for words, targets in self.unlike.items()
            for target in targets
        }


def offered(user: User, rollback: RollbackRequest, *, canary: Target) -> Offered:
    """Which targets may go along with the canary, by name; one query for some columns of them."""
    found = asks_for(user).filter(service=rollback.service_id).select_related(None)
    fitting: list[Target] = []
    unlike: dict[tuple[str, ...], list[Target]] = defaultdict(list)
    for target in found.only("name", "host", "port", "dbname", "health", *alike.COLUMNS).order_by("name"):
        if words := alike.differences(target, canary):
            unlike[words].append(target)
        else:
            fitting.append(target)
    return Offered(fitting, {", ".join(map(_, words)): targets for words, targets in unlike.items()})


def matching(user: User, rollback: RollbackRequest, wanted: Wanted) -> set[int]:
    """The keys of the service's targets that have every word in their name, host or database; one query."""
    found = asks_for(user).filter(wanted.in_any(*SEARCHED), service=rollback.service_id)
    return set(found.order_by().values_list("pk", flat=True))
