"""Which relations' rows a plan destroys or rewrites, as far as its text tells, and where it doesn't."""

from __future__ import annotations

from dataclasses import dataclass

from approvals.analysis.model import LockMode, Plan, Statement

# Rows go or get other values by statements that keys with actions carry on to other tables.
_WRITES = frozenset(
    {"update-rows", "update-named-rows", "merge-rows"}
    | {"delete-rows", "delete-named-rows", "delete-all-rows"}
)
_REWRITES = frozenset({"change-type", "convert-values", "rewrite-table", "crash-safety"})
# What these destroy stands elsewhere than in the script.
_HIDDEN = frozenset(
    {"drop-schema", "drop-owned", "drop-extension", "drop-with-columns", "unreadable"}
    | {"dynamic-sql", "calls-function", "calls-procedure", "calls-own-code"}
)


@dataclass(frozen=True, slots=True)
class Losses:
    """Relations by name, as the script writes them: `gone` are dropped or lose a column, `rewritten` are
    written anew by ALTER TABLE, `written` lose or change rows, `emptied` are truncated. `hidden` are the
    statements whose losses can't be read."""

    gone: tuple[str, ...] = ()
    rewritten: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    emptied: tuple[str, ...] = ()
    hidden: tuple[Statement, ...] = ()

    @property
    def relations(self) -> tuple[str, ...]:
        """All of them, each once, by name."""
        return tuple(sorted({*self.gone, *self.rewritten, *self.written, *self.emptied}))

    def __add__(self, other: Losses) -> Losses:
        """Those of two plans."""
        return Losses(
            gone=_both(self.gone, other.gone),
            rewritten=_both(self.rewritten, other.rewritten),
            written=_both(self.written, other.written),
            emptied=_both(self.emptied, other.emptied),
            hidden=self.hidden + other.hidden,
        )


def _both(these: tuple[str, ...], those: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({*these, *those}))


def losses(plan: Plan) -> Losses:
    """What the plan's statements destroy or rewrite; what the script itself has made is no loss."""
    gone: set[str] = set()
    rewritten: set[str] = set()
    written: set[str] = set()
    emptied: set[str] = set()
    hidden: list[Statement] = []
    for statement, made in plan.with_made():
        hazards = set(statement.hazards)
        lost = {each.relation for each in statement.destroys} - made
        if statement.change == "TRUNCATE":
            emptied |= lost
        else:
            gone |= lost
        if hazards & _REWRITES and statement.relation:
            rewritten |= {statement.relation} - made
        if hazards & _WRITES:
            touched = {lock.relation for lock in statement.locks if lock.mode >= LockMode.ROW_EXCLUSIVE}
            written |= touched - made
        if hazards & _HIDDEN:
            hidden.append(statement)
    return Losses(
        gone=tuple(sorted(gone)),
        rewritten=tuple(sorted(rewritten)),
        written=tuple(sorted(written)),
        emptied=tuple(sorted(emptied)),
        hidden=tuple(hidden),
    )
