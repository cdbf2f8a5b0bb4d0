"""How much to measure."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Plan:
    """Rounds, seconds of each run, events of each backlog."""

    rounds: int
    seconds: float
    warm_up_seconds: float
    steady_seconds: float
    backlog_rows: int
    one_by_one_rows: int
    rebuild_rows: int
    starts: int

    @classmethod
    def short(cls) -> Self:
        """Less than three minutes."""
        return cls(1, 1.5, 0.5, 3, 3_000, 300, 6_000, 2)

    @classmethod
    def proper(cls, rounds: int, seconds: float, rows: int) -> Self:
        """A run long enough for a sentence about speed."""
        return cls(rounds, seconds, 1, max(10.0, seconds), rows // 5, rows // 50, rows, 5)
