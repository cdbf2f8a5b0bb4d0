"""Ingest against what people use: interleaved rounds, fresh processes, medians, ratios."""

import statistics
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from bench.candidates import CANDIDATES, SLUICE, TEXTBOOK, Candidate
from bench.ground import Account, Ground
from bench.load import Order
from bench.noise import Processor
from bench.plan import Plan
from bench.processes import processing, send, serving

CONNECTIONS = (1, 32, 100)
_ONE_LANE_PER_SECOND = 2_500


@dataclass(frozen=True, slots=True)
class Run:
    """One candidate under one load, once."""

    candidate: str
    connections: int
    acknowledged: int
    refused: int
    acknowledged_per_second: float
    p50_ms: float
    p99_ms: float
    rows: int | None
    processed: int | None
    error_rows: int
    stolen_percent: float
    generator_cores: float
    """What the load generator took of a core."""

    @property
    def lost_nothing(self) -> bool:
        """Acknowledged = rows = processed, and no error row; as far as the candidate has any of them."""
        wanted = {self.acknowledged, self.rows, self.processed} - {None}
        return len(wanted) == 1 and self.refused == 0 and self.error_rows == 0


@dataclass(frozen=True, slots=True)
class Row:
    """The medians of one candidate under one load."""

    candidate: str
    connections: int
    acknowledged_per_second: float
    slowest: float
    fastest: float
    p50_ms: float
    p99_ms: float
    stolen_percent: float
    generator_cores: float
    times_textbook: float
    lost_nothing: bool


def size(count: int) -> int:
    """How many runs so many rounds have."""
    return count * sum(len(candidate.connections) for candidate in CANDIDATES)


async def rounds(ground: Ground, plan: Plan) -> AsyncGenerator[Run, None]:
    """Every round runs every candidate under every load, each with fresh processes; every other round backwards."""
    async with serving(SLUICE, ground), processing(ground):
        pass  # the stream and its consumer are there from now on, so nothing that is published passes by
    for number in range(plan.rounds):
        for connections in CONNECTIONS:
            for candidate in CANDIDATES[:: -1 if number % 2 else 1]:
                if connections in candidate.connections:
                    yield await _one(ground, candidate, connections, plan)


async def _one(ground: Ground, candidate: Candidate, connections: int, plan: Plan) -> Run:
    await ground.sweep()
    async with serving(candidate, ground) as port:
        order = _order(candidate, ground, port, connections)
        warmed = await send(order(plan.warm_up_seconds, next(ground.serials)))
        before = Processor.read()
        measured = await send(order(plan.seconds, next(ground.serials)))
        stolen = Processor.read().stolen_percent_since(before)
        account = await _account(ground, candidate)
    warm = int(warmed["acknowledged"])
    return Run(
        candidate=candidate.name,
        connections=connections,
        acknowledged=int(measured["acknowledged"]),
        refused=int(measured["refused"] + warmed["refused"]),
        acknowledged_per_second=measured["acknowledged_per_second"],
        p50_ms=measured["p50_ms"],
        p99_ms=measured["p99_ms"],
        rows=account.rows - warm if candidate.table else None,
        processed=account.processed - warm if candidate.is_sluice else None,
        error_rows=account.error_rows,
        stolen_percent=stolen,
        generator_cores=measured["generator_cores"],
    )


def _order(candidate: Candidate, ground: Ground, port: int, connections: int) -> Callable[[float, int], Order]:
    fastest = min(candidate.fastest_per_second, connections * _ONE_LANE_PER_SECOND)

    def order(seconds: float, first_serial: int) -> Order:
        prepared = int(fastest * seconds)
        again = candidate.table is None
        return Order(port, ground.secret, connections, seconds, first_serial, prepared, again=again)

    return order


async def _account(ground: Ground, candidate: Candidate) -> Account:
    if candidate.is_sluice:
        async with processing(ground):
            await ground.settled()
        return await ground.account()
    return Account(await ground.rows(candidate.table) if candidate.table else 0, 0, 0)


def medians(runs: Sequence[Run]) -> list[Row]:
    """One row for each load and candidate, with its ratio to the textbook of the same rounds."""
    return [
        _row(runs, candidate, connections)
        for connections in CONNECTIONS
        for candidate in CANDIDATES
        if connections in candidate.connections
    ]


def _row(runs: Sequence[Run], candidate: Candidate, connections: int) -> Row:
    mine = _of(runs, candidate, connections)
    rates = [run.acknowledged_per_second for run in mine]
    textbook = statistics.median(run.acknowledged_per_second for run in _of(runs, TEXTBOOK, connections))
    return Row(
        candidate=candidate.name,
        connections=connections,
        acknowledged_per_second=statistics.median(rates),
        slowest=min(rates),
        fastest=max(rates),
        p50_ms=statistics.median(run.p50_ms for run in mine),
        p99_ms=statistics.median(run.p99_ms for run in mine),
        stolen_percent=max(run.stolen_percent for run in mine),
        generator_cores=statistics.median(run.generator_cores for run in mine),
        times_textbook=statistics.median(rates) / textbook,
        lost_nothing=all(run.lost_nothing for run in mine),
    )


def _of(runs: Sequence[Run], candidate: Candidate, connections: int) -> list[Run]:
    return [run for run in runs if run.candidate == candidate.name and run.connections == connections]
