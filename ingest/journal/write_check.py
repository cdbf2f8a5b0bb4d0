"""Whether PostgreSQL would take webhooks from this process: the journal's own statements, without a webhook in them."""

from ingest.journal.batch import columns, differs
from ingest.journal.journal import PUBLISHES
from ingest.journal.repeats import QUERIES as REPEATS
from sluice.inbox.record import RECORD_NEW
from sluice.postgres.pool import DATABASE_ERRORS, Database
from sluice.postgres.reasons import reason_of

_SECONDS = 3.0


async def what_prevents_writing(database: Database) -> str | None:
    """Why nothing could be recorded now (no connection, no schema, no right, a standby); None: nothing prevents it."""
    nothing = columns(())
    try:
        async with database.acquire(within_seconds=_SECONDS) as connection:
            await connection.fetch(RECORD_NEW, *nothing, PUBLISHES, timeout=_SECONDS)
            await connection.fetch(REPEATS["record"], *nothing, differs(()), timeout=_SECONDS)
            await connection.fetch(REPEATS["fill"], *nothing, timeout=_SECONDS)
    except DATABASE_ERRORS as error:
        return reason_of(error)
    return None
