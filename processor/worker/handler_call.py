"""
One call of a handler: in a task of its own, within its time, and whatever it raises is its own failure.

A task of its own can be cancelled, can cancel itself and can swallow its cancellation without touching the consumer
that waits for it. Each step of it is timed, since between two steps nothing else runs.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeAlias

from sluice.contract.event import StripeEvent
from sluice.failures import Defect
from sluice.outcomes import Outcome
from sluice.postgres.pool import DATABASE_ERRORS
from sluice.registry import Transaction

Answers: TypeAlias = Mapping[str, Outcome]
NoteStep: TypeAlias = Callable[[float, float], None]
"""Takes the beginning and the end of one step, by the monotonic clock."""


class HandlerCancelled(Defect):
    """It ended with CancelledError, though the processor did not cancel it."""


class HandlerEscaped(Defect):
    """It went on after its time budget was used up and it was cancelled; its connection was closed."""


class TaskLeftBehind(Defect):
    """When it returned, a task that it had begun was at work on its transaction."""


@dataclass(frozen=True, slots=True)
class _Raised:
    error: BaseException


class TimedSteps(Coroutine[Any, Any, "Answers | _Raised"]):
    """A coroutine each of whose steps is timed."""

    def __init__(self, inner: "Coroutine[Any, Any, Answers | _Raised]", note: NoteStep) -> None:
        self._inner = inner
        self._note = note

    def send(self, value: Any, /) -> Any:
        """Run one step."""
        began = time.monotonic()
        try:
            return self._inner.send(value)
        finally:
            self._note(began, time.monotonic())

    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
        /,
    ) -> Any:
        """Run one step that begins with an exception; asyncio gives the exception itself."""
        del val, tb
        began = time.monotonic()
        try:
            return self._inner.throw(typ)
        finally:
            self._note(began, time.monotonic())

    def close(self) -> None:
        """End it where it stands."""
        self._inner.close()

    def __await__(self) -> "Generator[Any, Any, Answers | _Raised]":
        return self._inner.__await__()


async def call_within(
    handler: Callable[[Sequence[StripeEvent], Transaction], Awaitable[Answers]],
    events: Sequence[StripeEvent],
    tx: Transaction,
    *,
    close: Callable[[], None],
    deadline: float,
    grace_seconds: float,
    note_step: NoteStep,
) -> Answers:
    """
    Let a handler handle its events.

    Args:
        close: closes the connection of ``tx`` at once.
        deadline: by the loop's clock; then the handler is cancelled.
        grace_seconds: how long it may take to end after that. Then it loses its connection, and goes on by itself.

    Raises:
        TimeoutError: its time was used up, whatever it made of its cancellation.
        HandlerCancelled, HandlerEscaped: as their names say.
        BaseException: what the handler raised, of any kind.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(TimedSteps(_contained(handler, events, tx), note_step), name="handler")
    try:
        await asyncio.wait([task], timeout=max(0.0, deadline - loop.time()))
    finally:
        is_late = not task.done()
        if is_late:
            await _end(task, close, grace_seconds)
    if is_late:
        raise TimeoutError if task.done() else HandlerEscaped
    return _answers(task)


def _answers(task: "asyncio.Task[Answers | _Raised]") -> Answers:
    if task.cancelled():
        raise HandlerCancelled
    result = task.result()
    if not isinstance(result, _Raised):
        return result
    if isinstance(result.error, asyncio.CancelledError):
        raise HandlerCancelled from result.error
    raise result.error


async def _contained(
    handler: Callable[[Sequence[StripeEvent], Transaction], Awaitable[Answers]],
    events: Sequence[StripeEvent],
    tx: Transaction,
) -> Answers | _Raised:
    """Keep what a handler raises from its task: some exceptions would end the whole event loop there."""
    try:
        return await handler(events, tx)
    except BaseException as error:  # noqa: BLE001  the caller raises it
        return _Raised(error)


async def _end(task: asyncio.Task[Any], close: Callable[[], None], grace_seconds: float) -> None:
    """Cancel a handler; one that goes on has no connection any more, and is not waited for."""
    task.cancel()
    try:
        await asyncio.wait([task], timeout=grace_seconds)
    finally:
        if not task.done():
            _ESCAPED.add(task)
            task.add_done_callback(_ESCAPED.discard)
            with contextlib.suppress(*DATABASE_ERRORS):
                close()


_ESCAPED: set[asyncio.Task[Any]] = set()
"""Handlers that swallowed their cancellation; the event loop itself keeps no task alive."""
