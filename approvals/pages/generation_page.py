"""What a generator made of a migration, ready for templates: the script, what it could not do, what goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from approvals import generations
from approvals.models import Generation, Migration, RollbackScript

from .difference import Difference, difference
from .gone import Gone, told

Json = dict[str, Any]
READ = "by reading"


@dataclass(frozen=True)
class Way:
    """One of the ways of a choice, with its consequence."""

    key: str
    says: str
    taken: bool


@dataclass(frozen=True)
class Made:
    """A choice that this migration really has: what it is about, and its ways."""

    subject: str
    about: str
    ways: tuple[Way, ...]


@dataclass(frozen=True)
class GenerationView:
    """The newest generation of a migration's way back, and how its script differs from the one before."""

    generation: Generation
    difference: Difference | None
    before: RollbackScript | None

    @property
    def answer(self) -> Json:
        said: Json = self.generation.answer
        return said

    @property
    def answered(self) -> bool:
        return self.generation.at is not None

    @property
    def by_reading(self) -> bool:
        """The weaker origin: the files did not replay."""
        return self.answer.get("origin") == READ

    @property
    def made(self) -> list[Made]:
        return [
            Made(
                choice["subject"],
                choice["about"],
                tuple(Way(key, says, key == choice["taken"]) for key, says in choice["ways"].items()),
            )
            for choice in self.answer.get("choices", ())
        ]

    @property
    def losses(self) -> list[Gone]:
        return [told(loss) for loss in self.answer.get("losses") or ()]

    @property
    def uncounted(self) -> list[str]:
        """What goes, where nobody counted it."""
        return [] if self.losses else [each["what"] for each in self.answer.get("goes", ())]

    @property
    def fixes(self) -> bool:
        """Is there a corrective migration beside it?"""
        return bool((self.answer.get("forward_fix") or {}).get("files"))


def read(migration: Migration) -> GenerationView | None:
    """The newest generation of this migration, None where there never was one; four queries at most."""
    generation = generations.latest_of(migration)
    if generation is None:
        return None
    script = generation.script
    if script is None:
        return GenerationView(generation, None, None)
    before = migration.scripts.filter(number__lt=script.number).order_by("-number").first()
    changed = difference(before.sql, script.sql) if before else None
    return GenerationView(generation, changed, before)
