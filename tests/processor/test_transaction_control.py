"""A handler cannot end the transaction that it shares with others; where it did, nothing is settled."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import pytest

from processor.outcome import Work
from sluice.contract.event import StripeEvent
from sluice.failures import Defect
from sluice.outcomes import Applied, Outcome, Parked
from sluice.registry import Transaction, handles, handles_batch
from sluice.transaction import HandlersTransaction
from tests.processor.harness import Harness, event, thin_event, write_effect

if TYPE_CHECKING:
    from asyncpg import Connection, Record

SCRIPTS = [
    "INSERT INTO effect VALUES ('script'); COMMIT; BEGIN;",
    "ROLLBACK; BEGIN;",
    "ROLLBACK",
    "COMMIT",
    "/* tidy */ END",
    "DO $$ BEGIN COMMIT; END $$",
    "CALL commits()",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "SET default_transaction_isolation = 'serializable'",
]


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("place", [0, 3, 6])
async def test_a_script_with_transaction_control_is_its_own_failure(harness: Harness, script: str, place: int) -> None:
    """Neighbours' effects are neither lost nor doubled; the guilty event alone has a failed attempt."""
    await harness.database.execute("CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$")

    @handles("test.script", registry=harness.registry)
    async def run(of: StripeEvent, tx: Transaction) -> None:
        await write_effect(of, tx)
        await tx.execute(script)

    events = [event("test.script" if number == place else "test.effect") for number in range(7)]
    messages = await harness.recorded(*events)
    await harness.take(*messages)
    innocents = [each for each in events if each.type == "test.effect"]
    assert await harness.effects() == {each.stripe_event_id: 1 for each in innocents}
    assert all([(await harness.row(each))["processed"] for each in innocents])
    guilty = await harness.row(events[place])
    assert (guilty["processed"], guilty["processing_attempts"]) == (False, 1)
    assert {(await harness.row(each))["processing_attempts"] for each in innocents} == {0}
    assert all(message.is_acknowledged for message in messages)


@pytest.mark.parametrize("how", ["execute", "fetch", "fetchrow", "fetchval", "executemany", "cursor"])
async def test_every_method_that_takes_sql_refuses_it(harness: Harness, how: str) -> None:
    """None is a way around."""

    @handles("test.script", registry=harness.registry)
    async def run(of: StripeEvent, tx: Transaction) -> None:
        if how == "executemany":
            await tx.executemany("COMMIT", [()])
        else:
            await getattr(tx, how)("COMMIT")

    [message] = await harness.recorded(event("test.script"))
    await harness.take(message)
    row = await harness.row(message.event)
    assert (row["processed"], row["processing_attempts"]) == (False, 1)
    assert "TransactionControl" in row["last_error"]


@pytest.mark.parametrize("script", ["ROLLBACK", "ROLLBACK; BEGIN", "COMMIT", "COMMIT; BEGIN"])
@pytest.mark.parametrize("outcome", [Applied(), Parked("events row 7")])
async def test_a_handler_that_gets_around_it_settles_nothing(harness: Harness, script: str, outcome: Outcome) -> None:
    """The server compares the transaction: what was rolled back is not called processed."""

    @handles_batch("test.around", registry=harness.registry)
    async def run(events: Sequence[StripeEvent], tx: Transaction) -> Mapping[str, Outcome]:
        raw = cast("HandlersTransaction", tx)._connection
        await cast("Connection[Record]", raw).execute(script)
        return {each.stripe_event_id: outcome for each in events}

    [message] = await harness.recorded(event("test.around"))
    await harness.take(message)
    row = await harness.row(message.event)
    assert (row["processed"], row["outcome"], row["processing_attempts"]) == (False, "failed", 1)
    assert (row["parked_at"], row["dead_at"]) == (None, None)


@pytest.mark.parametrize("script", ["ROLLBACK", "ROLLBACK; BEGIN", "COMMIT", "COMMIT; BEGIN"])
async def test_nothing_that_is_beside_it_is_settled_either(harness: Harness, script: str) -> None:
    """Not even what no handler was asked about."""

    @handles_batch("test.around", registry=harness.registry)
    async def run(events: Sequence[StripeEvent], tx: Transaction) -> Mapping[str, Outcome]:
        raw = cast("HandlersTransaction", tx)._connection
        await cast("Connection[Record]", raw).execute(script)
        return {each.stripe_event_id: Parked("events row 7") for each in events}

    messages = await harness.recorded(event("test.around"), thin_event("evt_thin_1"))
    works = [Work(message.event, 0, message.incoming()) for message in messages]
    with pytest.raises(Defect, match="ended that"):
        await harness.worker().processor.process(works)
    rows = [await harness.row(work.event) for work in works]
    assert [(row["outcome"], row["dead_at"], row["parked_at"]) for row in rows] == [(None, None, None)] * 2


async def test_a_savepoint_is_allowed(harness: Harness) -> None:
    """The writes of its block are undone if the block raises; the rest commits."""

    @handles("test.savepoint", registry=harness.registry)
    async def run(of: StripeEvent, tx: Transaction) -> None:
        await write_effect(of, tx)
        with contextlib.suppress(ValueError):
            async with tx.transaction():
                await write_effect(of, tx)
                raise ValueError
        async with tx.transaction():
            assert await tx.fetchval("SELECT count(*) FROM effect") == 1

    [message] = await harness.recorded(event("test.savepoint"))
    await harness.take(message)
    assert (await harness.row(message.event))["processed"]
    assert await harness.effects() == {message.event.stripe_event_id: 1}


async def test_a_handler_has_what_it_needs(harness: Harness) -> None:
    """Every method of ``Transaction`` works through it."""
    found: list[object] = []

    @handles("test.all", registry=harness.registry)
    async def run(of: StripeEvent, tx: Transaction) -> None:
        name = of.stripe_event_id
        found.append(await tx.execute("INSERT INTO effect VALUES ($1)", name, timeout=5))
        await tx.executemany("INSERT INTO effect VALUES ($1)", [(name,), (name,)])
        found.append(await tx.copy_records_to_table("effect", records=[(name, 1)], columns=["stripe_event_id", "pid"]))
        found.append(len(await tx.fetch("SELECT * FROM effect")))
        row = await tx.fetchrow("SELECT count(*) AS n FROM effect")
        found.append(row and row["n"])
        found.append(await tx.fetchval("SELECT 1, count(*) FROM effect", column=1))
        found.append(len([row async for row in tx.cursor("SELECT * FROM effect")]))
        found.append(tx.is_closed())

    [message] = await harness.recorded(event("test.all"))
    await harness.take(message)
    assert (await harness.row(message.event))["processed"]
    assert found == ["INSERT 0 1", "COPY 1", 4, 4, 4, 4, False]
