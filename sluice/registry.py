"""
Which code runs for which type of event.

A handler gets the event and the open transaction; what it writes there commits together with ``processed = true``.
Handlers are found in this distribution's ``processor.handlers`` and in every installed package that names a module
under the entry-point group ``sluice.handlers``.
"""

import functools
import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

from sluice.contract.event import StripeEvent
from sluice.outcomes import Applied, Outcome

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from asyncpg.pool import PoolConnectionProxy

Transaction: TypeAlias = "Connection[Record] | PoolConnectionProxy[Record]"
"""The open transaction: what is written through it commits together with ``processed = true``."""

ENTRY_POINTS = "sluice.handlers"

Handler: TypeAlias = "Callable[[StripeEvent, Transaction], Awaitable[Outcome | None]]"
"""Handles one event; None means Applied."""
BatchHandler: TypeAlias = "Callable[[Sequence[StripeEvent], Transaction], Awaitable[Mapping[str, Outcome]]]"
"""Handles many events in one go; answers by ``stripe_event_id``, an id left out is Applied."""


@dataclass(frozen=True)
class Registry:
    """Handlers by type of event."""

    _by_type: dict[str, tuple[BatchHandler, ...]] = field(default_factory=dict)
    _patient: set[BatchHandler] = field(default_factory=set)
    _ask_stripe: set[BatchHandler] = field(default_factory=set)

    def add(
        self, handler: BatchHandler, types: Sequence[str], *, is_patient: bool = False, asks_stripe: bool = False
    ) -> None:
        """Let a handler take part in every event of these types; a patient one only once no other parks the event."""
        if asks_stripe:
            self._ask_stripe.add(handler)
        for event_type in types:
            self._by_type[event_type] = (*self._by_type.get(event_type, ()), handler)
        if is_patient:
            self._patient.add(handler)

    def is_patient(self, handler: BatchHandler) -> bool:
        """Whether a handler is asked last, and only of events that wait for nothing."""
        return handler in self._patient

    def handlers_for(self, event_type: str) -> tuple[BatchHandler, ...]:
        """All handlers of a type, in the order in which they were found; none for an unknown type."""
        return self._by_type.get(event_type, ())

    @property
    def asks_stripe(self) -> bool:
        """Whether any handler needs STRIPE_SECRET_KEY."""
        return bool(self._ask_stripe)

    @property
    def types(self) -> frozenset[str]:
        """Every type that somebody handles."""
        return frozenset(self._by_type)


REGISTRY = Registry()


def handles(*types: str, registry: Registry = REGISTRY, asks_stripe: bool = False) -> Callable[[Handler], Handler]:
    """
    Register a handler of one event at a time: ``async def handler(event, tx) -> Outcome | None``.

    While a batch handler parks the event, this one is not asked: what it writes would commit again with each look.

    Args:
        asks_stripe: it needs STRIPE_SECRET_KEY, so health is degraded without it.
    """

    def register(handler: Handler) -> Handler:
        registry.add(_one_by_one(handler), types, is_patient=True, asks_stripe=asks_stripe)
        return handler

    return register


def handles_batch(
    *types: str, registry: Registry = REGISTRY, asks_stripe: bool = False
) -> Callable[[BatchHandler], BatchHandler]:
    """
    Register a handler of many events at once: ``async def handler(events, tx) -> Mapping[str, Outcome]``.

    It sees a parked event at each look, so a second run must change nothing.

    Args:
        asks_stripe: it needs STRIPE_SECRET_KEY, so health is degraded without it.
    """

    def register(handler: BatchHandler) -> BatchHandler:
        registry.add(handler, types, asks_stripe=asks_stripe)
        return handler

    return register


def discover(package: ModuleType, *, registry: Registry = REGISTRY) -> Registry:
    """Import every module of a package and every ``sluice.handlers`` entry point, so that they register themselves."""
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    for entry_point in entry_points(group=ENTRY_POINTS):
        entry_point.load()
    return registry


def _one_by_one(handler: Handler) -> BatchHandler:
    @functools.wraps(handler)
    async def handle_each(events: Sequence[StripeEvent], tx: "Transaction") -> Mapping[str, Outcome]:
        return {event.stripe_event_id: await handler(event, tx) or Applied() for event in events}

    return handle_each
