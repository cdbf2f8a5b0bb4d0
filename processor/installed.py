"""Handlers that this installation has."""

import functools
from collections.abc import Mapping, Sequence

import processor.handlers
from processor.payments.ledger import apply_facts
from processor.settings import ProcessorSettings
from sluice.contract.event import StripeEvent
from sluice.outcomes import Outcome
from sluice.registry import Registry, Transaction, discover


def installed_handlers(settings: ProcessorSettings) -> Registry:
    """Find Sluice's own handlers and those of other packages."""
    registry = discover(processor.handlers)
    if not settings.trust_client_reference_id:
        ignore_references(registry)
    return registry


def ignore_references(registry: Registry) -> None:
    """Let no ``client_reference_id`` name a row."""
    registry.replace(apply_facts, _apply_facts_without_references)


@functools.wraps(apply_facts)
async def _apply_facts_without_references(events: Sequence[StripeEvent], tx: Transaction) -> Mapping[str, Outcome]:
    return await apply_facts(events, tx, trusts_reference=False)
