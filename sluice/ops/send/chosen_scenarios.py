"""Send the chosen scenarios and look up what became of them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sluice.ops.connection import connected
from sluice.ops.send.target import Target
from sluice.simulator.backoff import SECONDS_FOR_AN_HOUR
from sluice.simulator.builder import Subject
from sluice.simulator.catalog import SCENARIOS
from sluice.simulator.client import Answer, Endpoint, Progress, send
from sluice.simulator.day import DayReport
from sluice.simulator.deliveries import Delivery, ScenarioRun, as_stripe_sends, in_order
from sluice.simulator.demo import DemoEvent, create_demo_events
from sluice.simulator.report import Fate, await_fates


@dataclass(frozen=True, slots=True)
class Choice:
    """The scenarios that a person chose, and how to send them."""

    scenarios: Sequence[str]
    count: int = 1
    """How many runs of each scenario."""
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


async def send_scenarios(
    target: Target, choice: Choice, *, within_seconds: float, progress: Progress | None = None
) -> Sent:
    """
    Send what a person wants; with a database, for the demo's rows there, and look what became of it.

    Args:
        within_seconds: how long to wait until all of it is processed.
    """
    if target.database_url is None or choice.events_id is not None:
        subjects = {name: Subject(SCENARIOS[name].title, choice.events_id) for name in choice.scenarios}
        runs = [ScenarioRun.of(name, subject, secret=target.secret) for name, subject in subjects.items()]
        return Sent(await _post(target, _plan(runs, choice), progress))
    async with connected(target.database_url) as connection:
        rows = await create_demo_events(connection, choice.scenarios)
    answers = await _post(target, _plan([_run(row, target.secret) for row in rows], choice), progress)
    async with connected(target.database_url) as connection:
        fates = await await_fates(connection, DayReport(rows, answers, choice.seed or 0), within_seconds=within_seconds)
    return Sent(answers, fates)


def _run(row: DemoEvent, secret: str) -> ScenarioRun:
    return ScenarioRun.of(row.scenario, row.subject, secret=secret, own_secret=row.webhook_secret)


def _plan(runs: Sequence[ScenarioRun], choice: Choice) -> Sequence[Delivery]:
    seed, ends_at = choice.seed if choice.seed is not None else time.time_ns(), int(time.time())
    deliveries: list[Delivery] = []
    for number in range(choice.count):
        numbered = f"{seed}:{number}"
        if choice.in_order:
            deliveries += [one for run in runs for one in in_order(run, seed=numbered, ends_at=ends_at)]
        else:
            pause = SECONDS_FOR_AN_HOUR
            deliveries += as_stripe_sends(runs, seed=numbered, ends_at=ends_at, first_pause_seconds=pause)
    return deliveries


async def _post(target: Target, deliveries: Sequence[Delivery], progress: Progress | None) -> Sequence[Answer]:
    return await send(Endpoint(target.gateway_url, retries_refusals=False), deliveries, progress=progress)
