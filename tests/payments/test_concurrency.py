"""Two processors at the same moment: a barrier holds their transactions open where it hurts most."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, cast

import asyncpg
import pytest

from processor.payments import projection
from processor.payments.ledger import apply_facts
from sluice.contract.event import StripeEvent
from tests.payments.harness import Harness
from tests.payments.history import INVOICE, PI, SUBSCRIPTION, event, intent, names, refund, session
from tests.payments.strategies import HARBOUR, MISSING_ROW
from tests.waiting import until

if TYPE_CHECKING:
    from sluice.registry import Transaction

Connect = Callable[[], Awaitable["asyncpg.Connection[asyncpg.Record]"]]
SECONDS = 20


BETWEEN_LOCK_AND_INSERT = "BEFORE"
BETWEEN_INSERT_AND_FOLD = "AFTER"
BEFORE_PROJECTION = projection.QUERIES["store_payments"]

_GATE = 4711
_GATES = f"""
CREATE OR REPLACE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_lock_shared({_GATE}, pg_backend_pid());
    PERFORM pg_advisory_unlock_shared({_GATE}, pg_backend_pid());
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER gate {{when}} INSERT ON payment_fact EXECUTE FUNCTION wait_at_gate();
"""


class Barrier:
    """A transaction that stops before one of its statements, or inside the function that appends facts."""

    def __init__(
        self, tx: "asyncpg.Connection[asyncpg.Record]", warden: "asyncpg.Connection[asyncpg.Record]", place: str
    ) -> None:
        self.tx = tx
        self.applied = asyncio.Event()
        self.may_commit = asyncio.Event()
        self._arrived = asyncio.Event()
        self._go = asyncio.Event()
        self._warden = warden
        self._place = place

    @classmethod
    async def at(cls, place: str, connect: Connect) -> "Barrier":
        """Closed, until ``let_go``."""
        barrier = cls(await connect(), await connect(), place)
        if barrier._is_inside:
            await barrier._warden.execute(_GATES.format(when=place))
            await barrier._warden.execute(f"SELECT pg_advisory_lock({_GATE}, {barrier.tx.get_server_pid()})")
        return barrier

    @property
    def _is_inside(self) -> bool:
        return self._place in (BETWEEN_LOCK_AND_INSERT, BETWEEN_INSERT_AND_FOLD)

    async def has_arrived(self) -> None:
        """Return when it stands at its place."""
        if not self._is_inside:
            await self._arrived.wait()
            return
        waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = $1 AND NOT granted)"
        await until(lambda: self._warden.fetchval(waits, self.tx.get_server_pid()), within_seconds=SECONDS)

    async def let_go(self) -> None:
        """It may go on."""
        self._go.set()
        if self._is_inside:
            await self._warden.execute(f"SELECT pg_advisory_unlock({_GATE}, {self.tx.get_server_pid()})")

    async def execute(self, query: str, *args: Any) -> str:
        """As a connection does."""
        await self._stop(query)
        return await self.tx.execute(query, *args)

    async def fetch(self, query: str, *args: Any) -> Sequence[asyncpg.Record]:
        """As a connection does."""
        await self._stop(query)
        return await self.tx.fetch(query, *args)

    async def _stop(self, query: str) -> None:
        if query == self._place:
            self._arrived.set()
            await self._go.wait()

    async def run(self, told: StripeEvent) -> None:
        """One processor's batch of one; after a deadlock once more, as the processor does."""
        try:
            await self._run_once(told)
        except asyncpg.DeadlockDetectedError:
            await self._run_once(told)

    async def _run_once(self, told: StripeEvent) -> None:
        async with self.tx.transaction():
            await apply_facts([told], cast("Transaction", self))
            self.applied.set()
            await self.may_commit.wait()

    async def is_blocked(self, by: "Barrier", witness: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Return when PostgreSQL lets this one wait for the other."""
        mine, other = self.tx.get_server_pid(), by.tx.get_server_pid()

        async def is_blocking() -> bool:
            return other in await witness.fetchval("SELECT pg_blocking_pids($1)", mine)

        await until(is_blocking, within_seconds=SECONDS)


async def at_once(connect: Connect, first: StripeEvent, second: StripeEvent, barrier: str) -> None:
    """Both go as far as they can while the other has not committed: to the barrier, to a lock, or to the end."""
    one, other, witness = await Barrier.at(barrier, connect), await Barrier.at(barrier, connect), await connect()
    async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
        group.create_task(one.run(first))
        await one.has_arrived()
        group.create_task(other.run(second))
        await _first_of(other.has_arrived(), other.is_blocked(one, witness))
        await one.let_go()
        await _first_of(one.applied.wait(), one.is_blocked(other, witness))
        await other.let_go()
        await _first_of(other.applied.wait(), other.is_blocked(one, witness))
        one.may_commit.set()
        other.may_commit.set()


async def _first_of(*conditions: Coroutine[Any, Any, object]) -> None:
    tasks = [asyncio.create_task(condition) for condition in conditions]
    _, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


PAIRS = {
    "one payment": (intent("succeeded", 5, metadata=names(HARBOUR)), refund("created", 9)),
    "one payment, name and fact": (intent("created", 1, metadata=names(HARBOUR)), intent("succeeded", 5)),
    "one row": (
        intent("payment_failed", 1, id="pi_a", metadata=names(HARBOUR)),
        intent("succeeded", 1, id="pi_b", metadata=names(HARBOUR)),
    ),
    "link and row": (
        event("invoice_payment.paid", 3),
        session(
            "completed", 3, mode="subscription", subscription=SUBSCRIPTION, invoice=INVOICE, client_reference_id=HARBOUR
        ),
    ),
    "link above link": (
        event("invoice.paid", 3),
        event("customer.subscription.created", 3, metadata=names(HARBOUR)),
    ),
    "two links": (
        event("invoice_payment.paid", 3),
        event("invoice.paid", 3, metadata=names(HARBOUR)),
    ),
}


KNOWN_BEFORE = [
    intent("created"),
    intent("created", id="pi_a"),
    intent("created", id="pi_b"),
    event("invoice.created", parent=None, status="draft"),
    event("customer.subscription.created", status="incomplete"),
]


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
async def test_two_transactions_at_once_end_as_one_after_the_other(
    harness: Harness, connect: Connect, pair: tuple[StripeEvent, StripeEvent]
) -> None:
    """Held between insert and fold, neither loses what the other inserted, in either order."""
    await _end_as_in_turn(harness, connect, pair, BETWEEN_INSERT_AND_FOLD)


async def test_two_payments_of_one_row_are_projected_in_turn(harness: Harness, connect: Connect) -> None:
    """Held when all is stored but the row, the second still sees the first one's payment."""
    await _end_as_in_turn(harness, connect, PAIRS["one row"], BEFORE_PROJECTION)


async def _end_as_in_turn(
    harness: Harness, connect: Connect, pair: tuple[StripeEvent, StripeEvent], barrier: str
) -> None:
    """In both orders, with payments that are new and with payments that were known before."""
    for (first, second), known in product((pair, pair[::-1]), ([], KNOWN_BEFORE)):
        await harness.wipe()
        await harness.apply_each(*known)
        undo = harness.tx.transaction()
        await undo.start()
        await harness.apply_each(*pair)
        expected = _of_ledger(await harness.contents())
        await undo.rollback()
        await at_once(connect, first, second, barrier)
        assert _of_ledger(await harness.contents()) == expected


@pytest.mark.parametrize("place", [BETWEEN_LOCK_AND_INSERT, BETWEEN_INSERT_AND_FOLD], ids=["inserting", "reading"])
async def test_a_stored_intent_replaced_meanwhile_still_binds(harness: Harness, connect: Connect, place: str) -> None:
    """Either the row still stores it when asked, or the transaction that replaced it has left the naming to be read."""
    await harness.tx.execute("UPDATE events SET stripe_payment_intent_id = $1 WHERE id::text = $2", PI, HARBOUR)
    held = await Barrier.at(place, connect)
    async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
        group.create_task(held.run(intent("succeeded", 5)))
        await held.has_arrived()
        await harness.apply(intent("payment_failed", 3, id="pi_0", metadata=names(HARBOUR)))
        assert await harness.shown() == ("failed", "pi_0")
        await held.let_go()
        held.may_commit.set()
    assert await harness.shown() == ("paid", PI)


async def test_healing_does_not_wait_for_a_payment_in_other_hands(harness: Harness, connect: Connect) -> None:
    """The transaction that holds it projects it, or the next round does."""
    await harness.apply(intent("succeeded", metadata=names(MISSING_ROW)))
    await harness.add_row(MISSING_ROW)
    holder = await connect()
    async with asyncio.timeout(SECONDS), holder.transaction():
        await holder.execute("SELECT FROM payment FOR UPDATE")
        assert await harness.look() == 0
    assert await harness.look() == 1


def _of_ledger(contents: Any) -> Any:
    return {table: rows for table, rows in contents.items() if table not in {"invoice", "subscription"}}
