"""What deriving a way back gives: the script, its steps, and all that is known of it."""

from __future__ import annotations

from dataclasses import dataclass

from executor.schema.inverse.from_backup import FromBackup
from executor.schema.inverse.options import Choice
from executor.schema.inverse.script import InverseStep
from executor.schema.lost import Lost

EXACT, MODULO_ORDER, DIFFERS, REFUSED = "exact", "exact modulo column order", "differs", "refused"


@dataclass(frozen=True, slots=True)
class Inverse:
    """The way back. `gaps` is what it does not undo, one sentence each; with any, the verdict is not exact.
    `verdict` compares snapshots; `pg_dump` has the last word (see `prove`). `retried` counts actions whose
    order had to be found by trying. `from_backup` is data that the migration took away and no statement gives
    back; `restore` is SQL that brings kept data back behind the migration; `notes` are for people; `left` are
    effects that stay by choice, as completeness calls them, each with a reason; `came` is what of the losses
    came with the migration."""

    script: str
    steps: tuple[InverseStep, ...]
    choices: tuple[Choice, ...]
    gaps: tuple[str, ...]
    verdict: str
    retried: int = 0
    restore: str = ""
    notes: tuple[str, ...] = ()
    from_backup: tuple[FromBackup, ...] = ()
    left: tuple[tuple[str, str], ...] = ()
    came: frozenset[Lost] = frozenset()

    @property
    def goes(self) -> tuple[tuple[int, Lost], ...]:
        """What goes, with the step (counted from 1) that takes it: what `loss.measure` counts."""
        numbered = enumerate(self.steps, start=1)
        return tuple((number, lost) for number, step in numbered for lost in step.loses)

    @property
    def losses(self) -> tuple[Lost, ...]:
        """The data that the script takes away."""
        return tuple(dict.fromkeys(lost for step in self.steps for lost in step.loses))
