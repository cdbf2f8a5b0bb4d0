"""Read what a running system says of itself."""

from datetime import datetime

import aiohttp
import asyncpg

from devstack.stack import Stack

_EFFECTS = "SELECT count(*) FROM webhook_logs WHERE processed AND created_at > $1"


async def has_effects_since(books: "asyncpg.Connection[asyncpg.Record]", began: datetime, count: int) -> bool:
    """Whether so many webhooks that came since then took effect."""
    return int(await books.fetchval(_EFFECTS, began)) >= count


async def takes_from_postgresql(stack: Stack, *, wanted: bool) -> bool:
    """Whether the processor takes what is due from PostgreSQL, as wanted."""
    url = f"{stack.services['processor'].admin_url}/status"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        work = (await answer.json())["work"]
    return bool(work["takes_from_postgresql"] is wanted)


async def taken_directly(stack: Stack) -> float:
    """How many webhooks the processor has taken from PostgreSQL."""
    url = f"{stack.services['processor'].admin_url}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        lines = (await answer.text()).splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("webhook_events_taken_directly_total "))


async def findings(stack: Stack) -> list[str]:
    """The reasons that health gives."""
    async with aiohttp.ClientSession() as session, session.get(f"{stack.gateway_url}/api/health") as answer:
        return [reason["reason"] for reason in (await answer.json())["reasons"]]
