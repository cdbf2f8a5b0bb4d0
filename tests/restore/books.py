"""The books of one history: what is in the log, what took effect, and what rows of ``events`` show."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import asyncpg

Connection = asyncpg.Connection


@dataclass(frozen=True, slots=True)
class Books:
    """Faults of a database; none, if it balances."""

    lost: frozenset[str]
    """Webhooks that are not in the log."""
    unprocessed: frozenset[str]
    """Webhooks of the log that had no effect."""
    twice: frozenset[str]
    """Webhooks that had an effect more than once, or whose facts are there twice."""
    wrong: frozenset[str]
    """Rows of ``events`` that do not show what they must."""

    @property
    def balance(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.unprocessed or self.twice or self.wrong)


async def draw_up(
    connection: "Connection[asyncpg.Record]", happened: Collection[str], statuses: Mapping[str, str]
) -> Books:
    """Compare a database with what happened at Stripe."""
    rows = await connection.fetch("SELECT stripe_event_id, processed FROM webhook_logs")
    logged = {row["stripe_event_id"]: row["processed"] for row in rows}
    effects = await connection.fetch("SELECT stripe_event_id FROM effect GROUP BY 1 HAVING count(*) > 1")
    facts = await connection.fetch(
        "SELECT stripe_event_id FROM payment_fact GROUP BY scope, payment_id, stripe_event_id HAVING count(*) > 1"
    )
    shown = await connection.fetch(
        "SELECT id::text AS id, payment_status FROM events WHERE id::text = ANY ($1)", list(statuses)
    )
    return Books(
        lost=frozenset(happened) - logged.keys(),
        unprocessed=frozenset(event_id for event_id, processed in logged.items() if not processed),
        twice=frozenset(row["stripe_event_id"] for row in (*effects, *facts)),
        wrong=frozenset(row["id"] for row in shown if row["payment_status"] != statuses[row["id"]]),
    )
