"""What was found of a script, ready for templates: the fate of each effect, the verdict, where it fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from approvals import proofs
from approvals.models import Proof, RollbackScript

from .completeness_panel import Effects, effects
from .proof_words import WAYS, Text, Word, word
from .two_columns import Columns, columns

Json = dict[str, Any]


@dataclass(frozen=True)
class Failing:
    """The statement of the script at which it ended, and the line of the script."""

    step: int
    sql: str
    first: int
    line: int
    says: str
    sqlstate: str

    @property
    def marks(self) -> dict[int, str]:
        """The failing line with what was said of it."""
        return {self.line: self.says}


@dataclass(frozen=True)
class ProofView:
    """One script, its newest answered proof, and the newest that was asked for (`asked`: answered, under way
    or failed). Everything is empty where there is none."""

    script: RollbackScript
    asked: Proof | None
    proof: Proof | None
    effects: Effects | None
    difference: Columns
    failing: Failing | None
    # The text of the migration that counts here; a proof of another one proves nothing about it.
    revision: int | None = None

    @property
    def outdated(self) -> bool:
        """Was another text of the migration proven?"""
        known = self.proof is not None and self.revision is not None
        return known and self.proof.revision_id != self.revision  # type: ignore[union-attr]

    @property
    def is_open(self) -> bool:
        """Is an answer still to come?"""
        return self.asked is not None and self.asked.is_open

    @property
    def is_silent(self) -> bool:
        return self.asked is not None and self.asked.is_silent

    @property
    def failed(self) -> str:
        """Why the newest one gave no answer; empty where it did, or is to come."""
        if self.asked is None or self.asked.at is not None or self.is_open or self.is_silent:
            return ""
        return self.asked.sentence

    @property
    def word(self) -> Word:
        return word(self.proof.verdict if self.proof else "")

    @property
    def way(self) -> Text:
        return WAYS.get(self.proof.way, "") if self.proof else ""

    @property
    def weaker(self) -> bool:
        return self.proof is not None and self.proof.way == Proof.Way.DOWN_UP

    @property
    def said(self) -> Json:
        """The evidence as the worker wrote it."""
        return self.proof.proof if self.proof else {}


def read(script: RollbackScript, *, revision: int | None = None) -> ProofView:
    """Read the proofs of one script; two queries at most. `revision` is the key of the migration's text that
    counts."""
    return read_all([script], {script.pk: revision} if revision else {})[script.pk]


def read_all(
    scripts: Sequence[RollbackScript],
    revisions: Mapping[int, int] | None = None,
    asked: Mapping[int, Proof] | None = None,
) -> dict[int, ProofView]:
    """Read the proofs of some scripts, by the script's key; two queries at most, however many there are.
    `revisions` are the keys of the texts that count, by the script's key; `asked`, their newest proofs,
    spares reading those."""
    revisions = revisions or {}
    if asked is None:
        asked = proofs.newest_of(script.pk for script in scripts)
    lacking = [pk for pk, each in asked.items() if each.at is None]
    answered = proofs.latest_of(lacking) if lacking else {}
    found = {}
    for script in scripts:
        newest = asked.get(script.pk)
        proof = newest if newest and newest.at else answered.get(script.pk)
        found[script.pk] = _view(script, newest, proof, revisions.get(script.pk))
    return found


def _view(
    script: RollbackScript, asked: Proof | None, proof: Proof | None, revision: int | None
) -> ProofView:
    said = proof.proof if proof else {}
    return ProofView(
        script=script,
        asked=asked,
        proof=proof,
        effects=effects(proof.completeness if proof else {}, script.left),
        difference=columns(said.get("difference", "")),
        failing=_failing(script, said),
        revision=revision,
    )


def _failing(script: RollbackScript, said: Json) -> Failing | None:
    """The failing step as the plan has it; None where no step failed or the plan knows none of its number."""
    if said.get("step") is None:
        return None
    for step in script.plan.get("steps", ()):
        if step["position"] == said["step"]:
            statement = step["statement"]
            return Failing(
                step=said["step"],
                sql=statement["sql"],
                first=statement["line"],
                line=said["line"] or statement["line"],
                says=said.get("reason", ""),
                sqlstate=said.get("sqlstate") or "",
            )
    return None
