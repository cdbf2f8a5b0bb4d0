"""Handlers that do what no handler should; each type of event is one way."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping

import asyncpg

from sluice.contract.event import StripeEvent
from sluice.registry import Registry, Transaction, handles
from tests.processor.harness import write_effect

_STRAYS: set[asyncio.Task[object]] = set()


async def raise_cancelled(of: StripeEvent, tx: Transaction) -> None:
    """As if something that it awaited had been cancelled from elsewhere."""
    await write_effect(of, tx)
    raise asyncio.CancelledError


async def cancel_itself(of: StripeEvent, tx: Transaction) -> None:
    """Its own task is cancelled."""
    await write_effect(of, tx)
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(60)


async def await_the_cancelled(of: StripeEvent, tx: Transaction) -> None:
    """It awaits something that a third cancels."""
    await write_effect(of, tx)
    other = asyncio.ensure_future(asyncio.sleep(60))
    asyncio.get_running_loop().call_soon(other.cancel)
    await other


async def swallow_and_return(of: StripeEvent, tx: Transaction) -> None:
    """Half of its work is done when its time is up; it says that all is well."""
    await write_effect(of, tx)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return


async def swallow_and_go_on(of: StripeEvent, tx: Transaction) -> None:
    """It cannot be ended, and writes on."""
    while True:
        try:
            await asyncio.sleep(0)
            await write_effect(of, tx)
        except asyncio.CancelledError:
            continue
        except asyncpg.InterfaceError as error:
            if "released" in str(error):  # before that, it writes in every gap that is left
                await asyncio.Event().wait()


async def swallow_and_raise(of: StripeEvent, tx: Transaction) -> None:
    """Its time is up, and it says something else."""
    await write_effect(of, tx)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        raise LookupError from None


async def exit_the_system(of: StripeEvent, tx: Transaction) -> None:
    """A script that was pasted."""
    await write_effect(of, tx)
    raise SystemExit(3)


async def interrupt(of: StripeEvent, tx: Transaction) -> None:
    """As a debugger may."""
    await write_effect(of, tx)
    raise KeyboardInterrupt


async def exit_a_generator(of: StripeEvent, tx: Transaction) -> None:
    """A close that went astray."""
    await write_effect(of, tx)
    raise GeneratorExit


async def raise_a_group(of: StripeEvent, tx: Transaction) -> None:
    """A group that no ``except Exception`` catches."""
    await write_effect(of, tx)
    raise BaseExceptionGroup("several", [asyncio.CancelledError(), KeyboardInterrupt()])


async def leave_a_task_behind(of: StripeEvent, tx: Transaction) -> None:
    """A task that outlives it goes on with its transaction."""
    await write_effect(of, tx)

    async def write_on() -> None:
        for _ in range(1_000):
            await tx.execute("SELECT pg_sleep(0.001)")

    stray: asyncio.Task[object] = asyncio.get_running_loop().create_task(write_on())
    _STRAYS.add(stray)
    stray.add_done_callback(_forget)
    await asyncio.sleep(0)


def _forget(stray: "asyncio.Task[object]") -> None:
    _STRAYS.discard(stray)
    if not stray.cancelled():
        stray.exception()


async def block(of: StripeEvent, tx: Transaction) -> None:
    """Nothing else runs meanwhile."""
    await write_effect(of, tx)
    time.sleep(BLOCKED_SECONDS)  # noqa: ASYNC251  the fault itself


async def spin(of: StripeEvent, tx: Transaction) -> None:
    """Nor here."""
    await write_effect(of, tx)
    ends = time.monotonic() + BLOCKED_SECONDS
    while time.monotonic() < ends:
        sum(range(1_000))


async def hang(of: StripeEvent, tx: Transaction) -> None:
    """It waits for what never comes."""
    await write_effect(of, tx)
    await asyncio.Event().wait()


BLOCKED_SECONDS = 1.5
Handler = Callable[[StripeEvent, Transaction], Awaitable[None]]

FAILING: Mapping[str, Handler] = {
    f"test.{handler.__name__}": handler
    for handler in (
        raise_cancelled,
        cancel_itself,
        await_the_cancelled,
        swallow_and_return,
        swallow_and_go_on,
        swallow_and_raise,
        exit_the_system,
        interrupt,
        exit_a_generator,
        raise_a_group,
    )
}
"""Each of them is one failed attempt of its own event."""

HOLDING: Mapping[str, Handler] = {f"test.{handler.__name__}": handler for handler in (block, spin, hang)}
"""Each of them would hold all others up."""

STRAYING: Mapping[str, Handler] = {"test.leave_a_task_behind": leave_a_task_behind}


async def kill_at_seven(of: StripeEvent, tx: Transaction) -> None:
    """Take the whole process down, for one webhook among many."""
    await write_effect(of, tx)
    if of.stripe_event_id.endswith("7"):
        os._exit(137)


async def block_at_seven(of: StripeEvent, tx: Transaction) -> None:
    """Keep the event loop from turning, for one webhook among many."""
    await write_effect(of, tx)
    if of.stripe_event_id.endswith("7"):
        time.sleep(600)  # noqa: ASYNC251 - that is the point


def with_misbehaving(registry: Registry) -> Registry:
    """All of them."""
    for event_type, handler in {**FAILING, **HOLDING, **STRAYING}.items():
        handles(event_type, registry=registry)(handler)
    return registry
