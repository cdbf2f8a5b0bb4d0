"""The measure of recovery ends, and says what it waited for."""

import asyncio

import pytest

from tests.system import recovery
from tests.system.recovery import Measured
from tests.system.traffic import Traffic
from tests.waiting import until


async def test_what_never_comes_is_named_with_its_fault() -> None:
    """Of a wait with a limit of its own, in a group or not."""
    traffic = Traffic("http://127.0.0.1:1", "whsec_none", ["1"])

    async def measure() -> Measured:
        async with traffic.flowing(per_second=1):
            await traffic.acknowledged_more(1, within_seconds=0.05)
        raise AssertionError

    with pytest.raises(AssertionError, match=r"nats reset: not within 0.05 s: 1 more webhooks acknowledged"):
        await recovery._in_time("nats reset", measure())


async def test_a_wait_without_a_limit_has_the_faults(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The place where it waits is shown."""
    monkeypatch.setattr(recovery, "_LONGEST_SECONDS", 0.05)

    async def wait_for_ever() -> Measured:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(AssertionError, match="nats reset: given up after"):
        await recovery._in_time("nats reset", wait_for_ever())
    assert "wait_for_ever" in capsys.readouterr().err


async def test_traffic_that_is_never_acknowledged_ends() -> None:
    """Nothing listens there."""
    traffic = Traffic("http://127.0.0.1:1", "whsec_none", ["1"])
    with pytest.raises(ExceptionGroup) as failed:
        async with traffic.flowing(per_second=1, end_within_seconds=0.05):
            await until(lambda: bool(traffic.sent_at))
    assert "all that was sent is acknowledged" in str(failed.value.exceptions)
