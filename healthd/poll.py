"""healthd's own schedule: one flight for each source, jittered, and every step of it with a deadline."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from healthd import metrics
from healthd.database import look_at_database, look_at_schema, look_at_webhooks, move_watermark, problem_of
from healthd.health_state import Board
from healthd.observations import Problem, StreamSeen
from healthd.replicas import ServiceWatch, Unresolved
from healthd.rules import Status
from healthd.verdict import Verdict
from sluice.contract.subjects import CONSUMER
from sluice.failures import StreamUnavailable
from sluice.nats.jetstream import ConsumerState
from sluice.postgres.pool import DATABASE_ERRORS, Database
from sluice.runtime import logs
from sluice.runtime.endless import TURNS_WITHIN_SECONDS, run_endless, turn

_JITTER = 0.2
_SHARE_IN_DOUBT = 0.2
_REST_AT_LEAST = 0.1
_WHOLE_EVERY_SECONDS = 600

Look = Callable[[], Awaitable[None]]


class Stream(Protocol):
    """What healthd wants of JetStream."""

    async def wait_connected(self) -> None:
        """Wait until connected; the caller sets the deadline."""
        ...

    async def consumer_state(self, durable: str, *, with_ack_floor: bool = True) -> ConsumerState:
        """How far the consumer is. Raises StreamUnavailable."""
        ...


class ServicePoll:
    """Asks the replicas of one service."""

    def __init__(self, board: Board, watch: ServiceWatch) -> None:
        self.name = watch.target.name
        self._board = board
        self._watch = watch

    async def look(self) -> None:
        """One round; its result is on the board."""
        sight = self._board.snapshot.services[self.name]
        try:
            seen = await self._watch.look()
        except Unresolved:
            sight = sight.missed(Problem.UNRESOLVED, at=self._board.now())
        else:
            sight = sight.saw(seen, at=self._board.now())
        self._board.put_service(self.name, sight)


class DatabasePoll:
    """Asks PostgreSQL: first whether it is there, then what the journal holds, then whether the schema is sound."""

    name = "database"

    def __init__(self, board: Board, database: Database, *, count_limit: int, within_seconds: float) -> None:
        self._board = board
        self._database = database
        self._count_limit = count_limit
        self._within_seconds = within_seconds
        self._whole_at = time.monotonic()

    async def look(self) -> None:
        """One round; its results are on the board."""
        if await self._look_at_database():
            await self._move_watermark()
            await self._look_at_webhooks()
            await self._look_at_schema()

    async def _look_at_database(self) -> bool:
        sight = self._board.snapshot.database
        try:
            seen = await look_at_database(self._database, within_seconds=self._within_seconds)
        except DATABASE_ERRORS as error:
            problem, at = problem_of(error), self._board.now()
            self._board.put_database(sight.missed(problem, at=at))
            self._board.put_webhooks(self._board.snapshot.webhooks.missed(problem, at=at))
            self._board.put_schema(self._board.snapshot.schema.missed(problem, at=at))
            return False
        self._board.put_database(sight.saw(seen, at=self._board.now()))
        return True

    async def _move_watermark(self) -> None:
        """Whatever keeps us from it, a mark that stays behind costs time and nothing else."""
        now = time.monotonic()
        is_whole = now >= self._whole_at
        with suppress(*DATABASE_ERRORS):
            await move_watermark(self._database, is_whole=is_whole, within_seconds=self._within_seconds)
            if is_whole:
                self._whole_at = now + _WHOLE_EVERY_SECONDS

    async def _look_at_webhooks(self) -> None:
        sight = self._board.snapshot.webhooks
        try:
            seen = await look_at_webhooks(
                self._database, count_limit=self._count_limit, within_seconds=self._within_seconds
            )
        except DATABASE_ERRORS as error:
            sight = sight.missed(problem_of(error), at=self._board.now())
        else:
            sight = sight.saw(seen, at=self._board.now())
        self._board.put_webhooks(sight)

    async def _look_at_schema(self) -> None:
        sight = self._board.snapshot.schema
        try:
            seen = await look_at_schema(self._database, within_seconds=self._within_seconds)
        except DATABASE_ERRORS as error:
            sight = sight.missed(problem_of(error), at=self._board.now())
        else:
            sight = sight.saw(seen, at=self._board.now())
        self._board.put_schema(sight)


class StreamPoll:
    """Asks JetStream how far the processors are."""

    name = "stream"

    def __init__(self, board: Board, stream: Stream, *, within_seconds: float) -> None:
        self._board = board
        self._stream = stream
        self._within_seconds = within_seconds

    async def look(self) -> None:
        """One round; its result is on the board."""
        sight = self._board.snapshot.stream
        try:
            async with asyncio.timeout(self._within_seconds):
                if sight.looked_at is None:  # we were started a moment ago, and are still connecting
                    await self._stream.wait_connected()
                state = await self._stream.consumer_state(CONSUMER, with_ack_floor=False)
        except TimeoutError:
            sight = sight.missed(Problem.TIMED_OUT, at=self._board.now())
        except StreamUnavailable:
            sight = sight.missed(Problem.UNREACHABLE, at=self._board.now())
        else:
            seen = StreamSeen(pending=state.pending, ack_pending=state.ack_pending)
            sight = sight.saw(seen, at=self._board.now())
        self._board.put_stream(sight)


Poll = ServicePoll | DatabasePoll | StreamPoll


async def poll_until(
    stop: asyncio.Event,
    polls: Sequence[Poll],
    board: Board,
    *,
    period_seconds: float,
    note: Callable[[Verdict], None] = lambda _: None,
) -> None:
    """
    One loop for each source; returns when ``stop`` is set and every look has ended.

    Args:
        note: hears the verdict after each look.
    """
    herald = Herald(board, note)
    async with asyncio.TaskGroup() as group:
        for poll in polls:
            rhythm = Rhythm(period_seconds, partial(board.is_settled, poll.name))
            repeating = partial(repeat, herald.after(poll.look), rhythm, stop)
            within = TURNS_WITHIN_SECONDS + 2 * period_seconds
            group.create_task(run_endless(f"poll_{poll.name}", repeating, within_seconds=within))


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How long to rest between two looks: about a period, or a fifth of it while they do not agree."""

    period_seconds: float
    is_settled: Callable[[], bool]

    def rest_seconds(self, looked_seconds: float) -> float:
        """After a look that took so long; at least a tenth of the period, so that a slow look is not hurried on."""
        share = 1.0 if self.is_settled() else _SHARE_IN_DOUBT
        wanted = self.period_seconds * share * random.uniform(1 - _JITTER, 1 + _JITTER)
        return max(wanted - looked_seconds, self.period_seconds * _REST_AT_LEAST)


async def repeat(look: Look, rhythm: Rhythm, stop: asyncio.Event) -> None:
    """Look, rest, look again, until told to stop: one flight at a time, however long it takes."""
    while not stop.is_set():
        turn()
        started = time.monotonic()
        await look()
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), rhythm.rest_seconds(time.monotonic() - started))


class Herald:
    """Tells the metrics and the record after every look, and the log whenever the verdict changed."""

    def __init__(self, board: Board, note: Callable[[Verdict], None]) -> None:
        self._board = board
        self._note = note
        self._told: Verdict | None = None

    def after(self, look: Look) -> Look:
        """The look, and then what it changed."""

        async def look_and_tell() -> None:
            await look()
            self._tell(self._board.verdict())

        return look_and_tell

    def _tell(self, verdict: Verdict) -> None:
        metrics.publish(self._board)
        self._note(verdict)
        if verdict == self._told:
            return
        self._told = verdict
        level = logs.get_logger().info if verdict.status is Status.HEALTHY else logs.get_logger().warning
        reasons = [" ".join(filter(None, (finding.reason.value, finding.subject))) for finding in verdict.findings]
        level("health_changed", status=verdict.status.value, reasons=reasons)
