"""A database with one of everything, as the pages of the console may meet it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from tests.ops.rows import Connection, connected, insert, insert_fact, insert_webhook

BODY = b'{"id":"evt_dead","type":"charge.succeeded","data":{"object":{"billing_details":{"name":"Jonas Weber"}}}}'
ROW = "11111111-1111-4111-8111-111111111111"
LOST = "in handler loyalty.add_points (attempt 16): KeyError: 'seat' is not in the venue's plan"


async def fill(url: str) -> None:
    """Webhooks in every state, two deliveries, errors, an operation, a payment, an account, an events row."""
    async with connected(url) as connection:
        await _webhooks(connection)
        await _payment(connection)
        await _records(connection)


async def _webhooks(connection: Connection) -> None:
    now = datetime.now(UTC)
    received = now - timedelta(minutes=40)
    done = {"processed": True, "outcome": "applied", "published_at": None, "next_attempt_at": None}
    for number in range(60):
        at = received + timedelta(seconds=30 * number)
        kind = ("payment_intent.succeeded", "charge.succeeded", "checkout.session.completed")[number % 3]
        await insert_webhook(
            connection,
            f"evt_done{number}",
            webhook_type=kind,
            created_at=at,
            processed_at=at + timedelta(milliseconds=80 + number),
            livemode=True,
            object_id=f"pi_{number}",
            body=BODY,
            **done,
        )
    dead = {"webhook_type": "charge.succeeded", "dead_at": now, "published_at": None, "last_error": LOST}
    await insert_webhook(
        connection,
        "evt_dead",
        **dead,
        created_at=received,
        stripe_created_at=received - timedelta(seconds=1),
        processing_attempts=16,
        body=BODY,
        object_id="ch_1",
        livemode=True,
        api_version="2026-10-28.endive",
    )
    await insert_webhook(connection, "evt_dead2", **dead, created_at=received)
    await insert_webhook(
        connection,
        "evt_failed",
        outcome="failed",
        processing_attempts=3,
        published_at=None,
        last_error="TimeoutError: the mail service did not answer",
        next_attempt_at=now + timedelta(hours=2),
        tenant=ROW,
    )
    await insert_webhook(connection, "evt_parked", outcome="parked", published_at=None, parked_at=now)
    await insert_webhook(connection, "evt_waiting")
    await insert_webhook(connection, "evt_off", processed=True, dead_at=now, processed_at=now, outcome="written_off")
    await insert(connection, "webhook_delivery", stripe_event_id="evt_dead", verified_by="platform:99887766")


async def _payment(connection: Connection) -> None:
    await insert(
        connection, "events", id=ROW, name="Summer gala", payment_status="paid", stripe_payment_intent_id="pi_1"
    )
    await insert(
        connection,
        "payment",
        scope="test:platform",
        payment_id="pi_1",
        events_id=ROW,
        bound_by="metadata",
        status="paid",
        rank=2,
    )
    await insert_fact(
        connection, "evt_done1", minutes=0, kind="intent", status="succeeded", amount=4200, currency="eur"
    )


async def _records(connection: Connection) -> None:
    now = datetime.now(UTC)
    for number, severity in enumerate(("critical", "error", "warning", "info")):
        await insert(
            connection,
            "error_logs",
            severity=severity,
            message=f"{severity}: {LOST}",
            service="processor",
            kind="webhook",
            stripe_event_id="evt_dead",
            created_at=now - timedelta(minutes=number),
        )
    await insert(
        connection,
        "reconcile_account",
        livemode=True,
        account="platform",
        complete_until=now - timedelta(seconds=70),
    )
    async with connection.transaction():  # an operation takes its items when it starts
        await insert(
            connection,
            "operation",
            verb="replay",
            filter='{"states": ["dead"]}',
            reason="seat plan mended",
            person="ada",
        )
        await insert(connection, "operation_item", operation_id=1, position=1, item_id="evt_done1")
    await insert(connection, "webhook_rehearsal", verb="replay", items=["evt_dead"], found=1, person="ada")


PATHS: dict[str, Sequence[str]] = {
    "webhooks": ("/webhooks", "/webhooks?state=dead&type=charge.*", "/webhooks?type=none"),
    "search": ("/search?q=evt_dead",),
    "webhook": ("/webhooks/evt_dead", "/webhooks/evt_done1", "/webhooks/evt_failed"),
    "act": (
        "/act/replay?id=evt_dead",
        "/act/write-off?state=dead&type=*",
        "/act/retry?state=failed&type=*",
        "/act/resolve?error=seat",
        "/act/replay?id=evt_none",
    ),
    "rehearsal": ("/rehearsals/1",),
    "payment": ("/payments/pi_1",),
    "events_row": (f"/events/{ROW}",),
    "operations": ("/operations",),
    "operation": ("/operations/1",),
    "errors": ("/errors", "/errors?show=all"),
}
"""Addresses of a page that has more than one, or an id in it."""


def paths_of(name: str, path: str) -> Sequence[str]:
    """Addresses of a page in this world."""
    assert name in PATHS or "{" not in path, f"tell {__name__}.PATHS where {path} is"
    return PATHS.get(name, (path,))
