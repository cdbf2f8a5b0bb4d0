"""The demo: the simulator's day of payments through the public URL, and what became of each."""

from collections.abc import Callable
from dataclasses import dataclass

import asyncpg
from rich.console import Group, RenderableType

from sluice.simulator.client import Answer
from sluice.simulator.day import send_day
from sluice.simulator.demo import create_demo_events
from sluice.simulator.healing import build_healing_table, learn_healings
from sluice.simulator.report import await_fates, build_table
from sluice.simulator.troubles import Troubles

SETTLE_SECONDS = 60.0


@dataclass(frozen=True)
class DemoResult:
    """The tables for people, and whether everything in them is as it must be."""

    tables: RenderableType
    is_well: bool


async def run_demo(
    dsn: str, gateway_url: str, secret: str, on_answer: Callable[[int], None], *, troubles: Troubles | None = None
) -> DemoResult:
    """
    Send the day and wait until all of it is processed.

    Args:
        on_answer: hears how many deliveries are answered.
        troubles: some webhooks never come, and the reconciler finds them; None: all come.
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
        day = await send_day(gateway_url, secret, events=events, progress=count, troubles=troubles)
        fates = await await_fates(connection, day, within_seconds=SETTLE_SECONDS)
        healings = await learn_healings(connection, day, fates)
    finally:
        connection.terminate()
    is_well = day.is_as_expected and all(fate.is_well for fate in fates) and all(one.is_well for one in healings)
    tables: list[RenderableType] = [build_table(fates)]
    if healings:
        tables.append(build_healing_table(healings))
    return DemoResult(Group(*tables), is_well)
