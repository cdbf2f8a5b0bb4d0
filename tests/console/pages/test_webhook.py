"""The page of one webhook."""

from datetime import UTC, datetime, timedelta

from tests.console.serving import Person
from tests.ops.rows import connected, insert, insert_fact, insert_webhook

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BODY = b'{"id":"evt_1","data":{"object":{"billing_details":{"email":"jonas@example.com"}}}}'


async def test_the_timeline_tells_what_happened_in_its_order(database_url: str, viewer: Person) -> None:
    """Receipt, repeats with their secrets, errors, death, and what an operator did."""
    async with connected(database_url) as connection:
        await insert_webhook(
            connection,
            "evt_1",
            created_at=NOON,
            stripe_created_at=NOON - timedelta(seconds=2),
            dead_at=NOON + timedelta(hours=3),
            last_error="no such seat",
        )
        await insert(
            connection,
            "webhook_delivery",
            stripe_event_id="evt_1",
            verified_by="platform:99887766",
            received_at=NOON + timedelta(hours=1),
            body_differs=True,
        )
        await insert(
            connection,
            "error_logs",
            severity="critical",
            message="handler broke",
            stripe_event_id="evt_1",
            created_at=NOON + timedelta(hours=2),
        )
    text = (await viewer.get("/webhooks/evt_1")).text
    told = ["Stripe made the event", "Received and recorded", "platform:99887766", "handler broke", "Died"]
    places = [text.index(words) for words in told]
    assert places == sorted(places)
    assert "Received again, with other bytes" in text


async def test_facts_of_the_webhook_are_shown(database_url: str, viewer: Person) -> None:
    """Its rows in the ledger, with the payment that they are of."""
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_1")
        await insert_fact(connection, "evt_1", minutes=0, kind="intent", status="succeeded", amount=4200)
    text = (await viewer.get("/webhooks/evt_1")).text
    assert "pi_1" in text
    assert "4,200" in text


async def test_a_body_is_shown_by_a_click_that_is_recorded(database_url: str, viewer: Person) -> None:
    """The page alone holds nothing of it; the click commits who looked, and then shows it."""
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_1", body=BODY)
        assert "jonas@example.com" not in (await viewer.get("/webhooks/evt_1")).text
        assert await connection.fetchval("SELECT count(*) FROM body_view") == 0
        shown = await viewer.post("/webhooks/evt_1/body", "/webhooks/evt_1")
        assert "jonas@example.com" in shown.text
        look = await connection.fetchrow("SELECT stripe_event_id, person, login FROM body_view")
    assert look is not None
    assert tuple(look) == ("evt_1", "vic@example.com", "console")
    assert "vic@example.com viewed the body" in shown.text


async def test_a_body_that_is_no_json_is_shown_as_it_is(database_url: str, viewer: Person) -> None:
    """Bytes that are no text are escaped."""
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_1", body=b"{not json \xff")
    shown = await viewer.post("/webhooks/evt_1/body", "/webhooks/evt_1")
    assert "{not json \\xff" in shown.text


async def test_a_webhook_that_is_not_there_is_not_found(viewer: Person) -> None:
    """404, and nothing is recorded."""
    assert (await viewer.get("/webhooks/evt_none")).status == 404
    assert (await viewer.get("/webhooks/%00")).status == 404
