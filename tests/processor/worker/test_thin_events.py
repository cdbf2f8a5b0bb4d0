"""Thin events in the processor: they wait for the reconciler, and no handler sees them."""

import time

from processor import metrics
from sluice.contract.thin import GENERATION_FAILURE, PING
from sluice.inbox.operations import read_states
from sluice.inbox.states import State
from sluice.registry import handles
from tests.processor.harness import Harness, thin_event, write_effect

WAITING = "SELECT stripe_event_id, tries FROM thin_fetch"


async def state_of(harness: Harness, event_id: str) -> State:
    """The state of one row."""
    async with harness.database.acquire() as connection:
        return (await read_states(connection, [event_id]))[event_id]


async def test_a_thin_event_that_a_handler_takes_waits_for_its_fetch(harness: Harness) -> None:
    """The handler of the plain type is not asked of what has no object; the wait is no failure and no death."""
    [message] = await harness.recorded(thin_event("evt_thin_1"))
    await harness.take(message)
    assert await state_of(harness, "evt_thin_1") is State.FETCHING
    assert [tuple(row) for row in await harness.database.fetch(WAITING)] == [("evt_thin_1", 0)]
    assert message.is_acknowledged
    assert await harness.effects() == {}
    assert await harness.error_rows() == []


async def test_a_late_message_of_a_thin_event_that_waits_changes_nothing(harness: Harness) -> None:
    """JetStream may bring it again; it is acknowledged and the wait goes on."""
    [message] = await harness.recorded(thin_event("evt_thin_1"))
    await harness.take(message)
    again = message.again()
    await harness.worker().take([again.incoming()])
    assert again.is_acknowledged
    assert await state_of(harness, "evt_thin_1") is State.FETCHING
    assert [tuple(row) for row in await harness.database.fetch(WAITING)] == [("evt_thin_1", 0)]


async def test_a_thin_event_that_no_handler_takes_costs_no_fetch(harness: Harness) -> None:
    """It is ignored as its snapshot twin would be."""
    [message] = await harness.recorded(thin_event("evt_thin_1", "v1.galaxy.collided"))
    await harness.take(message)
    assert (await harness.row(message.event))["outcome"] == "ignored"
    assert await harness.database.fetch(WAITING) == []


async def test_an_event_that_stripe_failed_to_make_waits_for_its_object(harness: Harness) -> None:
    """No handler takes the failure's own type; what is fetched has another."""
    [message] = await harness.recorded(thin_event("evt_thin_1", GENERATION_FAILURE))
    await harness.take(message)
    assert await state_of(harness, "evt_thin_1") is State.FETCHING


async def test_a_type_of_the_second_api_waits_for_a_handler_of_that_very_name(harness: Harness) -> None:
    """There the type has no prefix to take away."""
    handles("v2.core.account.updated", registry=harness.registry)(write_effect)
    [message] = await harness.recorded(thin_event("evt_thin_1", "v2.core.account.updated"))
    await harness.take(message)
    assert await state_of(harness, "evt_thin_1") is State.FETCHING


async def test_an_organisers_thin_event_is_visibly_dead(harness: Harness) -> None:
    """Our key does not open that account, and an organiser's word must not fetch what is the platform's."""
    handles("test.effect", organisers=True, registry=harness.registry)(write_effect)
    [message] = await harness.recorded(thin_event("evt_thin_1", tenant="7"))
    await harness.take(message)
    assert await state_of(harness, "evt_thin_1@7") is State.UNSUPPORTED
    assert "organiser" in (await harness.row(message.event))["last_error"]
    assert await harness.database.fetch(WAITING) == []


async def test_a_ping_has_an_outcome_of_its_own_and_its_moment_is_a_metric(harness: Harness) -> None:
    """It has come the whole way: received, recorded, published, processed."""
    [message] = await harness.recorded(thin_event("evt_thin_1", PING))
    before = time.time()
    await harness.take(message)
    row = await harness.row(message.event)
    assert (row["processed"], row["outcome"]) == (True, "ping")
    assert metrics.LAST_PING.labels("live")._value.get() >= before


async def test_a_ping_that_came_through_an_organisers_url_is_no_sign_of_ours(harness: Harness) -> None:
    """An organiser may sign one at any time."""
    metrics.LAST_PING.clear()
    [message] = await harness.recorded(thin_event("evt_thin_1", PING, tenant="7"))
    await harness.take(message)
    assert (await harness.row(message.event))["outcome"] == "ping"
    assert next(iter(metrics.LAST_PING.collect())).samples == []
