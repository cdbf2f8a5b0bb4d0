"""``READING_BYTES_MAX`` bounds the memory that all unfinished bodies hold together."""

import asyncio

from tests.ingest.raw import raw, request, status
from tests.ingest.running import NOWHERE, running
from tests.ingest.webhooks import webhook


async def test_unfinished_bodies_hold_no_more_than_their_share_together(database_url: str) -> None:
    """Each of two clients may have what both may not: one is told 503 at once, the other is served."""
    body = webhook(padding="x" * 60_000)
    async with (
        running(database_url, NOWHERE, reading_bytes_max=100_000, body_seconds=60) as ingest,
        raw(ingest.port) as one,
        raw(ingest.port) as other,
    ):
        waiting = {}
        for reader, writer in (one, other):
            writer.write(request(body) + body[:-1])
            waiting[asyncio.create_task(status(reader))] = writer
        done, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=7)
        assert [refused.result() for refused in done] == [503]
        for served in left:
            waiting[served].write(body[-1:])
            assert await served == 200
