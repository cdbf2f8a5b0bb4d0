"""Run many together; where they fail, halves, until the one that fails is alone."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TypeVar

from processor.failures.classify import HandlerFailed, hopeless_event
from processor.outcome import Attempt
from sluice.failures import Defect

A = TypeVar("A", bound=Attempt)


class Interrupted(Exception):
    """The connection is gone, so nothing else can run in this transaction."""

    def __init__(self, event_ids: Collection[str]) -> None:
        """Name the events that ran."""
        super().__init__("the connection was lost")
        self.event_ids = frozenset(event_ids)


class Waiting(Defect):
    """A handler that runs by itself cannot do its work yet; what it wrote is undone."""

    def __init__(self, waiting_for: Mapping[str, str]) -> None:
        """Say which events wait, and for which row."""
        super().__init__(f"waits for {min(waiting_for.values())}")
        self.event_ids = frozenset(waiting_for)


async def run_in_parts(
    works: Sequence[A],
    run: Callable[[Sequence[A]], Awaitable[None]],
    fail: Callable[[A, Exception], Awaitable[None]],
) -> None:
    """
    Run all, in their order within each part.

    Args:
        run: runs a part; what it did is undone where it raises.
        fail: told of each one that failed alone.

    Raises:
        Interrupted: what ``run`` raises of that kind.
    """
    parts = [works] if works else []
    while parts:
        part = parts.pop(0)
        try:
            await run(part)
        except Interrupted:
            raise
        except Exception as error:  # noqa: BLE001 - ``fail`` has an answer for every kind
            if len(part) == 1:
                await fail(part[0], error)
            else:
                parts = [*_split(part, error), *parts]


def _split(works: Sequence[A], error: Exception) -> Sequence[Sequence[A]]:
    """Those that the error names, each alone, and the others; else halves."""
    named = _named(error)
    others = [work for work in works if work.event_id not in named]
    if named and len(others) < len(works):
        alone = [[work] for work in works if work.event_id in named]
        return [others, *alone] if others else alone
    middle = len(works) // 2
    return [works[:middle], works[middle:]]


def _named(error: Exception) -> Collection[str]:
    if isinstance(error, Waiting):
        return error.event_ids
    hopeless = hopeless_event(error)
    if hopeless is not None:
        return {hopeless}
    return error.events if isinstance(error, HandlerFailed) and len(error.events) == 1 else ()
