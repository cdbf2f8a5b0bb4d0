"""Payments are locked, and made, in the order of their ids: two processors never wait for one another in a circle."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import asyncpg

from tests.payments.harness import Harness
from tests.payments.history import intent
from tests.waiting import until

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Connect = Callable[[], Awaitable[Connection]]

IDS = [f"pi_{number:02}" for number in range(40)]
SHUFFLED = [IDS[(number * 17 + 11) % len(IDS)] for number in range(len(IDS))]
SCOPE = "test:platform"
NO_FACTS = ", ".join(["'{}'"] * 18)
APPEND = f"SELECT count(*) FROM sluice_add_facts($1, $2, false, {NO_FACTS})"  # noqa: S608  constants


async def test_a_batch_locks_its_payments_in_the_order_of_their_ids(harness: Harness, connect: Connect) -> None:
    """Another transaction holds the one in the middle: all before it are locked by then, and none behind it."""
    for payment_id in IDS:
        await harness.apply(intent("created", id=payment_id))
    holder, batch, witness = [await connect() for _ in range(3)]
    async with asyncio.TaskGroup() as group:
        async with holder.transaction():
            await holder.execute("SELECT FROM payment WHERE payment_id = $1 FOR UPDATE", IDS[20])
            applying = group.create_task(_apply(batch, SHUFFLED))
            await until(lambda: _waits_for(batch, holder, witness))
            free = await witness.fetch("SELECT payment_id FROM payment ORDER BY payment_id FOR UPDATE SKIP LOCKED")
        await applying
    assert [row["payment_id"] for row in free] == IDS[21:]


async def test_a_batch_makes_its_payments_in_the_order_of_their_ids(connect: Connect) -> None:
    """Two that make the same ones wait for one another as for a lock."""
    connection = await connect()
    await connection.fetchval(APPEND, [SCOPE] * len(SHUFFLED), SHUFFLED)
    rows = await connection.fetch("SELECT payment_id FROM payment ORDER BY ctid")
    assert [row["payment_id"] for row in rows] == IDS


async def _apply(connection: Connection, ids: Sequence[str]) -> None:
    scopes = [await connection.fetchval("SELECT scope FROM payment LIMIT 1")] * len(ids)
    await connection.fetchval(APPEND, scopes, list(ids))


async def _waits_for(batch: Connection, holder: Connection, witness: Connection) -> bool:
    blocking: list[int] = await witness.fetchval("SELECT pg_blocking_pids($1)", batch.get_server_pid())
    return holder.get_server_pid() in blocking
