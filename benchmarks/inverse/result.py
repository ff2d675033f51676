"""What became of one step of a chain."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Result:
    """What became of one step; verdicts are None where there was nothing to judge. `lost` are values that the
    migration kept and the way back did not, `unannounced` those that it lost and nobody had said so, `kept`
    those that were announced as lost and were not. `again_because` is what was announced as not undone and
    keeps the migration from applying again."""

    chain: str
    version: str
    name: str
    applied: bool = False
    apply_error: str | None = None
    human_verdict: str | None = None
    generated_verdict: str | None = None
    generated_exact_verdict: str | None = None
    reason: str | None = None
    data_loss: bool = False
    seconds: float = 0.0
    derive_seconds: float = 0.0
    derive_server_seconds: float = 0.0
    server_seconds: float = 0.0
    retried: int = 0
    forward_again: bool | None = None
    again_because: list[str] = field(default_factory=list)
    rows: tuple[int, int] | None = None
    lost: list[str] = field(default_factory=list)
    announced: dict[str, int | None] = field(default_factory=dict)
    unannounced: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    detail: dict[str, str] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """The result as the JSON file has it."""
        return asdict(self)
