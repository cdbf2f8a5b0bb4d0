"""Read a webhook's body, and record in the same transaction who viewed it."""

from dataclasses import dataclass

import orjson

from sluice.postgres.pool import Database
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "body.sql")
_WITHIN_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes that Stripe signed, as text, indented where they are JSON."""

    text: str
    size: int


async def view_body(database: Database, key: str, person: str) -> Body | None:
    """Record the view, and read the body; None: there is none, and nothing was recorded."""
    async with database.acquire(within_seconds=_WITHIN_SECONDS) as connection, connection.transaction():
        rows = await connection.fetch(QUERIES["view_body"], key, person)
    return None if not rows else Body(_shown(rows[0]["body"]), len(rows[0]["body"]))


def _shown(body: bytes) -> str:
    try:
        return orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "backslashreplace")
