"""Log in one line how an abandoned attempt ended, without a traceback of a future that was never awaited."""

import asyncio
from typing import Any

from sluice.runtime import logs

_REASONS_KEPT = 100


class Abandoned:
    """
    The event loop's exception handler.

    uvloop, asyncpg and nats-py give a connection up by their deadline while the resolver or the peer is still asked.
    Each reason is told once; what waits for such an attempt tells of its own failure. Every other uncaught error is a
    defect, and keeps its traceback.
    """

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Tell of it."""
        error = context.get("exception")
        if not isinstance(error, OSError) or not ("future" in context or "task" in context):
            loop.default_exception_handler(context)
            return
        reason = f"{type(error).__name__}: {error}"
        if reason not in self._told and len(self._told) < _REASONS_KEPT:
            self._told.add(reason)
            logs.get_logger().warning("abandoned_attempt_failed", reason=reason)
