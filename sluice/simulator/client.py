"""Posts deliveries as Stripe would: signed at the moment of sending, a few at a time, again when not answered 2xx."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias

import aiohttp

from sluice.simulator.backoff import SECONDS_FOR_AN_HOUR, pauses
from sluice.simulator.deliveries import Delivery, Reason
from sluice.simulator.signature import sign

CONCURRENCY = 32
_ANSWER_SECONDS = 10.0
_USER_AGENT = "Stripe/1.0 (+https://stripe.com/docs/webhooks)"
_LONGEST_EXPLANATION = 400
FORGERY_HEADER = "Sluice-Simulator-Forgery"
"""Marks forgeries made on purpose, so that a person who watches refusals looks for no fault."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One POST and what came of it."""

    http_status: int | None
    """None: there was no answer."""
    latency_seconds: float
    explanation: str = ""
    """What Sluice said when it did not say 2xx, or why there was no answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of one delivery, after all its attempts."""

    delivery: Delivery
    attempts: tuple[Attempt, ...]

    @property
    def last(self) -> Attempt:
        """The attempt that settled it."""
        return self.attempts[-1]

    @property
    def is_as_expected(self) -> bool:
        """Whether Sluice finally said what it must say."""
        return self.last.http_status == self.delivery.expected_http_status


Progress: TypeAlias = Callable[[Answer], None]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to send to, and how eagerly."""

    gateway_url: str
    concurrency: int = CONCURRENCY
    in_real_time: bool = True
    """Whether to keep the day's pace; otherwise everything is sent at once."""
    seconds_for_an_hour: float = SECONDS_FOR_AN_HOUR
    """How long an hour between two attempts takes."""
    retries_refusals: bool = True
    """Whether 4xx is tried again too, as Stripe does; a person who waits for the answer would rather see it."""


async def send(
    endpoint: Endpoint, deliveries: Iterable[Delivery], *, progress: Progress | None = None
) -> Sequence[Answer]:
    """
    Post every delivery and wait for all answers, those of repeats too; an unreachable gateway is an answer, no error.

    Args:
        progress: called with each answer as it comes.
    """
    connector = aiohttp.TCPConnector(limit=endpoint.concurrency)
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        poster = _Poster(session, endpoint, asyncio.Semaphore(endpoint.concurrency), time.monotonic(), progress)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(poster.deliver(delivery)) for delivery in deliveries]
    return [task.result() for task in tasks]


@dataclass(frozen=True, slots=True)
class _Poster:
    session: aiohttp.ClientSession
    endpoint: Endpoint
    free_hands: asyncio.Semaphore
    began: float
    progress: Progress | None

    async def deliver(self, delivery: Delivery) -> Answer:
        if self.endpoint.in_real_time:
            await asyncio.sleep(self.began + delivery.at_seconds - time.monotonic())
        attempts = [await self._post(delivery)]
        for pause in pauses(seconds_for_an_hour=self.endpoint.seconds_for_an_hour):
            if not self._is_tried_again(delivery, attempts[-1].http_status):
                break
            await asyncio.sleep(pause)
            attempts.append(await self._post(delivery))
        answer = Answer(delivery, tuple(attempts))
        if self.progress is not None:
            self.progress(answer)
        return answer

    def _is_tried_again(self, delivery: Delivery, http_status: int | None) -> bool:
        if not delivery.is_retried or _is_success(http_status):
            return False
        return self.endpoint.retries_refusals or not _is_refusal(http_status)

    async def _post(self, delivery: Delivery) -> Attempt:
        async with self.free_hands:
            began = time.monotonic()
            try:
                http_status, explanation = await self._exchange(delivery)
            except (aiohttp.ClientError, TimeoutError) as error:
                return Attempt(None, time.monotonic() - began, str(error) or type(error).__name__)
            return Attempt(http_status, time.monotonic() - began, explanation)

    async def _exchange(self, delivery: Delivery) -> tuple[int, str]:
        body = delivery.event.body
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign(body, delivery.secrets, timestamp=int(time.time())),
            "User-Agent": _USER_AGENT,
        }
        if delivery.reason is Reason.FORGERY:
            headers[FORGERY_HEADER] = "1"
        url = self.endpoint.gateway_url.rstrip("/") + delivery.path
        async with self.session.post(url, data=body, headers=headers, allow_redirects=False) as response:
            said = await response.text(errors="replace")
            return response.status, "" if _is_success(response.status) else said[:_LONGEST_EXPLANATION].strip()


def _is_success(http_status: int | None) -> bool:
    return http_status is not None and HTTPStatus.OK <= http_status < HTTPStatus.MULTIPLE_CHOICES


def _is_refusal(http_status: int | None) -> bool:
    return http_status is not None and HTTPStatus.BAD_REQUEST <= http_status < HTTPStatus.INTERNAL_SERVER_ERROR
