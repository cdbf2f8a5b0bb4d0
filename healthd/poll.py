"""healthd's own schedule: one flight for each source, jittered, and every step of it with a deadline."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from healthd.change_notifier import ChangeNotifier, Look
from healthd.database import (
    look_at_database,
    look_at_growth,
    look_at_pauses,
    look_at_schema,
    look_at_stripe,
    look_at_webhooks,
    move_watermark,
    problem_of,
)
from healthd.health_state import HealthState
from healthd.observations import Problem, StreamSeen
from healthd.replicas import ServiceWatch, Unresolved
from healthd.verdict import Verdict
from sluice.contract.subjects import CONSUMER
from sluice.failures import StreamUnavailable
from sluice.nats.jetstream import ConsumerState
from sluice.postgres.pool import DATABASE_ERRORS, Database
from sluice.runtime.endless import TURNS_WITHIN_SECONDS, run_endless, turn

_JITTER = 0.2
_SHARE_IN_DOUBT = 0.2
_REST_AT_LEAST = 0.1
_GROWTH_EVERY_SECONDS = 60.0
_WHOLE_EVERY_SECONDS = 600


class Stream(Protocol):
    """The part of JetStream that healthd uses."""

    async def wait_connected(self) -> None:
        """Wait until connected; the caller sets the deadline."""
        ...

    async def consumer_state(self, durable: str, *, with_ack_floor: bool = True) -> ConsumerState:
        """How far the consumer is. Raises StreamUnavailable."""
        ...


class ServicePoll:
    """Asks the replicas of one service."""

    def __init__(self, state: HealthState, watch: ServiceWatch) -> None:
        self.name = watch.target.name
        self._state = state
        self._watch = watch

    async def look(self) -> None:
        """One round; its result is in the health state."""
        observation = self._state.snapshot.services[self.name]
        try:
            seen = await self._watch.look()
        except Unresolved:
            observation = observation.missed(Problem.UNRESOLVED, at=self._state.now())
        else:
            observation = observation.saw(seen, at=self._state.now())
        self._state.put_service(self.name, observation)


class DatabasePoll:
    """Asks PostgreSQL: first whether it is there, then what the journal holds, then whether the schema is sound."""

    name = "database"

    def __init__(self, state: HealthState, database: Database, *, count_limit: int, within_seconds: float) -> None:
        self._state = state
        self._database = database
        self._count_limit = count_limit
        self._within_seconds = within_seconds
        self._whole_at = self._growth_at = time.monotonic()

    async def look(self) -> None:
        """One round; its results are in the health state."""
        if await self._look_at_database():
            await self._move_watermark()
            await self._look_at_webhooks()
            await self._look_at_stripe()
            await self._look_at_growth()
            await self._look_at_pauses()
            await self._look_at_schema()  # last: a healthd whose schema is seen is ready, and has seen the rest

    async def _look_at_database(self) -> bool:
        observation = self._state.snapshot.database
        try:
            seen = await look_at_database(self._database, within_seconds=self._within_seconds)
        except DATABASE_ERRORS as error:
            problem, at = problem_of(error), self._state.now()
            self._state.put_database(observation.missed(problem, at=at))
            self._state.put_webhooks(self._state.snapshot.webhooks.missed(problem, at=at))
            self._state.put_schema(self._state.snapshot.schema.missed(problem, at=at))
            self._state.put_stripe(self._state.snapshot.stripe.missed(problem, at=at))
            self._state.put_pauses(self._state.snapshot.pauses.missed(problem, at=at))
            return False
        self._state.put_database(observation.saw(seen, at=self._state.now()))
        return True

    async def _move_watermark(self) -> None:
        """Whatever keeps us from it, a mark that stays behind costs time and nothing else."""
        now = time.monotonic()
        is_whole = now >= self._whole_at
        with suppress(*DATABASE_ERRORS):
            await move_watermark(self._database, is_whole=is_whole, within_seconds=self._within_seconds)
            if is_whole:
                self._whole_at = now + _WHOLE_EVERY_SECONDS

    async def _look_at_growth(self) -> None:
        """Once a minute. What cannot be seen stays as it was; the schema's check tells of what is missing."""
        now = time.monotonic()
        if now < self._growth_at:
            return
        self._growth_at = now + _GROWTH_EVERY_SECONDS
        with suppress(*DATABASE_ERRORS):
            self._state.put_growth(await look_at_growth(self._database, within_seconds=self._within_seconds))

    async def _look_at_webhooks(self) -> None:
        observation = self._state.snapshot.webhooks
        try:
            seen = await look_at_webhooks(
                self._database, count_limit=self._count_limit, within_seconds=self._within_seconds
            )
        except DATABASE_ERRORS as error:
            observation = observation.missed(problem_of(error), at=self._state.now())
        else:
            observation = observation.saw(seen, at=self._state.now())
        self._state.put_webhooks(observation)

    async def _look_at_schema(self) -> None:
        observation = self._state.snapshot.schema
        try:
            seen = await look_at_schema(self._database, within_seconds=self._within_seconds)
        except DATABASE_ERRORS as error:
            observation = observation.missed(problem_of(error), at=self._state.now())
        else:
            observation = observation.saw(seen, at=self._state.now())
        self._state.put_schema(observation)

    async def _look_at_stripe(self) -> None:
        """A look that fails says nothing of Stripe; the schema's own check tells of a table that is missing."""
        observation = self._state.snapshot.stripe
        try:
            seen = await look_at_stripe(self._database, within_seconds=self._within_seconds)
        except DATABASE_ERRORS as error:
            observation = observation.missed(problem_of(error), at=self._state.now())
        else:
            observation = observation.saw(seen, at=self._state.now())
        self._state.put_stripe(observation)

    async def _look_at_pauses(self) -> None:
        """As with Stripe: the schema's own check tells of a table that is missing."""
        observation = self._state.snapshot.pauses
        try:
            seen = await look_at_pauses(
                self._database, count_limit=self._count_limit, within_seconds=self._within_seconds
            )
        except DATABASE_ERRORS as error:
            observation = observation.missed(problem_of(error), at=self._state.now())
        else:
            observation = observation.saw(seen, at=self._state.now())
        self._state.put_pauses(observation)


class StreamPoll:
    """Asks JetStream how far the processors are."""

    name = "stream"

    def __init__(self, state: HealthState, stream: Stream, *, within_seconds: float) -> None:
        self._state = state
        self._stream = stream
        self._within_seconds = within_seconds

    async def look(self) -> None:
        """One round; its result is in the health state."""
        observation = self._state.snapshot.stream
        try:
            async with asyncio.timeout(self._within_seconds):
                if observation.looked_at is None:  # we were started a moment ago, and are still connecting
                    await self._stream.wait_connected()
                state = await self._stream.consumer_state(CONSUMER, with_ack_floor=False)
        except TimeoutError:
            observation = observation.missed(Problem.TIMED_OUT, at=self._state.now())
        except StreamUnavailable:
            observation = observation.missed(Problem.UNREACHABLE, at=self._state.now())
        else:
            seen = StreamSeen(pending=state.pending, ack_pending=state.ack_pending)
            observation = observation.saw(seen, at=self._state.now())
        self._state.put_stream(observation)


Poll = ServicePoll | DatabasePoll | StreamPoll


async def poll_until(
    stop: asyncio.Event,
    polls: Sequence[Poll],
    state: HealthState,
    *,
    period_seconds: float,
    note: Callable[[Verdict], None] = lambda _: None,
) -> None:
    """
    One loop for each source; returns when ``stop`` is set and every look has ended.

    Args:
        note: hears the verdict after each look.
    """
    notifier = ChangeNotifier(state, note)
    async with asyncio.TaskGroup() as group:
        for poll in polls:
            interval = PollInterval(period_seconds, partial(state.is_certain, poll.name))
            repeating = partial(repeat, notifier.after(poll.look), interval, stop)
            within = TURNS_WITHIN_SECONDS + 2 * period_seconds
            group.create_task(run_endless(f"poll_{poll.name}", repeating, within_seconds=within))


@dataclass(frozen=True, slots=True)
class PollInterval:
    """How long to rest between two looks: about a period, or a fifth of it while they do not agree."""

    period_seconds: float
    is_certain: Callable[[], bool]

    def rest_seconds(self, looked_seconds: float) -> float:
        """After a look that took so long; at least a tenth of the period, so that a slow look is not hurried on."""
        share = 1.0 if self.is_certain() else _SHARE_IN_DOUBT
        wanted = self.period_seconds * share * random.uniform(1 - _JITTER, 1 + _JITTER)
        return max(wanted - looked_seconds, self.period_seconds * _REST_AT_LEAST)


async def repeat(look: Look, interval: PollInterval, stop: asyncio.Event) -> None:
    """Look, rest, look again, until told to stop: one flight at a time, however long it takes."""
    while not stop.is_set():
        turn()
        started = time.monotonic()
        await look()
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), interval.rest_seconds(time.monotonic() - started))
