"""
A process of its own for handlers that operators run: whatever they do to it, the processor goes on.

A socket leads to the processor. It carries a byte for each half second in which the event loop turned, so that the
processor ends a process that hangs; and where it is closed at the other side, this process ends at once.
"""

import asyncio
import contextlib
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Final

from processor.failures.retry_policy import Patience, Schedule
from processor.operations.rehearse import Rehearsals
from processor.operations.work import CONNECTIONS, Work
from processor.settings import ProcessorSettings
from processor.worker.dispatcher import Dispatcher
from processor.worker.transaction import Limits, Processor
from sluice.postgres.pool import Database
from sluice.registry import Registry
from sluice.runtime import logs

NAME: Final = "processor-operations"
BEAT_SECONDS: Final = 0.5
SEAT_TAKEN: Final = 75
"""Exit code (EX_TEMPFAIL): another process works."""
_ORPHANED: Final = 76
_NICENESS: Final = 10
_FIRST_TO_GO: Final = "1000"
"""Should memory run out, the kernel ends this process before the processor."""


def run(settings: ProcessorSettings, registry: Registry, descriptor: int) -> None:
    """Work off what was asked for, and end this process with a code."""
    logs.configure(NAME, settings.log_level)
    link = socket.socket(fileno=descriptor)
    threading.Thread(target=_end_with_the_processor, args=(link,), daemon=True).start()
    _give_way()
    asyncio.run(_run(settings, registry, link))


async def _run(settings: ProcessorSettings, registry: Registry, link: socket.socket) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C is the processor's to pass on
    beats = loop.create_task(_beat(link), name="beat")
    async with Database.connect(
        settings.database_url.get_secret_value(),
        application_name=f"sluice-{NAME}",
        min_size=0,
        max_size=CONNECTIONS,
        command_seconds=settings.transaction_seconds,
        statement_cache=settings.database_statement_cache,
    ) as database:
        is_ours = await make_work(settings, registry, database, stop).run()
    beats.cancel()
    os._exit(0 if is_ours else SEAT_TAKEN)  # a handler that escaped its cancellation is not waited for


def make_work(settings: ProcessorSettings, registry: Registry, database: Database, stop: asyncio.Event) -> Work:
    """Put the parts together as the processor's settings say."""
    limits = Limits(settings.transaction_seconds, settings.lock_seconds)
    dispatcher = Dispatcher(registry, is_production=settings.is_production, handler_seconds=settings.handler_seconds)
    processor = Processor(database, dispatcher, limits, Patience(settings.parked_patience_seconds))
    schedule = Schedule(settings.attempts, settings.attempts_over_seconds)
    rehearsals = Rehearsals(database, processor, schedule, registry)
    return Work(database, registry, processor, rehearsals, limits, stop, settings.solo_starts)


async def _beat(link: socket.socket) -> None:
    while True:
        with contextlib.suppress(OSError):
            link.send(b".", socket.MSG_DONTWAIT)
        await asyncio.sleep(BEAT_SECONDS)


def _end_with_the_processor(link: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while link.recv(1):
            pass
    os._exit(_ORPHANED)


def _give_way() -> None:
    """Let the processor go first, for the processor and for memory."""
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)
