"""
Tasks that run as long as their service: one that ends, or no longer turns, ends the service, which is started again.

Each loop says ``turn()`` once a round, also while it has nothing to do. Half a service looks alive from outside; a
process that ends is seen, and Kubernetes starts another one.
"""

import asyncio
import faulthandler
import itertools
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from weakref import WeakKeyDictionary

from sluice.failures import Defect
from sluice.runtime import metrics

Run: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

TURNS_WITHIN_SECONDS: Final = 120.0
LOOP_BLOCKED_SECONDS: Final = 120.0
_WATCH_SECONDS: Final = 1.0
_REARM_LOOKS: Final = 10

_TURNED_AT = metrics.gauge(
    "task_last_turn_timestamp_seconds", "When each task that should never end last turned, Unix time.", ("task",)
)


class TaskEnded(Defect):
    """A task that should never end has ended."""


class TaskStuck(Defect):
    """A task that should never end no longer turns."""


@dataclass(eq=False)
class EndlessTask:
    """One task that should never end, and when it last turned."""

    name: str
    within_seconds: float
    turned_at: float = field(default_factory=time.monotonic)
    is_told_to_end: bool = False
    looks: int = 0
    """Looks of the watch since the last turn; a machine that stalls makes one of them, not many."""

    def turned(self) -> None:
        """Note one more round."""
        self.turned_at = time.monotonic()
        self.looks = 0


@dataclass
class EndlessTasks:
    """The endless tasks of one service."""

    is_stopping: Callable[[], bool] = lambda: False
    """Whether the service was told to end: from then on each of them may."""
    on_failure: Callable[[], None] = lambda: None
    """Called once, when the first of them has ended or stuck; the service ends of it afterwards."""
    _tasks: dict[str, EndlessTask] = field(default_factory=dict)
    _may_end: bool = False
    _failure: BaseException | None = None

    def add(self, name: str, within_seconds: float) -> EndlessTask:
        """Watch one more; a name that is taken already gets a number."""
        free = next(one for one in _numbered(name) if one not in self._tasks)
        task = self._tasks[free] = EndlessTask(free, within_seconds)
        _TURNED_AT.labels(free).set_function(lambda: time.time() - (time.monotonic() - task.turned_at))
        return task

    def remove(self, task: EndlessTask) -> None:
        """Watch it no more."""
        del self._tasks[task.name]
        _TURNED_AT.remove(task.name)

    def let_end(self) -> None:
        """Let every one of them end from now on: the service does."""
        self._may_end = True

    def may_end(self, task: EndlessTask) -> bool:
        """Whether this one, or the whole service, was told to end."""
        return self._may_end or task.is_told_to_end or self.is_stopping()

    def failed(self, failure: BaseException) -> None:
        """One has ended or stuck; what follows is the end of all others."""
        if not self._may_end:
            self._may_end = True
            self._failure = failure
            self.on_failure()

    def status(self) -> Mapping[str, Mapping[str, float]]:
        """For ``/status``: the age of each one's last turn, and the age at which the service ends; seconds."""
        now = time.monotonic()
        return {
            name: {"last_turn_age_seconds": round(now - task.turned_at, 3), "within_seconds": task.within_seconds}
            for name, task in self._tasks.items()
        }

    def look(self) -> None:
        """
        Make sure that all of them turn.

        Raises:
            TaskStuck: one has not turned for as long as it may take.
            BaseException: what ended one that has no other parent.
        """
        if self._failure is not None:
            raise self._failure
        for task in self._tasks.values():
            task.looks += 1
            if task.looks * _WATCH_SECONDS > task.within_seconds and not self.may_end(task):
                stuck = TaskStuck(f"The task {task.name} has not turned for {task.within_seconds:g} s.")
                self.failed(stuck)
                raise stuck

    async def watch(self) -> None:
        """
        Look once a second until cancelled.

        A blocked event loop cannot look: then a timer of the operating system ends the process, and
        writes to stderr where it stood. Kubernetes' liveness probe is quicker; elsewhere there may be none.
        """
        try:
            for number in itertools.count():
                turn()
                self.look()
                if number % _REARM_LOOKS == 0:
                    faulthandler.dump_traceback_later(LOOP_BLOCKED_SECONDS, exit=True)
                await asyncio.sleep(_WATCH_SECONDS)
        finally:
            faulthandler.cancel_dump_traceback_later()


_TASKS: ContextVar[EndlessTasks | None] = ContextVar("endless_tasks", default=None)
_TASK: ContextVar[EndlessTask | None] = ContextVar("endless_task", default=None)
_BY_TASK: "WeakKeyDictionary[asyncio.Task[Any], EndlessTask]" = WeakKeyDictionary()


def belong_to(tasks: EndlessTasks) -> None:
    """Let every endless task that is started from here on belong to these."""
    _TASKS.set(tasks)


def turn() -> None:
    """Say that the endless task which calls this goes round; elsewhere nothing happens."""
    task = _TASK.get()
    if task is not None:
        task.turned()


async def run_endless(name: str, run: Run, *, within_seconds: float = TURNS_WITHIN_SECONDS) -> None:
    """
    Run a loop that should not end before ``tell_to_end``, or the end of the service; outside of a service, just run it.

    Args:
        within_seconds: without a turn for that long the service ends.

    Raises:
        TaskEnded: it returned, or was cancelled, unasked.
    """
    tasks = _TASKS.get()
    if tasks is None:
        await run()
        return
    task = tasks.add(name, within_seconds)
    _TASK.set(task)
    if (current := asyncio.current_task()) is not None:
        _BY_TASK[current] = task
    try:
        await _run_to_its_end(task, tasks, run)
    except BaseException as error:
        if not tasks.may_end(task):
            tasks.failed(error)
        raise
    finally:
        tasks.remove(task)


async def _run_to_its_end(task: EndlessTask, tasks: EndlessTasks, run: Run) -> None:
    try:
        await run()
    except asyncio.CancelledError as error:
        if tasks.may_end(task):
            raise
        raise TaskEnded(f"The task {task.name} was cancelled, though it was not told to end.") from error
    if not tasks.may_end(task):
        raise TaskEnded(f"The task {task.name} returned, though it was not told to end.")


def tell_to_end(task: asyncio.Task[Any]) -> None:
    """Cancel an endless task, and expect its end."""
    if (endless := _BY_TASK.get(task)) is not None:
        endless.is_told_to_end = True
    task.cancel()


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}_{number}" for number in itertools.count(2))
