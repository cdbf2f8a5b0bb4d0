"""Pauses in any order with deliveries end in the statuses of a history without pauses."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from processor.failures.retry_policy import Patience, Schedule
from sluice.contract.event import StripeEvent
from sluice.inbox.operations import read_states
from sluice.inbox.pauses import Kind, Pause, traits_of
from sluice.inbox.states import State
from sluice.operations.pauses import AlreadyPaused, Target
from sluice.registry import Transaction, handles
from tests.processor.harness import Harness, Message, flat, thin_event, write_effect
from tests.processor.harness import event as new_event
from tests.processor.pausing import A_HANDLER, A_TYPE, AN_ACCOUNT, EVERYTHING, Pausing

TARGETS: Final = (EVERYTHING, A_TYPE, AN_ACCOUNT, A_HANDLER, Target(Kind.TYPE, "v1.test.*"))
ATTEMPTS: Final = 3
_FALL_DUE = """
UPDATE webhook_logs SET next_attempt_at = now()
WHERE NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at < 'infinity'
"""
_ROWS = """
SELECT stripe_event_id, processed, outcome, processing_attempts, dead_at IS NOT NULL AS is_dead
FROM webhook_logs WHERE stripe_event_id = ANY ($1)
"""

Ended: TypeAlias = Mapping[str, tuple[object, ...]]


def _events() -> Sequence[StripeEvent]:
    """One of each kind, with keys that no other history has."""
    return [
        new_event(),
        replace(new_event(), account="acct_1"),
        replace(new_event("test.flaky"), account="acct_1"),
        new_event("test.fails"),
        new_event("test.unknown"),
        thin_event(new_event().stripe_event_id),
        replace(new_event("test.flaky"), account="acct_2"),
    ]


@dataclass
class History:
    """One course of deliveries, redeliveries, retries and pauses."""

    pausing: Pausing
    events: Sequence[StripeEvent]
    recorded: set[int] = field(default_factory=set)
    in_force: dict[int, Target] = field(default_factory=dict)

    @property
    def harness(self) -> Harness:
        """Processor and rows."""
        return self.pausing.harness

    async def deliver(self, number: int) -> None:
        """Record one, or only bring its first message again."""
        of = self.events[number]
        if number not in self.recorded:
            self.recorded.add(number)
            await self.harness.record(of)
        await self.harness.worker().take([Message(of).incoming()])

    async def pause(self, number: int) -> None:
        """Begin a pause, unless the same is in force."""
        target = TARGETS[number % len(TARGETS)]
        if target in self.in_force.values():
            return
        try:
            self.in_force[await self.pausing.pause(target)] = target
        except AlreadyPaused as error:
            raise AssertionError from error

    async def resume(self, number: int) -> None:
        """End one of those in force."""
        if self.in_force:
            pause_id = sorted(self.in_force)[number % len(self.in_force)]
            del self.in_force[pause_id]
            await self.pausing.resume(pause_id)

    async def let_go(self, _: int) -> None:
        """A processor lets go what waits for nothing."""
        await self.pausing.let_go()

    async def retry(self, _: int) -> None:
        """Time passes, and the relay publishes what is due."""
        await self.harness.database.execute(_FALL_DUE)
        await self.pausing.take_due(*self.events)

    async def take_directly(self, _: int) -> None:
        """NATS is away."""
        await self.pausing.take_directly()

    async def heed(self) -> None:
        """Fail where something ran, or ended, that is covered by a pause in force."""
        before = await self.ended()
        effects = await self.harness.effects()
        await self.harness.database.execute(_FALL_DUE)
        await self.pausing.take_due(*self.events)
        await self.pausing.take_directly()
        after = await self.ended()
        for of in self.events:
            if self.is_covered(of) and of.stripe_event_id in before:
                assert after[of.stripe_event_id] == before[of.stripe_event_id]
                assert (await self.harness.effects()).get(of.stripe_event_id) == effects.get(of.stripe_event_id)

    def is_covered(self, of: StripeEvent) -> bool:
        """Whether a pause in force covers it."""
        pauses = [Pause(number, target.kind, target.value) for number, target in self.in_force.items()]
        return self.pausing.known.covering(pauses, traits_of(of)) is not None

    async def end(self) -> Ended:
        """End all pauses, deliver what is missing, and let everything come to its end."""
        for _ in list(self.in_force):
            await self.resume(0)
        for number in range(len(self.events)):
            await self.deliver(number)
        await self.pausing.let_go()
        for _ in range(ATTEMPTS + 1):
            await self.retry(0)
            await self.take_directly(0)
        return await self.ended()

    async def ended(self) -> Ended:
        """How each row stands."""
        rows = await self.harness.database.fetch(_ROWS, [of.stripe_event_id for of in self.events])
        return {row["stripe_event_id"]: tuple(row)[1:] for row in rows}


STEPS: Final[Mapping[str, Callable[..., object]]] = {
    name: getattr(History, name) for name in ("deliver", "pause", "resume", "let_go", "retry", "take_directly")
}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["deliver", "deliver", "pause", "resume", *STEPS]), st.integers(0, 20)), max_size=25
    )
)
async def test_a_history_with_pauses_ends_as_one_without(harness: Harness, steps: list[tuple[str, int]]) -> None:
    """Outcome, attempts and effects are the same; while a pause is in force nothing that it covers changes."""
    _with_handlers(harness)
    history = History(Pausing(harness), _events())
    for name, number in steps:
        await STEPS[name](history, number % len(history.events) if name == "deliver" else number)  # type: ignore[misc]
        if history.in_force:
            event("heeded")
            await history.heed()
    ended = list((await history.end()).items())
    plain = History(Pausing(harness), _events())
    wanted = list((await plain.end()).items())
    assert _by_place(history, ended) == _by_place(plain, wanted)
    effects = await harness.effects()
    assert [effects.get(of.stripe_event_id) for of in history.events] == [1, 1, 1, None, None, None, 1]
    async with harness.database.acquire() as connection:
        states = await read_states(connection, [of.stripe_event_id for of in history.events])
    assert State.PAUSED not in states.values()
    [row] = await harness.database.fetch("SELECT count(*) FROM paused_webhook")
    assert row[0] == 0


def _by_place(history: History, ended: Sequence[tuple[str, tuple[object, ...]]]) -> list[tuple[object, ...]]:
    by_id = dict(ended)
    return [by_id[of.stripe_event_id] for of in history.events]


def _with_handlers(harness: Harness) -> None:
    """One that fails at first, and one that fails for good; without waits, so that a history is short."""
    if "test.flaky" in harness.registry.types:
        return
    failures: dict[str, int] = {}

    @handles("test.flaky", registry=harness.registry)
    async def fail_once(of: StripeEvent, tx: Transaction) -> None:
        await write_effect(of, tx)
        failures[of.stripe_event_id] = failures.get(of.stripe_event_id, 0) + 1
        if failures[of.stripe_event_id] == 1:
            raise ValueError("not yet")

    @handles("test.fails", registry=harness.registry)
    async def fail(of: StripeEvent, tx: Transaction) -> None:
        raise ValueError("never")

    harness.schedule = Schedule(ATTEMPTS, 60, spread=flat(30))
    harness.patience = Patience(60)
