"""Goals, each a ratio or a limit, and whether a run reached it."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.backlog import Processing
from bench.compare import Row
from bench.latency import Latency
from bench.start import Start
from bench.through import Through
from bench.together import Together


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that one run found out."""

    rows: Sequence[Row]
    steady: Latency
    through: Through
    half_through: Latency
    """At half of what goes through both."""
    half: Latency
    """At half of what ingest alone can acknowledge."""
    processing: Processing
    together: Sequence[Together]
    start: Start


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal and what came of it."""

    text: str
    wanted: float
    found: float
    at_least: bool = True

    @property
    def is_met(self) -> bool:
        """Whether the figure is on the right side."""
        return self.found >= self.wanted if self.at_least else self.found <= self.wanted


def judge(measured: Measured) -> Sequence[Goal]:
    """Every goal."""
    return [*_ingest(measured.rows), *_rest(measured)]


def _ingest(rows: Sequence[Row]) -> Iterator[Goal]:
    rate = {(row.candidate, row.connections): row.acknowledged_per_second for row in rows}
    hundred = rate["sluice", 100]
    yield Goal("ingest at 100 connections, times textbook", 9, hundred / rate["textbook", 100])
    yield Goal("ingest at 100 connections, times textbook light", 3.5, hundred / rate["textbook_light", 100])
    yield Goal("ingest at 100 connections, percent of aiohttp's no-op", 50, 100 * hundred / rate["aiohttp_no_op", 100])
    yield Goal("ingest at 1 connection, times textbook", 3, rate["sluice", 1] / rate["textbook", 1])
    yield Goal("two ingest processes, times one", 1, rate["sluice_2_processes", 100] / hundred)


def _rest(measured: Measured) -> Iterator[Goal]:
    processing = measured.processing
    beside = statistics.median([each.times_ingest for each in measured.together])
    yield Goal("processing in batches, times one by one", 10, processing.times_one_by_one)
    yield Goal("processing a backlog, times ingest under full load beside it", 1.5, beside)
    slowest = min(processing.rebuild.parts_per_second[-3:]) / max(processing.rebuild.parts_per_second[:3])
    yield Goal("large backlog: slowest of the last tenths, times the fastest of the first", 0.7, slowest)
    yield Goal("POST to processed row at 200/s, p50 ms", 5, measured.steady.p50_ms, at_least=False)
    half, alone = measured.half_through.p50_ms, measured.half.p50_ms
    yield Goal("POST to processed row at half of what goes through both, p50 ms", 5, half, at_least=False)
    yield Goal("POST to processed row at half of ingest's own maximum, p50 ms", 5, alone, at_least=False)
    yield Goal("start to first accepted webhook, s", 0.8, measured.start.first_accepted_seconds, at_least=False)
    for service, mebibytes in measured.start.idle_mebibytes.items():
        yield Goal(f"idle memory of {service}, MiB", 64, mebibytes, at_least=False)
