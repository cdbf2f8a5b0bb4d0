"""Check that PostgreSQL takes webhooks from this process: the journal's own statements, without a webhook in them."""

from sluice.inbox import recorder
from sluice.postgres.pool import DATABASE_ERRORS, Database
from sluice.postgres.reasons import reason_of

_SECONDS = 3.0


async def what_prevents_writing(database: Database) -> str | None:
    """Why nothing could be recorded now (no connection, no schema, no right, a standby); None: nothing prevents it."""
    try:
        async with database.acquire(within_seconds=_SECONDS) as connection:
            await recorder.record_new(connection, (), within_seconds=_SECONDS)
            await recorder.record(connection, (), (), within_seconds=_SECONDS)
            await recorder.fill(connection, (), within_seconds=_SECONDS)
    except DATABASE_ERRORS as error:
        return reason_of(error)
    return None
