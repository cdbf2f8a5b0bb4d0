"""The console in the whole system: what a processor answers it, and what is left when it is killed."""

import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import pytest

from devstack.stack import Stack
from sluice.simulator.signature import sign
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]
_TOKEN = re.compile(r'name="form_token" value="([^"]+)"')
_ITEMS = 40
_DONE = "SELECT count(*) FROM operation_item WHERE operation_id = $1 AND done_at IS NOT NULL"


class Browser:
    """A session of the console, entered by its link."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self._base = base

    async def get(self, path: str) -> str:
        """Read a page."""
        async with self._session.get(f"{self._base}{path}") as answer:
            assert answer.status in {200, 404}, (path, answer.status)
            return await answer.text()

    async def send(self, path: str, page: str, **fields: str) -> str:
        """Send a form of a page; where it led to."""
        token = _TOKEN.search(await self.get(page))
        assert token is not None, page
        headers = {"Origin": self._base, "Sec-Fetch-Site": "same-origin"}
        data = {"form_token": token[1], **fields}
        async with self._session.post(
            f"{self._base}{path}", data=data, headers=headers, allow_redirects=False
        ) as answer:
            assert answer.status == 303, await answer.text()
            return answer.headers["Location"]


@asynccontextmanager
async def entered(stack: Stack) -> AsyncIterator[Browser]:
    """Enter the console by its next link."""
    link = stack.console_link()
    base = "://".join(urlsplit(link)[:2])
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.get(f"{link}&by=ada") as answer:
            assert answer.status == 200
        yield Browser(session, base)


async def _query(stack: Stack, question: str, *values: object) -> object:
    connection = await asyncpg.connect(stack.database_url, timeout=10)
    try:
        return await connection.fetchval(question, *values, timeout=10)
    finally:
        await connection.close(timeout=5)


async def _send(stack: Stack, event_id: str) -> None:
    intent = {"id": "pi_console", "object": "payment_intent", "amount": 4200, "amount_received": 4200}
    intent |= {"currency": "eur", "status": "succeeded", "metadata": {}}
    event = {"id": event_id, "object": "event", "type": "payment_intent.succeeded", "created": 1_790_000_000}
    event |= {"api_version": "2026-10-28.endive", "livemode": False, "data": {"object": intent}}
    body = json.dumps(event).encode()
    signature = sign(body, [stack.webhook_secret], timestamp=int(time.time()))
    headers = {"Stripe-Signature": signature, "Content-Type": "application/json"}
    url = f"{stack.gateway_url}/api/stripe-webhook"
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
        assert answer.status == 200
    query = "SELECT processed FROM webhook_logs WHERE stripe_event_id = $1"

    async def is_processed() -> bool:
        return bool(await _query(stack, query, event_id))

    await until(is_processed)


async def test_a_processor_answers_what_a_replay_would_change(stack: Stack) -> None:
    """And the replay then does it: a webhook whose facts were lost writes them again."""
    await _send(stack, "evt_console_1")
    await _query(stack, "DELETE FROM payment_fact WHERE stripe_event_id = 'evt_console_1' RETURNING 1")
    chosen = {"id": "evt_console_1", "state": "processed"}
    page = "/act/replay?id=evt_console_1&state=processed"
    async with entered(stack) as browser:
        rehearsal = await browser.send("/act/replay/rehearse", page, **chosen)

        async def is_answered() -> bool:
            return "was rolled back" in await browser.get(rehearsal)

        await until(is_answered, within_seconds=30)
        assert "payment_fact" in await browser.get(rehearsal)
        assert not await _query(stack, "SELECT count(*) FROM payment_fact WHERE stripe_event_id = 'evt_console_1'")
        await browser.send("/act/replay", page, **chosen, reason="its fact was lost", limit="1")

        async def has_its_fact() -> bool:
            return bool(
                await _query(stack, "SELECT count(*) FROM payment_fact WHERE stripe_event_id = 'evt_console_1'")
            )

        await until(has_its_fact, within_seconds=30)


async def test_an_operation_outlives_a_console_that_is_killed(stack: Stack) -> None:
    """Each item is done once: by the console that was killed, or by the one that a person told to go on."""
    await _query(
        stack,
        """
        INSERT INTO webhook_logs (stripe_event_id, webhook_type, dead_at, outcome, last_error)
        SELECT 'evt_lost' || n, 'no.such.type', now(), 'failed', 'lost' FROM generate_series(1, $1::integer) AS n
        RETURNING 1
        """,
        _ITEMS,
    )
    chosen = {"type": "no.such.*", "state": "dead"}
    page = "/act/write-off?type=no.such.*&state=dead"
    async with entered(stack) as browser:
        form = {**chosen, "reason": "a test", "limit": str(_ITEMS), "rate": "8"}
        address = await browser.send("/act/write-off", page, **form)
        number = int(address.removeprefix("/operations/"))

        async def has_begun() -> bool:
            return bool(await _query(stack, _DONE, number))

        await until(has_begun)
        link = stack.console_link()
        stack.services["console"].kill()
    await until(lambda: stack.console_link() != link, within_seconds=30)
    assert await stack.wait_ready("console")
    left = await _query(stack, _DONE, number)
    assert isinstance(left, int)
    assert left < _ITEMS
    async with entered(stack) as browser:
        await browser.send(f"{address}/resume", page)

        async def has_ended() -> bool:
            return bool(await _query(stack, "SELECT ended_at IS NOT NULL FROM operation WHERE id = $1", number))

        await until(has_ended, within_seconds=60)
    assert await _query(stack, f"{_DONE} AND result = 'changed'", number) == _ITEMS
    assert await _query(stack, "SELECT count(*) FROM webhook_logs WHERE outcome = 'written_off'") == _ITEMS
    assert await _query(stack, "SELECT login FROM operation WHERE id = $1", number) == "console"
