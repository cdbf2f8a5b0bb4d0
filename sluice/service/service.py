"""The life of a service: logs, event loop, signals, admin port, one group of tasks, a bounded end, an exit code."""

import asyncio
import gc
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial

from sluice.error_log.error_log import ErrorLog
from sluice.runtime import logs, loop_lag, output
from sluice.runtime.abandoned import Abandoned
from sluice.runtime.endless import (
    TURNS_WITHIN_SECONDS,
    EndlessTasks,
    Run,
    TaskEnded,
    belong_to,
    run_endless,
    tell_to_end,
)
from sluice.runtime.printable import printable_lines
from sluice.runtime.probes import PortTaken, Probes
from sluice.runtime.settings import EXIT_CONFIGURATION, ServiceSettings

Main = Callable[["Service"], Awaitable[None]]

_CRASHED = 1
_CLOSE_SECONDS = 1.0  # an event loop waits for what its threads ask a resolver, which may take a minute to be silent


class Service:
    """
    The running service, given to its ``main``.

    ``stop`` is set by SIGTERM and SIGINT, and when ``main`` returns; readiness is red from then on, and everything
    must have ended ``drain_seconds`` later. A task of ``group`` that raises ends the service, and so does one of
    ``endless`` that ends or no longer turns.
    """

    group: asyncio.TaskGroup

    def __init__(self, name: str, settings: ServiceSettings) -> None:
        self.name = name
        self.settings = settings
        self.stop = asyncio.Event()
        self.probes = Probes(name)
        self.endless = EndlessTasks(self.stop.is_set)
        self.probes.add_status("tasks", self.endless.status)
        self.errors = ErrorLog(
            settings.database_url.get_secret_value(), service=name, statement_cache=settings.database_statement_cache
        )
        self.probes.add_status("error_log", self.errors.status)
        self.started_at = time.monotonic()
        self.probes.add_status("logs", output.status)

    def start_endless(self, name: str, run: Run, *, within_seconds: float = TURNS_WITHIN_SECONDS) -> asyncio.Task[None]:
        """Start a loop that ends the service if it ends unasked, or does not ``turn()`` for so long."""
        return self.group.create_task(run_endless(name, run, within_seconds=within_seconds), name=name)


def run(name: str, settings: ServiceSettings, main: Main) -> None:
    """
    Run ``main`` until it returns after SIGTERM or SIGINT.

    Returns after a clean stop. Else ends the process: with 1 after a crash or a drain that took too long, with 78
    where a port is taken.
    """
    output.protect(name)
    logs.configure(name, settings.log_level)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        code = runner.run(_live(name, settings, main))
        patience = threading.Timer(_CLOSE_SECONDS, output.end_process, (code,))
        patience.daemon = True
        patience.start()
    patience.cancel()
    if code:
        raise SystemExit(code)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415  not on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _live(name: str, settings: ServiceSettings, main: Main) -> int:
    asyncio.get_running_loop().set_exception_handler(Abandoned())
    service = Service(name, settings)
    belong_to(service.endless)
    service.endless.on_failure = partial(_end_by_force_after, settings.drain_seconds)
    _listen_for_signals(service)
    try:
        async with service.probes.serve(settings.admin_host, settings.admin_port):
            return await _work_with_error_log(service, main)
    except PortTaken as error:
        return _misconfigured(error)
    except asyncio.CancelledError:
        return _CRASHED
    except BaseExceptionGroup as error:  # the error log itself
        for cause in _leaves(error):
            logs.get_logger().critical("service_crashed", error=type(cause).__name__, exc_info=cause)
        return _CRASHED


def _end_by_force_after(seconds: float) -> None:
    """End a process that failed and in which something swallows its cancellation, instead of leaving it half alive."""
    asyncio.get_running_loop().call_later(seconds, _end_by_force)


def _end_by_force() -> None:
    logs.get_logger().critical("service_ended_by_force")
    output.end_process(_CRASHED)


def _listen_for_signals(service: Service) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.stop.set)


async def _work_with_error_log(service: Service, main: Main) -> int:
    """The error log outlives the work, so that it can store why the work ended."""
    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(service.errors.run(done), name="error_log")
        try:
            return await _work_to_an_end(service, main)
        finally:
            done.set()


async def _work_to_an_end(service: Service, main: Main) -> int:
    log = logs.get_logger()
    log.info("service_started", admin_port=service.probes.port)
    try:
        await _work(service, main)
    except TimeoutError:
        log.critical("drain_took_too_long", drain_seconds=service.settings.drain_seconds)
        return _CRASHED
    except asyncio.CancelledError as error:
        log.critical("service_crashed", error=type(error).__name__, exc_info=error)
        service.errors.general(f"{service.name} was cancelled, though it was not told to end", severity="critical")
        raise
    except Exception as error:
        causes = _causes(error)
        if all(isinstance(cause, PortTaken) for cause in causes):
            return _misconfigured(*causes)
        for cause in causes:
            log.critical("service_crashed", error=type(cause).__name__, exc_info=cause)
            service.errors.general(f"{service.name} crashed: {cause!r}", severity="critical", error=cause)
        return _CRASHED
    log.info("service_stopped", uptime_seconds=round(time.monotonic() - service.started_at, 3))
    return 0


def _misconfigured(*faults: BaseException) -> int:
    """A sentence each, no trace."""
    for fault in faults:
        sys.stderr.write(f"{printable_lines(str(fault))}\n")
    return EXIT_CONFIGURATION


async def _work(service: Service, main: Main) -> None:
    async with asyncio.timeout(None) as deadline, asyncio.TaskGroup() as group:
        service.group = group
        group.create_task(_wind_down(service, deadline), name="wind_down")
        watching = (
            service.start_endless("loop_lag", loop_lag.watch),
            service.start_endless("endless_watch", service.endless.watch),
        )
        _calm_the_collector()
        try:
            await main(service)
        finally:
            service.endless.let_end()
            for watch in watching:
                tell_to_end(watch)
        service.stop.set()


async def _wind_down(service: Service, deadline: asyncio.Timeout) -> None:
    await service.stop.wait()
    service.probes.is_draining = True
    logs.get_logger().info("service_draining", drain_seconds=service.settings.drain_seconds)
    deadline.reschedule(asyncio.get_running_loop().time() + service.settings.drain_seconds)


def _calm_the_collector() -> None:
    """Make the collector look seldom: imported objects live to the end, and most others die by their count."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _causes(error: BaseException) -> Sequence[BaseException]:
    """The errors that went wrong, without the endless tasks that ended of them."""
    leaves = list(_leaves(error))
    return [leaf for leaf in leaves if not isinstance(leaf, TaskEnded)] or leaves


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
