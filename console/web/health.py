"""The health of the whole, as healthd tells it on its admin port."""

import asyncio
import time
from collections.abc import Mapping

import aiohttp
import orjson

from sluice.runtime.probes import JsonValue

_ASK_SECONDS = 1.0
_KEEP_SECONDS = 1.0
_BYTES_AT_MOST = 1_000_000
_ANSWERS = frozenset({200, 503})

Health = Mapping[str, JsonValue]


class HealthWatch:
    """Asks healthd when a page wants to know, at most once a second."""

    def __init__(self, admin_url: str, session: aiohttp.ClientSession) -> None:
        self._url = f"{admin_url.rstrip('/')}/api/health" if admin_url else ""
        self._session = session
        self._known: Health | None = None
        self._ask_again_at = float("-inf")

    async def read(self) -> Health | None:
        """Read what healthd says now; None: there is none, or it did not answer."""
        if self._url and time.monotonic() >= self._ask_again_at:
            self._known = await self._ask()
            self._ask_again_at = time.monotonic() + _KEEP_SECONDS
        return self._known

    async def _ask(self) -> Health | None:
        try:
            async with asyncio.timeout(_ASK_SECONDS), self._session.get(self._url, allow_redirects=False) as answer:
                told = orjson.loads(await _body(answer)) if answer.status in _ANSWERS else None
        except (aiohttp.ClientError, OSError, TimeoutError, orjson.JSONDecodeError):
            return None
        return told if isinstance(told, dict) else None


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    """Read it whole, or nothing where it is longer than an answer can be."""
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > _BYTES_AT_MOST:
            return b""
    return bytes(body)
