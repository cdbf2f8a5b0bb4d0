"""Half a service is worse than none: what ends or stands still ends the whole, with a reason."""

import json
import signal

import pytest

from sluice.runtime import endless
from sluice.runtime.endless import EndlessTasks, TaskStuck
from tests.service.test_service import _end, _line, _service

ENDS = """
async def main(service: Service) -> None:
    async def work() -> None:
        {body}
    task = service.start_endless("work", work)
    {after}
    await service.stop.wait()
"""


@pytest.mark.parametrize(
    ("body", "after"),
    [
        ("await asyncio.sleep(0)", ""),
        ("raise asyncio.CancelledError", ""),
        ("asyncio.current_task().cancel(); await asyncio.sleep(60)", ""),
        ("await asyncio.sleep(60)", "await asyncio.sleep(0); task.cancel()"),
    ],
    ids=["returns", "raises_cancelled", "cancels_itself", "is_cancelled_by_another"],
)
async def test_an_endless_task_that_ends_unasked_ends_the_service(body: str, after: str) -> None:
    """Exit code 1, a critical line and an error row, each naming the task."""
    async with _service("main", defines=ENDS.format(body=body, after=after)) as process:
        code, _, err = await _end(process)
    lines = [json.loads(line) for line in err.splitlines()]
    assert code == 1
    assert [line["error"] for line in lines if line["event"] == "service_crashed"] == ["TaskEnded"]
    assert any("work" in line["message"] for line in lines if line["event"] == "error_log_entry")


async def test_a_task_that_no_longer_turns_ends_the_service_even_if_it_swallows_its_cancellation() -> None:
    """The service is ended by force when its time to drain is over."""
    body = """
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass
    """
    defines = ENDS.format(body=body, after="").replace('"work", work', '"work", work, within_seconds=0.5')
    async with _service("main", defines=defines, DRAIN_SECONDS="0.3") as process:
        await _line(process, "service_ended_by_force")
        code, _, _ = await _end(process)
    assert code == 1


async def test_a_loop_that_is_blocked_for_good_ends_the_process_and_tells_where_it_stood() -> None:
    """No task can see that; a timer outside of Python does, also while the interpreter is held."""
    body = "await asyncio.sleep(0.1); time.sleep(60)"
    blocked = "from sluice.runtime import endless\nendless.LOOP_BLOCKED_SECONDS = 1.0\n"
    async with _service("main", defines=blocked + ENDS.format(body=body, after="")) as process:
        code, _, err = await _end(process)
    assert code == 1
    assert "Timeout (0:00:01)!" in err
    assert "in work" in err


@pytest.mark.parametrize(
    "cancel", ["for every in asyncio.all_tasks(): every.cancel()", "asyncio.current_task().cancel()"]
)
async def test_a_cancellation_of_everything_or_of_the_service_itself_ends_it(cancel: str) -> None:
    """Cancelling every task leaves no half-dead process behind."""
    after = f"await asyncio.sleep(0)\n    {cancel}"
    async with _service("main", defines=ENDS.format(body="await asyncio.sleep(60)", after=after)) as process:
        code, _, err = await _end(process)
    assert code == 1
    assert "service_crashed" in err


async def test_an_endless_task_ends_with_its_service() -> None:
    """A stop is no fault: those that are cancelled then, and those that return by themselves, are told to."""
    body = "await service.stop.wait()"
    async with _service("main", defines=ENDS.format(body=body, after="")) as process:
        await _line(process, "service_started")
        process.send_signal(signal.SIGTERM)
        code, _, err = await _end(process)
    assert (code, "service_crashed" in err) == (0, False)


def test_looks_count_and_not_seconds() -> None:
    """A machine that stalls for an hour makes one look late; it does not end every service on it."""
    tasks = EndlessTasks()
    task = tasks.add("work", within_seconds=2.5)
    task.turned_at -= 3600
    tasks.look()
    tasks.look()
    with pytest.raises(TaskStuck, match="work"):
        tasks.look()


def test_a_turn_begins_the_count_anew() -> None:
    """A task that goes on turning is not stuck."""
    tasks = EndlessTasks()
    task = tasks.add("work", within_seconds=1.5)
    for _ in range(5):
        tasks.look()
        task.turned()
    assert tasks.status()["work"]["last_turn_age_seconds"] < 60


def test_a_turn_outside_of_any_task_is_nothing() -> None:
    """The same loops run in tests and commands."""
    endless.turn()


def test_tasks_of_one_name_are_told_apart() -> None:
    """Two pools of one process have a floor each."""
    tasks = EndlessTasks()
    first, second = tasks.add("floor", 1), tasks.add("floor", 1)
    assert (first.name, second.name) == ("floor", "floor_2")
    tasks.remove(first)
    assert list(tasks.status()) == ["floor_2"]
