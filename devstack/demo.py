"""The demo: the simulator's day of payments through the public URL, and what became of each."""

from collections.abc import Callable
from dataclasses import dataclass

import asyncpg
from rich.console import RenderableType

from sluice.simulator.client import Answer
from sluice.simulator.day import send_day
from sluice.simulator.demo import create_demo_events
from sluice.simulator.report import await_fates, build_table
from sluice.simulator.stripe_api.offline_stripe import OfflineStripe

SETTLE_SECONDS = 60.0


@dataclass(frozen=True)
class DemoResult:
    """The table for people, and whether everything in it is as it must be."""

    table: RenderableType
    is_well: bool


async def run_demo(
    dsn: str, gateway_url: str, secret: str, on_answer: Callable[[int], None], *, stripe: OfflineStripe | None = None
) -> DemoResult:
    """
    Send the day and wait until all of it is processed.

    Args:
        on_answer: hears how many deliveries are answered.
        stripe: knows of every event, of which some are never delivered; the reconciler finds them.
    """
    answered = 0

    def count(answer: Answer) -> None:
        nonlocal answered
        del answer
        answered += 1
        on_answer(answered)

    connection = await asyncpg.connect(dsn, timeout=10, command_timeout=10)
    try:
        events = await create_demo_events(connection)
        day = await send_day(gateway_url, secret, events=events, progress=count, stripe=stripe)
        fates = await await_fates(connection, day, within_seconds=SETTLE_SECONDS)
    finally:
        connection.terminate()
    is_well = day.is_as_expected and all(fate.is_well for fate in fates)
    return DemoResult(build_table(fates), is_well)
