"""The outer transaction of a script: one BEGIN … COMMIT is recognised, everything else is refused."""

from __future__ import annotations

from dataclasses import dataclass, field

from approvals.analysis.parser import Piece, pb

_BEGIN = (pb.TRANS_STMT_BEGIN, pb.TRANS_STMT_START)
_OWNED = "The executor alone starts and ends the transaction."
_ADVICE = (
    "The script ends with ROLLBACK, which a generated template leaves for testing: nothing would be undone. "
    "Write COMMIT, or nothing: the executor commits once the checks pass."
)


@dataclass(slots=True)
class Outline:
    """Where the block starts and ends (statement positions from 1; 0 for none) and what is refused."""

    begin: int = 0
    end: int = 0
    refused: dict[int, str] = field(default_factory=dict)

    def is_inside(self, position: int) -> bool:
        """Whether a statement stands between BEGIN and COMMIT."""
        return 0 < self.begin < position < self.end

    def is_outside(self, position: int) -> bool:
        """Whether there is a block and a statement stands before or after it."""
        return bool(self.begin and self.end) and not self.begin < position < self.end


def outline(pieces: list[Piece]) -> Outline:
    """The transaction control of a script."""
    found = Outline()
    for position, piece in enumerate(pieces, start=1):
        if piece.which == "transaction_stmt":
            refusal = _refusal(found, position, piece, last=position == len(pieces))
            if refusal:
                found.refused[position] = refusal
    if found.begin and not found.end and not found.refused:
        found.refused[found.begin] = "BEGIN without COMMIT: it is not clear where the script should end."
    return found


def _refusal(found: Outline, position: int, piece: Piece, *, last: bool) -> str:
    """Why a transaction statement is refused; '' for the one BEGIN and its COMMIT, which are noted."""
    kind = piece.node.kind
    if kind in _BEGIN and not found.begin:
        found.begin = position
        return "The executor decides the transaction's properties; write BEGIN." if piece.node.options else ""
    if kind in _BEGIN:
        return "More than one transactional block: a script is one transaction."
    if kind == pb.TRANS_STMT_COMMIT and found.begin and not found.end and not piece.node.chain:
        found.end = position
        return ""
    if kind == pb.TRANS_STMT_ROLLBACK and found.begin and not found.end:
        found.end = position
        return _ADVICE if last and not piece.node.chain else f"ROLLBACK in the middle. {_OWNED}"
    if kind == pb.TRANS_STMT_COMMIT:
        return f"COMMIT {'AND CHAIN' if piece.node.chain else 'without BEGIN'}. {_OWNED}"
    word = pb.TransactionStmtKind.Name(kind).removeprefix("TRANS_STMT_").replace("_", " ")
    return f"{word}. {_OWNED}"
