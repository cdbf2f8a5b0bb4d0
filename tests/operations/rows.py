"""Webhooks and errors for operations to change."""

from datetime import UTC, datetime

from sluice.inbox.operations import read_states
from sluice.inbox.states import State
from sluice.postgres.pool import Connection
from tests.inbox.rows import ROWS, insert

DAY = datetime(2026, 11, 23, tzinfo=UTC)


async def put_in(connection: Connection, key: str, state: State, **columns: str) -> None:
    """One webhook of this key in this state; columns as SQL."""
    await insert(connection, {**ROWS[state][0], "stripe_event_id": f"'{key}'", **columns})


async def put_error(connection: Connection, key: str | None, **columns: object) -> str:
    """One unresolved error of this webhook; its id."""
    row = {"severity": "error", "message": "it failed", "stripe_event_id": key, **columns}
    places = ", ".join(f"${place}" for place in range(1, len(row) + 1))
    statement = f"INSERT INTO error_logs ({', '.join(row)}) VALUES ({places}) RETURNING id::text"  # noqa: S608
    found: str = await connection.fetchval(statement, *row.values())
    return found


async def states_of(connection: Connection) -> dict[str, State]:
    """Each webhook's state, by key."""
    keys = [row["stripe_event_id"] for row in await connection.fetch("SELECT stripe_event_id FROM webhook_logs")]
    return dict(await read_states(connection, keys))
