"""Deliveries that come again, through the whole system: a new life takes effect; so do test events that share an id."""

import json
import time
from typing import TYPE_CHECKING

import aiohttp
import pytest

from sluice.simulator.signature import sign
from tests.ops.cli import cli_json
from tests.ops.rows import connected
from tests.waiting import until

if TYPE_CHECKING:
    from devstack.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def post(stack: "Stack", event_id: str, kind: str, payment: str) -> int:
    """Send one test event as Stripe does."""
    about = {"id": payment, "object": "payment_intent", "amount": 5, "currency": "eur", "status": "succeeded"}
    event = {"id": event_id, "object": "event", "type": kind, "created": 1_790_000_000, "livemode": False}
    body = json.dumps({**event, "api_version": "2026-10-28.endive", "data": {"object": about}}).encode()
    headers = {
        "Stripe-Signature": sign(body, [stack.webhook_secret], timestamp=int(time.time())),
        "Content-Type": "application/json",
    }
    url = f"{stack.gateway_url}/api/stripe-webhook"
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
        return answer.status


async def are_processed(stack: "Stack", rows: int, prefix: str) -> bool:
    """Whether so many webhooks with ids that begin so have had their effect, and no other is left."""
    query = "SELECT count(*) = $2 AND bool_and(processed) FROM webhook_logs WHERE starts_with(stripe_event_id, $1)"
    async with connected(stack.database_url) as connection:
        return bool(await connection.fetchval(query, prefix, rows))


async def test_test_events_that_share_an_id_all_take_effect(stack: "Stack") -> None:
    """Each as its own; `why` finds them by the id that they share."""
    zeros = "evt_00000000000000"
    for kind, payment in (("payment_intent.succeeded", "pi_a"), ("payment_intent.created", "pi_b"), ("x.y", "pi_c")):
        assert await post(stack, zeros, kind, payment) == 200
    await until(lambda: are_processed(stack, 3, zeros))
    told = await cli_json("why", zeros, DATABASE_URL=stack.database_url)
    assert len(told["webhooks"]) == 3
    assert {payment["payment_id"] for payment in told["payments"]} == {"pi_a", "pi_b"}


async def test_a_dead_webhook_that_is_sent_again_takes_effect(stack: "Stack") -> None:
    """Once; and `why` says that it lived again."""
    assert await post(stack, "evt_again", "payment_intent.succeeded", "pi_again") == 200
    await until(lambda: are_processed(stack, 1, "evt_again"))
    async with connected(stack.database_url) as connection:
        await connection.execute(
            "UPDATE webhook_logs SET processed = false, dead_at = now(), outcome = 'failed', processing_attempts = 16"
            " WHERE stripe_event_id = 'evt_again'"
        )
    assert await post(stack, "evt_again", "payment_intent.succeeded", "pi_again") == 200
    await until(lambda: are_processed(stack, 1, "evt_again"))
    told = await cli_json("why", "evt_again", DATABASE_URL=stack.database_url)
    [webhook] = told["webhooks"]
    assert (webhook["revivals"], webhook["dead_at"], len(webhook["repeats"])) == (1, None, 1)
    assert [len(payment["facts"]) for payment in told["payments"]] == [1]
