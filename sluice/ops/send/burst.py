"""The founding document's load test: many webhooks at the same instant, each of them several times."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from sluice.ops.send.target import Target
from sluice.ops.status.evidence import LOAD_TEST_FILE, LoadTest
from sluice.simulator.client import Answer, Endpoint, Progress, send
from sluice.simulator.deliveries import Delivery, Life, Reason, in_order
from sluice.simulator.telling import Subject

TIMES_EACH = 3
_STORY = "checkout_paid"
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


def record(test: LoadTest, folder: Path) -> None:
    """Put the test on record beside the stack, for ``sluice status --since``."""
    document = {**asdict(test), "at": test.at.isoformat()}
    (folder / LOAD_TEST_FILE).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _one(secret: str, *, seed: str, ends_at: int) -> Delivery:
    life = Life.of(_STORY, Subject("Load test"), secret=secret)
    return next(one for one in in_order(life, seed=seed, ends_at=ends_at) if one.event.type == _TYPE)
