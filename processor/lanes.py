"""What the processor's settings make of its parts: the turns of the lanes, and the lanes that run apart from them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from processor.apart import Apart
from processor.crowd import Crowd
from processor.deferral import Deferral
from processor.dispatch import Dispatcher
from processor.in_hand import InHand
from processor.isolation import Isolation
from processor.left import Left
from processor.loop_holds import LoopHolds
from processor.outage import Outage
from processor.own_loop import OwnLoop
from processor.process import Limits, Processor
from processor.quarantine import Fault, Quarantine
from processor.redelivery import Redelivery
from processor.report import Reporter
from processor.retries import Patience, Schedule
from processor.setbacks import Setbacks
from processor.settings import ProcessorSettings
from processor.solitude import Solitude
from processor.turn import Turns
from processor.witness import Witness
from sluice.chassis.error_log import ErrorLog
from sluice.chassis.postgres import Database
from sluice.registry import Registry

NAME = "processor"
_BESIDE = 2
_TOGETHER = 50


@dataclass(frozen=True)
class Lanes:
    """Everything that works on messages."""

    turns: Turns
    isolation: Isolation
    apart: Mapping[str, Apart]
    """The lanes beside the others, by name."""
    crowd: Crowd
    """Of the lanes that take turns."""


@asynccontextmanager
async def open_lanes(
    settings: ProcessorSettings,
    registry: Registry,
    database: Database,
    errors: ErrorLog,
    stop: asyncio.Event,
    in_hand: InHand,
) -> AsyncIterator[Lanes]:
    """The lanes; those apart have connections of their own, opened when there is need."""
    parts = _Parts(settings, registry, database, errors, stop, in_hand)
    async with (
        open_database(settings, most=_BESIDE) as beside,
        OwnLoop.open(partial(open_database, settings, most=1), parts.foreign_processor, parts.limits) as own_loop,
    ):
        parts.witness = Witness(beside)
        crowd = Crowd()
        slow = parts.apart(parts.turns(parts.processor(beside)))
        blocking = parts.apart(parts.turns(own_loop, holds=parts.foreign_holds))
        heavy = parts.apart(parts.turns(parts.processor(beside)), together=_TOGETHER, after=crowd)
        isolation = Isolation(registry, parts.quarantine, parts.reporter, slow, blocking, heavy)
        parts.holds.on_blocking = isolation.blocked
        turns = parts.turns(parts.processor(database), isolation)
        yield Lanes(turns, isolation, {"apart_slow": slow, "apart_blocking": blocking, "apart_heavy": heavy}, crowd)


def open_database(settings: ProcessorSettings, *, most: int | None = None) -> AbstractAsyncContextManager[Database]:
    """A pool whose statements may take as long as a transaction may; of the size that is set, or opened at need."""
    return Database.connect(
        settings.database_url.get_secret_value(),
        application_name=f"sluice-{NAME}",
        min_size=settings.database_pool_min_size if most is None else 0,
        max_size=most or settings.database_pool_max_size,
        command_seconds=settings.transaction_seconds,
        statement_cache=settings.database_statement_cache,
    )


class _Parts:
    """What all lanes share."""

    def __init__(
        self,
        settings: ProcessorSettings,
        registry: Registry,
        database: Database,
        errors: ErrorLog,
        stop: asyncio.Event,
        in_hand: InHand,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._database = database
        self._stop = stop
        self._in_hand = in_hand
        self._patience = Patience(settings.parked_patience_seconds)
        self._redelivery = Redelivery(database, settings.solo_starts)
        self._outage = Outage(database, stop)
        self._left = Left()
        self._solitude = Solitude()
        self.witness: Witness | None = None
        self.limits = Limits(settings.transaction_seconds, settings.lock_seconds)
        self.reporter = Reporter(errors, registry.types)
        self.holds = LoopHolds()
        self.quarantine = Quarantine()
        self.foreign_holds = LoopHolds(is_main=False)
        self.foreign_holds.on_blocking = lambda handler, _: self.quarantine.accuse(handler, Fault.BLOCKING)

    def processor(self, database: Database, holds: LoopHolds | None = None) -> Processor:
        """A processor on one of the pools."""
        dispatcher = Dispatcher(
            self._registry,
            is_production=self._settings.is_production,
            handler_seconds=self._settings.handler_seconds,
            holds=holds or self.holds,
        )
        return Processor(database, dispatcher, self.limits, self._patience)

    def foreign_processor(self, database: Database) -> Processor:
        """One for another event loop: whoever blocks that one blocks nobody here, and stays there for longer."""
        return self.processor(database, self.foreign_holds)

    def turns(
        self, processor: Processor | OwnLoop, isolation: Isolation | None = None, holds: LoopHolds | None = None
    ) -> Turns:
        """The turns of some lanes."""
        settings = self._settings
        return Turns(
            processor=processor,
            setbacks=Setbacks(
                self._database, Schedule(settings.attempts, settings.attempts_over_seconds), self._patience
            ),
            redelivery=self._redelivery,
            reporter=self.reporter,
            outage=self._outage,
            stop=self._stop,
            hold_seconds=settings.hold_seconds,
            isolation=isolation,
            left=self._left,
            solitude=self._solitude,
            witness=self.witness,
            holds=holds or self.holds,
        )

    def apart(self, turns: Turns, *, together: int = 1, after: Crowd | None = None) -> Apart:
        """A lane beside the others."""
        return Apart(turns, Deferral(self._database), self._stop, self._in_hand, together=together, after=after)
