"""Search by an id: to the page that tells of it."""

import re
from urllib.parse import urlencode

from console.web.rendering import segment
from sluice.postgres.pool import Connection
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "search.sql")
_AT_MOST = 50
_PREFIXES = {"acct_": "account", "cus_": "customer"}
_OBJECT = re.compile(r"[a-z]{2,8}_[A-Za-z0-9_]+")
_OF_PAYMENTS = ("pi_", "cs_", "ch_", "py_", "re_", "du_", "dp_", "in_", "sub_")
"""What a payment goes through."""


async def address_of(connection: Connection, text: str) -> str:
    """Find the page of what an id names; it may be an event's, an object's, a customer's, an account's, a row's."""
    if text.startswith("evt_"):
        return await _webhook(connection, text)
    if text.startswith(_OF_PAYMENTS):
        return f"/payments/{segment(text)}"
    field = next((name for prefix, name in _PREFIXES.items() if text.startswith(prefix)), "object")
    if field == "object" and not _OBJECT.fullmatch(text):
        return f"/events/{segment(text)}"
    return f"/webhooks?{urlencode({field: text})}"


async def _webhook(connection: Connection, text: str) -> str:
    """Through an organiser's URL the same event has a key of its own, and there may be several."""
    rows = await connection.fetch(QUERIES["keys_of_event"], text, _AT_MOST)
    keys = [row["stripe_event_id"] for row in rows]
    if len(keys) == 1:
        return f"/webhooks/{segment(keys[0])}"
    return f"/webhooks?{urlencode({'id': ' '.join(keys or [text])})}"
