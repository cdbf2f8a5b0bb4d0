"""Stripe's side of a fault: it keeps sending, sends again what was not answered 2xx, and remembers what was."""

import asyncio
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from sluice.simulator.signature import sign

PATH = "/api/stripe-webhook"
_ANSWER_SECONDS = 10.0
_RETRY_SECONDS = 0.3
_ids = itertools.count(1)


@dataclass
class Traffic:
    """A steady stream of successful payments, each for one of the given rows of ``events``."""

    gateway_url: str
    secret: str
    events: Sequence[str]
    acknowledged: set[str] = field(default_factory=set)
    answers: Counter[int] = field(default_factory=Counter)
    """How often each HTTP status was answered; 0 for no answer at all."""
    slowest_seconds: float = 0.0
    sent_at: dict[str, float] = field(default_factory=dict)
    """When each webhook of the steady stream was sent first, by this machine's clock."""
    _answered: asyncio.Condition = field(default_factory=asyncio.Condition)

    @asynccontextmanager
    async def flowing(self, *, per_second: float, end_within_seconds: float = 120) -> AsyncIterator[None]:
        """
        Send while the block runs; leave it once everything that was sent is acknowledged.

        Raises:
            AssertionError: that did not happen in time.
        """
        stop = asyncio.Event()
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            source = group.create_task(self._send_steadily(session, group, stop, per_second))
            try:
                yield
            finally:
                stop.set()
            await source
            await self._until(
                lambda: self.sent_at.keys() <= self.acknowledged,
                end_within_seconds,
                "all that was sent is acknowledged",
            )

    async def _until(self, holds: Callable[[], bool], within_seconds: float, what: str) -> None:
        try:
            async with asyncio.timeout(within_seconds), self._answered:
                await self._answered.wait_for(holds)
        except TimeoutError:
            answers = dict(self.answers)
            raise AssertionError(f"not within {within_seconds:g} s: {what}; all answers: {answers}") from None

    async def burst(self, bodies: Sequence[bytes], *, times: int) -> list[int]:
        """Send all bodies at the same instant, each several times; the HTTP statuses."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            copies = [body for body in bodies for _ in range(times)]
            random.shuffle(copies)
            return await asyncio.gather(*(self.post(session, body) for body in copies))

    async def acknowledged_more(self, count: int, *, within_seconds: float) -> None:
        """Wait until so many more webhooks are acknowledged."""
        wanted = len(self.acknowledged) + count
        await self._until(
            lambda: len(self.acknowledged) >= wanted, within_seconds, f"{count} more webhooks acknowledged"
        )

    async def answered_more(self, status: int, count: int, *, within_seconds: float) -> None:
        """Wait until a status was answered so many more times."""
        wanted = self.answers[status] + count
        await self._until(lambda: self.answers[status] >= wanted, within_seconds, f"{count} more answers {status}")

    def payment(self) -> bytes:
        """A webhook that says that one more payment for one of the rows has succeeded."""
        number = next(_ids)
        return payment_succeeded(
            f"evt_flow{number}", f"pi_flow{number}", events_id=self.events[number % len(self.events)]
        )

    async def _send_steadily(
        self, session: aiohttp.ClientSession, group: asyncio.TaskGroup, stop: asyncio.Event, per_second: float
    ) -> None:
        while not stop.is_set():
            body = self.payment()
            self.sent_at[json.loads(body)["id"]] = time.time()
            group.create_task(self._send_until_acknowledged(session, body))
            await asyncio.sleep(1 / per_second)  # the pace of the traffic

    async def _send_until_acknowledged(self, session: aiohttp.ClientSession, body: bytes) -> None:
        while await self.post(session, body) != 200:
            await asyncio.sleep(_RETRY_SECONDS)  # as Stripe waits before it tries again

    async def post(self, session: aiohttp.ClientSession, body: bytes) -> int:
        """Send one webhook once; the HTTP status, 0 for no answer."""
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign(body, [self.secret], timestamp=int(time.time())),
        }
        began = time.monotonic()
        status = 0
        try:
            timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
            async with session.post(self.gateway_url + PATH, data=body, headers=headers, timeout=timeout) as answer:
                status = answer.status
                if status == 200:
                    self.acknowledged.add((await answer.json())["id"])
        except (aiohttp.ClientError, TimeoutError):
            status = 0
        self.answers[status] += 1
        self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
        async with self._answered:
            self._answered.notify_all()
        return status


def payment_succeeded(event_id: str, intent: str, *, events_id: str) -> bytes:
    """The body of a ``payment_intent.succeeded`` that names a row of ``events``."""
    now = int(time.time())
    return json.dumps(
        {
            "id": event_id,
            "object": "event",
            "api_version": "2026-10-28.endive",
            "created": now,
            "livemode": False,
            "type": "payment_intent.succeeded",
            "data": {
                "object": {
                    "id": intent,
                    "object": "payment_intent",
                    "amount": 4200,
                    "amount_received": 4200,
                    "currency": "eur",
                    "created": now,
                    "status": "succeeded",
                    "metadata": {"event_id": events_id},
                }
            },
        }
    ).encode()
