"""The processor as it is deployed: with every handler that is installed, and the watch over ``events`` rows."""

import functools
from collections.abc import Mapping, Sequence

import processor.handlers
from processor.assembly import serve_with
from processor.payments.backfill import Projection
from processor.payments.ledger import apply_facts, reconsider
from processor.payments.row_watch import RowWatch
from processor.settings import ProcessorSettings
from sluice.contract.event import StripeEvent
from sluice.outcomes import Outcome
from sluice.registry import Registry, Transaction, discover
from sluice.service.service import Service


async def serve(service: Service) -> None:
    """Process until the service is told to stop; every handler is found before the first message is fetched."""
    settings = service.settings
    if not isinstance(settings, ProcessorSettings):
        raise TypeError("the processor is run with ProcessorSettings")
    registry = discover(processor.handlers)
    if not settings.trust_client_reference_id:
        ignore_references(registry)
    await serve_with(service, registry, Projection(RowWatch().take, reconsider))


def ignore_references(registry: Registry) -> None:
    """Let no ``client_reference_id`` name a row."""
    registry.replace(apply_facts, _apply_facts_without_references)


@functools.wraps(apply_facts)
async def _apply_facts_without_references(events: Sequence[StripeEvent], tx: Transaction) -> Mapping[str, Outcome]:
    return await apply_facts(events, tx, trusts_reference=False)
