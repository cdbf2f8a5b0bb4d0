"""Run one handler by itself over stored webhooks, in a transaction of the caller's."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from processor.operations.halving import Waiting
from processor.operations.stored import Stored, read_bodies
from processor.outcome import Handled
from processor.worker.dispatcher import Dispatcher
from processor.worker.transaction import Limits
from sluice.outcomes import Parked
from sluice.postgres.pool import Connection
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "one_handler.sql")


async def run_handler(
    dispatcher: Dispatcher, works: Sequence[Stored], connection: Connection, limits: Limits
) -> Mapping[str, Handled]:
    """
    Run the handlers of a dispatcher; the outcome of each webhook that has a body, by id.

    Raises:
        Waiting: some wait for a row.
        HandlerFailed: as ``Dispatcher.handle``.
    """
    await set_limits(connection, limits)
    bodies = await read_bodies(connection, [work.event_id for work in works])
    events = [replace(work.event, body=bodies[work.event_id]) for work in works if work.event_id in bodies]
    answers = await dispatcher.handle(events, connection)
    waiting = {event_id: outcome.waiting_for for event_id, outcome in answers.items() if isinstance(outcome, Parked)}
    if waiting:
        raise Waiting(waiting)
    return answers


async def set_limits(connection: Connection, limits: Limits) -> None:
    """Bound what this transaction may take, as a claim does."""
    await connection.fetch(
        QUERIES["set_limits"],
        _milliseconds(limits.transaction_seconds * 0.95),
        _milliseconds(limits.lock_seconds),
        _milliseconds(limits.transaction_seconds * 2),
    )


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))
