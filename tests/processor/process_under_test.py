"""A whole processor, run as a process of its own, with handlers that a test needs; ``FAILPOINT`` says where it dies."""

import asyncio
import os
import sys
from collections.abc import Collection, Mapping, Sequence

from processor.assembly import NAME, serve_with
from processor.payments.backfill import Projection
from processor.payments.ledger import apply_facts, reconsider
from processor.settings import ProcessorSettings
from processor.worker import worker as turn
from sluice.contract.event import StripeEvent
from sluice.nats.jetstream import IncomingMessage
from sluice.payments.recompute import Node
from sluice.registry import Registry, Transaction, handles, handles_batch
from sluice.runtime.settings import load
from sluice.service.service import Service, run
from tests.processor.harness import with_effects, write_effect
from tests.processor.misbehaving import block_at_seven, kill_at_seven, with_misbehaving

KILLED = 137
REGISTRY = with_misbehaving(with_effects(Registry(), organisers=True))
handles("test.kills_some", registry=REGISTRY)(kill_at_seven)
handles("test.blocks_some", registry=REGISTRY)(block_at_seven)
handles_batch("invoice.paid", organisers=True, registry=REGISTRY)(apply_facts)


@handles("test.kills", registry=REGISTRY)
async def kill(of: StripeEvent, tx: Transaction) -> None:
    """Take the whole process down, as a bug in a C library or a lack of memory would."""
    await write_effect(of, tx)
    os._exit(KILLED)


@handles("test.ends", registry=REGISTRY)
async def end_its_backend(of: StripeEvent, tx: Transaction) -> None:
    """Lose the connection by its own statement."""
    await write_effect(of, tx)
    await tx.execute("SELECT pg_terminate_backend(pg_backend_pid())")


@handles("test.cancels_all", registry=REGISTRY)
async def cancel_all(of: StripeEvent, tx: Transaction) -> None:
    """Cancel every task of the process, the consumers and all the rest."""
    await write_effect(of, tx)
    for task in asyncio.all_tasks():
        task.cancel()


@handles("test.slow", registry=REGISTRY)
async def take_time(of: StripeEvent, tx: Transaction) -> None:
    """Be in flight long enough for a stop to come."""
    await write_effect(of, tx)
    await asyncio.sleep(2)


@handles("test.brief", registry=REGISTRY)
async def take_a_moment(of: StripeEvent, tx: Transaction) -> None:
    """Be in flight for most of the time between two cuts."""
    await write_effect(of, tx)
    await asyncio.sleep(0.38)


def die_before_acknowledging(messages: Sequence[IncomingMessage]) -> None:
    """Die in the gap between the commit and the acknowledgement."""
    if messages:
        os._exit(KILLED)


async def take_nothing(_: Transaction, limit: int, leave_out: Collection[Node]) -> Sequence[Node]:
    """There is no ledger here."""
    del limit, leave_out
    return ()


async def serve(service: Service) -> None:
    """Serve with this module's handlers."""
    operations = (sys.executable, "-m", "tests.processor.operations_under_test")
    await serve_with(service, REGISTRY, Projection(take_nothing, reconsider), operations=operations)


def main(environment: Mapping[str, str]) -> None:
    """Run until SIGTERM, or until a failpoint."""
    if environment.get("FAILPOINT") == "before_ack":
        vars(turn)["acknowledge"] = die_before_acknowledging
    run(NAME, load(ProcessorSettings), serve)


if __name__ == "__main__":
    main(os.environ)
