"""Wait until the webhooks that were sent have had their effect."""

import asyncio
from collections.abc import Sequence

from sluice.ops.connection import connected
from sluice.postgres.sql import load_queries
from sluice.simulator.client import Answer
from sluice.simulator.deliveries import PLATFORM_PATH, Reason

_QUERIES = load_queries(__file__, "effects.sql")
_PAUSE_SECONDS = 0.2


async def await_effects(database_url: str, answers: Sequence[Answer], *, within_seconds: float) -> Sequence[str]:
    """
    Look until every platform webhook that was sent is processed, or the time is over; the ids of those that are not.

    Raises:
        click.ClickException: the database cannot be reached or forbids it; with the fix.
    """
    sent = {one.delivery.event.stripe_event_id for one in answers if _is_genuine(one)}
    deadline = asyncio.get_running_loop().time() + within_seconds
    async with connected(database_url) as connection:
        while True:
            found = await connection.fetch(_QUERIES["find_processed"], sorted(sent))
            late = sent - {row["stripe_event_id"] for row in found}
            if not late or asyncio.get_running_loop().time() >= deadline:
                return sorted(late)
            await asyncio.sleep(_PAUSE_SECONDS)


def _is_genuine(answer: Answer) -> bool:
    return answer.delivery.path == PLATFORM_PATH and answer.delivery.reason is not Reason.FORGERY
