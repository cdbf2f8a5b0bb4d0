"""
Which code runs for which type of event.

A handler gets the event and the open transaction; what it writes there commits together with ``processed = true``.
An organiser's event, which is signed with the organiser's secret, goes to those handlers alone that ask for it.
Handlers are found in this distribution's ``processor.handlers`` and in every installed package that names a module
under the entry-point group ``sluice.handlers``.
"""

import asyncio
import functools
import importlib
import pkgutil
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from types import ModuleType
from typing import TypeAlias

from sluice.contract.event import StripeEvent
from sluice.outcomes import Applied, Outcome
from sluice.transaction import Transaction

__all__ = [
    "REGISTRY",
    "BatchHandler",
    "Handler",
    "Registered",
    "Registry",
    "Transaction",
    "discover",
    "handles",
    "handles_batch",
]

ENTRY_POINTS = "sluice.handlers"
_LONG_SECONDS = 0.05
"""After an event that took longer others get their turn, and the time limit of all is looked at."""

Handler: TypeAlias = "Callable[[StripeEvent, Transaction], Awaitable[Outcome | None]]"
"""Handles one event; None means Applied."""
BatchHandler: TypeAlias = "Callable[[Sequence[StripeEvent], Transaction], Awaitable[Mapping[str, Outcome]]]"
"""Handles many events in one go; answers by ``stripe_event_id``, an id left out is Applied."""


@dataclass(frozen=True, slots=True)
class Registered:
    """One handler, as it was registered."""

    name: str
    types: Sequence[str]
    organiser_types: Sequence[str]
    """Those of its types that it takes of organisers too."""
    acts_outside: bool


@dataclass(frozen=True)
class Registry:
    """Handlers by type of event."""

    _by_type: dict[str, tuple[BatchHandler, ...]] = field(default_factory=dict)
    _of_organisers: dict[str, tuple[BatchHandler, ...]] = field(default_factory=dict)
    _patient: set[BatchHandler] = field(default_factory=set)
    _ask_stripe: set[BatchHandler] = field(default_factory=set)
    _act_outside: set[BatchHandler] = field(default_factory=set)

    def add(
        self,
        handler: BatchHandler,
        types: Sequence[str],
        *,
        is_patient: bool = False,
        organisers: bool = False,
        asks_stripe: bool = False,
        acts_outside: bool = False,
    ) -> None:
        """
        Let a handler take part in every event of these types.

        Args:
            is_patient: only once no other handler parks the event.
            organisers: in the events that came through an organiser's URL too.
            asks_stripe: it needs STRIPE_SECRET_KEY.
            acts_outside: it has effects outside PostgreSQL, so no rehearsal calls it.
        """
        if asks_stripe:
            self._ask_stripe.add(handler)
        if acts_outside:
            self._act_outside.add(handler)
        for event_type in types:
            self._by_type[event_type] = (*self._by_type.get(event_type, ()), handler)
            if organisers:
                self._of_organisers[event_type] = (*self._of_organisers.get(event_type, ()), handler)
        if is_patient:
            self._patient.add(handler)

    def replace(self, handler: BatchHandler, by: BatchHandler) -> None:
        """Let another handler take the place of one, for all of its types."""
        for event_type, handlers in self._by_type.items():
            self._by_type[event_type] = tuple(by if one is handler else one for one in handlers)

    def only(self, keeps: Callable[[BatchHandler], bool]) -> "Registry":
        """Make a registry of those handlers alone for which this is true."""
        by_type, of_organisers = (
            {event_type: kept for event_type, known in table.items() if (kept := tuple(filter(keeps, known)))}
            for table in (self._by_type, self._of_organisers)
        )
        return Registry(by_type, of_organisers, self._patient, self._ask_stripe, self._act_outside)

    def is_patient(self, handler: BatchHandler) -> bool:
        """Whether a handler is asked last, and only of events that wait for nothing."""
        return handler in self._patient

    def handlers_for(self, event_type: str) -> tuple[BatchHandler, ...]:
        """All handlers of a type, in the order in which they were found; none for an unknown type."""
        return self._by_type.get(event_type, ())

    def handlers_of(self, event: StripeEvent) -> tuple[BatchHandler, ...]:
        """The handlers that an event goes to: of an organiser's, those that ask for it."""
        return self.handlers_by(event.type, event.tenant)

    def handlers_by(self, event_type: str, tenant: str | None) -> tuple[BatchHandler, ...]:
        """The handlers that events of a type go to, from one organiser or from the platform (None)."""
        by_type = self._by_type if tenant is None else self._of_organisers
        return by_type.get(event_type, ())

    def acts_outside(self, handler: BatchHandler) -> bool:
        """Whether a handler says that it has effects outside PostgreSQL."""
        return handler in self._act_outside

    @property
    def registered(self) -> Sequence[Registered]:
        """Every handler with the types that it takes, by name."""
        types, of_organisers = _types_by_name(self._by_type), _types_by_name(self._of_organisers)
        outside = {name_of(handler) for handler in self._act_outside}
        return [
            Registered(name, sorted(types[name]), sorted(of_organisers.get(name, ())), name in outside)
            for name in sorted(types)
        ]

    @property
    def asks_stripe(self) -> bool:
        """Whether any handler needs STRIPE_SECRET_KEY."""
        return bool(self._ask_stripe)

    @property
    def types(self) -> frozenset[str]:
        """Every type that has a handler."""
        return frozenset(self._by_type)


REGISTRY = Registry()


def handles(
    *types: str,
    registry: Registry = REGISTRY,
    organisers: bool = False,
    asks_stripe: bool = False,
    acts_outside: bool = False,
) -> Callable[[Handler], Handler]:
    """
    Register a handler of one event at a time: ``async def handler(event, tx) -> Outcome | None``.

    While a batch handler parks the event, this one is not asked: what it writes would commit again with each look.

    Args:
        organisers: also the events that came through an organiser's URL. The organiser signs these, so everything in
            them but ``event.tenant`` is the organiser's word: amounts, metadata, ``account``, ids.
        asks_stripe: it needs STRIPE_SECRET_KEY, so health is degraded without it.
        acts_outside: it has effects outside PostgreSQL, such as a mail: ``sluice replay --diff`` does not call it.
    """

    def register(handler: Handler) -> Handler:
        registry.add(
            _one_by_one(handler),
            types,
            is_patient=True,
            organisers=organisers,
            asks_stripe=asks_stripe,
            acts_outside=acts_outside,
        )
        return handler

    return register


def handles_batch(
    *types: str,
    registry: Registry = REGISTRY,
    organisers: bool = False,
    asks_stripe: bool = False,
    acts_outside: bool = False,
) -> Callable[[BatchHandler], BatchHandler]:
    """
    Register a handler of many events at once: ``async def handler(events, tx) -> Mapping[str, Outcome]``.

    It sees a parked event at each look, so a second run must change nothing.

    Args:
        organisers: as for ``handles``.
        asks_stripe: as for ``handles``.
        acts_outside: as for ``handles``.
    """

    def register(handler: BatchHandler) -> BatchHandler:
        registry.add(handler, types, organisers=organisers, asks_stripe=asks_stripe, acts_outside=acts_outside)
        return handler

    return register


def name_of(handler: BatchHandler) -> str:
    """``module.function`` of a handler, as people wrote it."""
    written = getattr(handler, "__wrapped__", handler)
    return f"{getattr(written, '__module__', '?')}.{getattr(written, '__qualname__', '?')}"


def _types_by_name(table: Mapping[str, tuple[BatchHandler, ...]]) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = {}
    for event_type, handlers in table.items():
        for handler in handlers:
            found.setdefault(name_of(handler), set()).add(event_type)
    return found


def discover(package: ModuleType, *, registry: Registry = REGISTRY) -> Registry:
    """Import every module of a package and every ``sluice.handlers`` entry point, so that they register themselves."""
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    for entry_point in entry_points(group=ENTRY_POINTS):
        entry_point.load()
    return registry


def _one_by_one(handler: Handler) -> BatchHandler:
    @functools.wraps(handler)
    async def handle_each(events: Sequence[StripeEvent], tx: Transaction) -> Mapping[str, Outcome]:
        outcomes: dict[str, Outcome] = {}
        for event in events:
            began = time.monotonic()
            outcomes[event.stripe_event_id] = await handler(event, tx) or Applied()
            if time.monotonic() - began > _LONG_SECONDS:  # it may not have awaited anything
                await asyncio.sleep(0)
        return outcomes

    return handle_each
