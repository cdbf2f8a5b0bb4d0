"""The sign by which handlers know that their transaction will be rolled back, to see what it would change."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_IS_REHEARSAL: ContextVar[bool] = ContextVar("sluice_is_rehearsal", default=False)


def is_rehearsal() -> bool:
    """Whether this handler's transaction will be rolled back: write to it, and do nothing outside PostgreSQL."""
    return _IS_REHEARSAL.get()


@contextmanager
def rehearsing() -> Iterator[None]:
    """Tell the handlers that are called in this block; also their tasks, and their threads of ``asyncio.to_thread``."""
    token = _IS_REHEARSAL.set(True)
    try:
        yield
    finally:
        _IS_REHEARSAL.reset(token)
