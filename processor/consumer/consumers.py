"""Assemble the workers by the processor's settings: those that take batches in turn, and those that run apart."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from processor.bulkhead.quarantine import Fault, Quarantine
from processor.bulkhead.quiet_parties import QuietParties
from processor.bulkhead.routing import Routing
from processor.bulkhead.side_worker import SideWorker
from processor.bulkhead.thread_loop import ThreadLoop
from processor.failures.connection_witness import ConnectionWitness
from processor.failures.database_gate import DatabaseGate
from processor.failures.exclusive_run import ExclusiveRun
from processor.failures.failure_store import FailureStore
from processor.failures.isolated_runs import IsolatedRuns
from processor.failures.retry_policy import Patience, Schedule
from processor.queue.deferral import Deferral
from processor.queue.leases import Leases
from processor.queue.pauses import KnownPauses, Resumption
from processor.queue.released_messages import ReleasedMessages
from processor.settings import ProcessorSettings
from processor.worker.blocked_loop import BlockedLoop
from processor.worker.concurrency import Concurrency
from processor.worker.dispatcher import Dispatcher
from processor.worker.pause_gate import PauseGate
from processor.worker.reporter import Reporter
from processor.worker.transaction import Limits, Processor
from processor.worker.worker import Worker
from sluice.error_log.error_log import ErrorLog
from sluice.postgres.pool import Database
from sluice.registry import Registry

NAME = "processor"
_BESIDE = 2
_TOGETHER = 50


@dataclass(frozen=True)
class Consumers:
    """Everything that works on messages."""

    worker: Worker
    routing: Routing
    apart: Mapping[str, SideWorker]
    """Side workers, by name."""
    concurrency: Concurrency
    """Of the loops that take batches."""
    resumption: Resumption


@asynccontextmanager
async def open_consumers(
    settings: ProcessorSettings,
    registry: Registry,
    database: Database,
    errors: ErrorLog,
    stop: asyncio.Event,
    leases: Leases,
) -> AsyncIterator[Consumers]:
    """Open the workers; those apart have connections of their own, opened when there is need."""
    parts = _Parts(settings, registry, database, errors, stop, leases)
    async with (
        open_database(settings, most=_BESIDE) as beside,
        ThreadLoop.open(partial(open_database, settings, most=1), parts.foreign_processor, parts.limits) as thread_loop,
    ):
        parts.witness = ConnectionWitness(beside)
        concurrency = Concurrency()
        slow = parts.apart(parts.worker(parts.processor(beside)))
        blocking = parts.apart(parts.worker(thread_loop, blocked_loop=parts.foreign_blocked_loop))
        heavy = parts.apart(parts.worker(parts.processor(beside)), together=_TOGETHER, after=concurrency)
        quiet_parties = QuietParties(database)
        routing = Routing(registry, parts.quarantine, parts.reporter, slow, blocking, heavy, quiet_parties)
        parts.blocked_loop.on_blocking = routing.blocked
        worker = parts.worker(parts.processor(database), routing)
        yield Consumers(
            worker=worker,
            routing=routing,
            apart={"apart_slow": slow, "apart_blocking": blocking, "apart_heavy": heavy},
            concurrency=concurrency,
            resumption=Resumption(database, parts.known_pauses, stop),
        )


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
    """Parts that all workers share."""

    def __init__(
        self,
        settings: ProcessorSettings,
        registry: Registry,
        database: Database,
        errors: ErrorLog,
        stop: asyncio.Event,
        leases: Leases,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._database = database
        self._stop = stop
        self._leases = leases
        self._patience = Patience(settings.parked_patience_seconds)
        self._isolated_runs = IsolatedRuns(database, settings.solo_starts)
        self._database_gate = DatabaseGate(database, stop)
        self._left = ReleasedMessages()
        self._exclusive_run = ExclusiveRun()
        self.witness: ConnectionWitness | None = None
        self.limits = Limits(settings.transaction_seconds, settings.lock_seconds)
        self.reporter = Reporter(errors, registry.types)
        self.blocked_loop = BlockedLoop()
        self.quarantine = Quarantine()
        self.known_pauses = KnownPauses(database, registry)
        self.foreign_blocked_loop = BlockedLoop(is_main=False)
        self.foreign_blocked_loop.on_blocking = lambda handler, _: self.quarantine.accuse(handler, Fault.BLOCKING)

    def processor(self, database: Database, blocked_loop: BlockedLoop | None = None) -> Processor:
        """A processor on one of the pools."""
        dispatcher = Dispatcher(
            self._registry,
            is_production=self._settings.is_production,
            handler_seconds=self._settings.handler_seconds,
            blocked_loop=blocked_loop or self.blocked_loop,
        )
        return Processor(database, dispatcher, self.limits, self._patience)

    def foreign_processor(self, database: Database) -> Processor:
        """One for another event loop: a handler that blocks that one blocks none here, and stays there for longer."""
        return self.processor(database, self.foreign_blocked_loop)

    def worker(
        self, processor: Processor | ThreadLoop, routing: Routing | None = None, blocked_loop: BlockedLoop | None = None
    ) -> Worker:
        """A worker for some loops."""
        settings = self._settings
        return Worker(
            processor=processor,
            failure_store=FailureStore(
                self._database, Schedule(settings.attempts, settings.attempts_over_seconds), self._patience
            ),
            isolated_runs=self._isolated_runs,
            reporter=self.reporter,
            database_gate=self._database_gate,
            stop=self._stop,
            hold_seconds=settings.hold_seconds,
            routing=routing,
            left=self._left,
            exclusive_run=self._exclusive_run,
            witness=self.witness,
            pauses=PauseGate(self._database, self.known_pauses),
            blocked_loop=blocked_loop or self.blocked_loop,
        )

    def apart(self, worker: Worker, *, together: int = 1, after: Concurrency | None = None) -> SideWorker:
        """A side worker."""
        return SideWorker(worker, Deferral(self._database), self._stop, self._leases, together=together, after=after)
