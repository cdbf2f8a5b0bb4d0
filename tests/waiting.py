"""How tests wait where no signal can be had: ask until the answer is yes, with a deadline and a clear complaint."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

_LOOK_SECONDS = 0.02


async def until(condition: Callable[[], bool | Awaitable[bool]], *, within_seconds: float = 20, what: str = "") -> None:
    """
    Return as soon as the condition holds.

    Args:
        condition: a function or a coroutine function; what it raises ends the wait.
        within_seconds: generous where it is no promise of ours; a long one costs nothing while all is well.
        what: is awaited; without it the complaint names the place of the condition.

    Raises:
        AssertionError: it did not hold in time.
    """
    deadline = asyncio.timeout(within_seconds)
    try:
        async with deadline:
            while not await _holds(condition):
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        if not deadline.expired():
            raise
        raise AssertionError(f"not within {within_seconds:g} s: {what or _place(condition)}") from None


async def listens(port: int) -> bool:
    """Whether a process accepts connections on this port of 127.0.0.1."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def _holds(condition: Callable[[], bool | Awaitable[bool]]) -> bool:
    answer = condition()
    return answer if isinstance(answer, bool) else await answer


def _place(condition: Callable[[], bool | Awaitable[bool]]) -> str:
    code = getattr(condition, "__code__", None)
    if code is None:
        return repr(condition)
    return f"{code.co_qualname} ({Path(code.co_filename).name}:{code.co_firstlineno})"
