"""Candidates: each a command that serves webhooks on LISTEN_PORT, and the table its rows land in."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Candidate:
    """One server under test."""

    name: str
    module: str
    """Run as ``python -m module``."""
    table: str | None
    """Where its rows land; None: it keeps nothing, and may be sent the same requests again."""
    fastest_per_second: int
    """More than it can do: so many requests are signed beforehand for each second."""
    processes: int = 1
    connections: tuple[int, ...] = (1, 32, 100)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_sluice(self) -> bool:
        """Whether its rows are processed afterwards."""
        return self.module == "ingest"


TEXTBOOK = Candidate("textbook", "bench.candidates.textbook", "textbook_log", 2_000)
TEXTBOOK_LIGHT = Candidate("textbook_light", "bench.candidates.textbook_light", "textbook_log", 4_000)
SLUICE = Candidate("sluice", "ingest", "webhook_logs", 14_000)
SLUICE_TWICE = Candidate(
    "sluice_2_processes",
    "ingest",
    "webhook_logs",
    14_000,
    processes=2,
    connections=(32, 100),
    environment={"LISTEN_REUSE_PORT": "true"},
)
NO_OP = Candidate("aiohttp_no_op", "bench.candidates.no_op", None, 2_000)
CANDIDATES = (TEXTBOOK, TEXTBOOK_LIGHT, SLUICE, SLUICE_TWICE, NO_OP)
