"""Look at our endpoint again and again, for metrics, health and alerts."""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from reconciler.endpoint import metrics
from reconciler.endpoint.audit import Needed
from reconciler.endpoint.examination import examine
from reconciler.endpoint.findings import WEIGHTS, Name, Weight
from reconciler.endpoint.proofs import Proofs, read_proofs
from reconciler.stripe_api import StripeApi
from sluice.failures import Failure, Rejected
from sluice.payments.families import EVENT_TYPES
from sluice.postgres.pool import DATABASE_ERRORS, Database
from sluice.runtime import logs
from sluice.runtime.endless import turn
from sluice.runtime.probes import JsonValue

_NOT_FOR_HANDLERS = ("STRIPE_API_KEY", "DATABASE_URL")
_CHILD_SECONDS = 30.0


class EndpointWatch:
    """
    Looks again and again; what it found last stands until Stripe answers again.

    Args:
        apis: Stripe's API by ``livemode``.
        proofs: what the log says of secrets; None: it cannot be read now.
        types: those that the endpoint must be subscribed to, asked for once.
    """

    def __init__(
        self,
        needed: Needed,
        apis: Mapping[bool, StripeApi],
        *,
        proofs: Callable[[], Awaitable[Proofs | None]],
        types: Callable[[], Awaitable[frozenset[str]]],
        every_seconds: float = 60,
    ) -> None:
        self._needed = needed
        self._types = types
        self._apis = apis
        self._proofs = proofs
        self._every_seconds = every_seconds
        self._found: frozenset[Name] = frozenset()

    async def run(self) -> None:
        """Look until cancelled; then another replica may."""
        try:
            self._needed = replace(self._needed, types=await self._types())
            while True:
                turn()
                await self.look()
                await asyncio.sleep(self._every_seconds)
        finally:
            self._found = frozenset()
            metrics.forget()

    async def look(self) -> None:
        """Look once."""
        try:
            examined = await examine(self._needed, self._apis, await self._proofs())
        except Rejected as failure:
            self._show_unseen(failure)
        except Failure as failure:
            logs.get_logger().warning("endpoint_not_seen", reason=failure.code)
        else:
            found = frozenset(one.name for one in examined.findings if one.weight is not Weight.NOTE)
            self._tell(found)
            metrics.show(self._needed.mode, is_enabled=examined.is_enabled, found=found, at=time.time())

    def status(self) -> Mapping[str, JsonValue]:
        """For ``/status``: the names of what is wrong, by weight."""
        return {"faults": self._names(Weight.FAULT), "warnings": self._names(Weight.WARNING)}

    def _names(self, weight: Weight) -> list[JsonValue]:
        return [name.value for name in sorted(self._found) if WEIGHTS[name] is weight]

    def _show_unseen(self, failure: Failure) -> None:
        """The key does not let us look: no waiting mends that."""
        found = frozenset({Name.UNSEEN})
        if found != self._found:
            logs.get_logger().error("endpoint_not_seen", reason=failure.code, fix=str(failure))
        self._found = found
        metrics.show_findings(found)

    def _tell(self, found: frozenset[Name]) -> None:
        if found != self._found:
            log = logs.get_logger()
            say = log.warning if found else log.info
            say("endpoint_findings", findings=sorted(found), fix="`sluice doctor` says more")
        self._found = found


async def subscribed_types() -> frozenset[str]:
    """
    The types that installed handlers take, as ``sluice events`` prints them.

    A process of its own finds them: it loads the code of other packages, which has no business beside Stripe's key.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_FOR_HANDLERS)}
    command = (sys.executable, "-m", "sluice.ops", "events", "--format", "list")
    try:
        async with asyncio.timeout(_CHILD_SECONDS):
            child = await asyncio.create_subprocess_exec(
                *command, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
            )
            printed, _ = await child.communicate()
    except (TimeoutError, OSError) as error:
        logs.get_logger().warning("handlers_not_listed", reason=type(error).__name__)
        return _own_types()
    if child.returncode != 0:
        logs.get_logger().warning("handlers_not_listed", reason=f"exit code {child.returncode}")
        return _own_types()
    return frozenset(printed.decode().split())


async def proofs_in(database: Database) -> Proofs | None:
    """Read from the log which secrets have verified webhooks; None: PostgreSQL does not say."""
    try:
        proofs, _ = await read_proofs(database, configured=None)
    except DATABASE_ERRORS:
        return None
    return proofs


def _own_types() -> frozenset[str]:
    return frozenset(name for name, known in EVENT_TYPES.items() if not known.is_preview)
