"""The founding document's load test: many webhooks at the same instant, each of them several times."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from sluice.ops.connection import connected
from sluice.ops.send.target import Target
from sluice.ops.status.evidence import LoadTest
from sluice.postgres.sql import load_queries
from sluice.simulator.builder import Subject
from sluice.simulator.client import Answer, Endpoint, Progress, send
from sluice.simulator.deliveries import Delivery, Reason, ScenarioRun, in_order

_QUERIES = load_queries(__file__, "burst.sql")
TIMES_EACH = 3
_SCENARIO = "checkout_paid"
_TYPE = "payment_intent.succeeded"


def plan_burst(secret: str, *, connections: int, seed: str, ends_at: int) -> Sequence[Delivery]:
    """One event of its own for each connection, and each three times; none names an ``events`` row."""
    first = [_one(secret, seed=f"{seed}:{number}", ends_at=ends_at) for number in range(connections)]
    again = [replace(one, reason=Reason.TWICE_AT_ONCE) for one in first]
    return [*first, *again * (TIMES_EACH - 1)]


async def send_burst(
    target: Target, *, connections: int, progress: Progress | None = None
) -> tuple[LoadTest, Sequence[Answer]]:
    """Post them all over that many connections, and sum up."""
    deliveries = plan_burst(target.secret, connections=connections, seed=str(time.time_ns()), ends_at=int(time.time()))
    endpoint = Endpoint(target.gateway_url, concurrency=connections, in_real_time=False, retries_refusals=False)
    answers = await send(endpoint, deliveries, progress=progress)
    latencies = [attempt.latency_seconds for answer in answers for attempt in answer.attempts]
    test = LoadTest(
        at=datetime.now(UTC),
        connections=connections,
        sent=len(answers),
        accepted=sum(answer.is_as_expected and len(answer.attempts) == 1 for answer in answers),
        slowest_seconds=max(latencies, default=0.0),
    )
    return test, answers


async def record(test: LoadTest, database_url: str) -> None:
    """
    Put the test on record, for ``sluice status --since``.

    Raises:
        click.ClickException: the database cannot be reached or forbids it; with the fix.
    """
    async with connected(database_url) as connection:
        await connection.execute(
            _QUERIES["add_load_test"], test.at, test.connections, test.sent, test.accepted, test.slowest_seconds
        )


def _one(secret: str, *, seed: str, ends_at: int) -> Delivery:
    run = ScenarioRun.of(_SCENARIO, Subject("Load test"), secret=secret)
    return next(one for one in in_order(run, seed=seed, ends_at=ends_at) if one.event.type == _TYPE)
