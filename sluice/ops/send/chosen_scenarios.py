"""Which lives are sent by hand, and what became of them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sluice.ops.connection import connected
from sluice.ops.send.target import Target
from sluice.simulator.backoff import SECONDS_FOR_AN_HOUR
from sluice.simulator.builder import Subject
from sluice.simulator.catalog import STORIES
from sluice.simulator.client import Answer, Endpoint, Progress, send
from sluice.simulator.day import DayReport
from sluice.simulator.deliveries import Delivery, Life, as_stripe_sends, in_order
from sluice.simulator.demo import DemoEvent, create_demo_events
from sluice.simulator.report import Fate, await_fates


@dataclass(frozen=True, slots=True)
class Wish:
    """The scenarios that a person chose, and how to send them."""

    stories: Sequence[str]
    count: int = 1
    """How many lives of each story."""
    in_order: bool = False
    """Once each, in order; otherwise as Stripe sends."""
    events_id: str | None = None
    """The ``events`` row that they are about; None: the demo's rows, or none."""
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """The answers, and what became of the webhooks where the database is known."""

    answers: Sequence[Answer]
    fates: Sequence[Fate] = ()

    @property
    def is_well(self) -> bool:
        """Whether every answer, and every fate that is known, is as it must be."""
        return all(answer.is_as_expected for answer in self.answers) and all(fate.is_well for fate in self.fates)


async def send_lives(target: Target, wish: Wish, *, within_seconds: float, progress: Progress | None = None) -> Sent:
    """
    Send what a person wants; with a database, for the demo's rows there, and look what became of it.

    Args:
        within_seconds: how long to wait until all of it is processed.
    """
    if target.database_url is None or wish.events_id is not None:
        subjects = {name: Subject(STORIES[name].title, wish.events_id) for name in wish.stories}
        lives = [Life.of(name, subject, secret=target.secret) for name, subject in subjects.items()]
        return Sent(await _post(target, _plan(lives, wish), progress))
    async with connected(target.database_url) as connection:
        rows = await create_demo_events(connection, wish.stories)
    answers = await _post(target, _plan([_life(row, target.secret) for row in rows], wish), progress)
    async with connected(target.database_url) as connection:
        fates = await await_fates(connection, DayReport(rows, answers, wish.seed or 0), within_seconds=within_seconds)
    return Sent(answers, fates)


def _life(row: DemoEvent, secret: str) -> Life:
    return Life.of(row.story, row.subject, secret=secret, own_secret=row.webhook_secret)


def _plan(lives: Sequence[Life], wish: Wish) -> Sequence[Delivery]:
    seed, ends_at = wish.seed if wish.seed is not None else time.time_ns(), int(time.time())
    deliveries: list[Delivery] = []
    for number in range(wish.count):
        numbered = f"{seed}:{number}"
        if wish.in_order:
            deliveries += [one for life in lives for one in in_order(life, seed=numbered, ends_at=ends_at)]
        else:
            pause = SECONDS_FOR_AN_HOUR
            deliveries += as_stripe_sends(lives, seed=numbered, ends_at=ends_at, first_pause_seconds=pause)
    return deliveries


async def _post(target: Target, deliveries: Sequence[Delivery], progress: Progress | None) -> Sequence[Answer]:
    return await send(Endpoint(target.gateway_url, retries_refusals=False), deliveries, progress=progress)
