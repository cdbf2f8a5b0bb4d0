"""Messages of a history that a restore has undone: their webhooks may be there again, as Stripe's API gave them."""

import json
from dataclasses import replace

import pytest

from sluice.contract.event import StripeEvent
from tests.metrics import counted
from tests.processor.harness import Harness, Message, event


def fetched(of: StripeEvent) -> StripeEvent:
    """The same event as Stripe's API gives it."""
    document = {**json.loads(of.body), "pending_webhooks": 0}
    return replace(of, body=json.dumps(document).encode())


async def _fetched_row(harness: Harness, of: StripeEvent) -> Message:
    [message] = await harness.recorded(of)
    await harness.set_row(of, "verified_by = 'api'")
    return message


@pytest.mark.parametrize("is_over", [False, True])
@pytest.mark.parametrize("version", [None, "2019-01-01"])
@pytest.mark.parametrize("filler", [0, 20_000], ids=["small", "large"])
async def test_a_message_of_before_the_restore_is_no_forgery(
    harness: Harness, filler: int, version: str | None, is_over: bool
) -> None:
    """Its row was lost and fetched: the message is not run and alarms nobody, and the row has its own effect once."""
    signed = event()
    signed = replace(signed, body=json.dumps({**json.loads(signed.body), "filler": "x" * filler}).encode())
    genuine = await _fetched_row(harness, fetched(signed))
    if is_over:
        await harness.take(genuine)
    before = counted("webhook_messages_forged_total")
    old = Message(replace(signed, api_version=version or signed.api_version), deliveries=2)
    await harness.take(old)
    assert old.is_acknowledged
    assert (await harness.row(signed))["processed"] is is_over
    await harness.take(genuine)
    assert await harness.effects() == {signed.stripe_event_id: 1}
    assert await harness.error_rows() == []
    assert counted("webhook_messages_forged_total") == before


@pytest.mark.parametrize("field", ["type", "account", "object_id", "tenant"])
async def test_a_message_that_says_something_else_of_a_fetched_row_is_a_forgery(harness: Harness, field: str) -> None:
    """Stripe's API gives an event's type, account and object as its webhook did."""
    signed = event()
    await _fetched_row(harness, fetched(signed))
    await harness.take(Message(replace(signed, **{field: "other"})))  # type: ignore[arg-type]
    [error] = await harness.error_rows()
    assert field in error["message"]


async def test_a_message_that_differs_from_a_signed_row_is_a_forgery(harness: Harness) -> None:
    """No restore explains another body under an id that Stripe signed."""
    [genuine] = await harness.recorded(event())
    await harness.take(Message(fetched(genuine.event)))
    [error] = await harness.error_rows()
    assert "(body)" in error["message"]
