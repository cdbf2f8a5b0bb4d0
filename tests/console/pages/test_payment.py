"""The pages of a payment and of an events row: why it is paid, and what to tell a person who asks."""

from datetime import UTC, datetime

import pytest
import pytest_asyncio

from console.pages.payment.amounts import money
from console.pages.payment.story import story_of, tone_of
from sluice.ops.why.history import Payment, PaymentHistory
from sluice.payments.status import PaymentStatus
from tests.console.hostile import HOSTILE, assert_harmless
from tests.console.serving import Person
from tests.ops.rows import connected, insert, insert_fact, insert_webhook

ROW = "0b9c5e0e-6c0f-4f0e-9a53-3f1f6f1c2b11"
SCOPE = "test:platform"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest_asyncio.fixture
async def refunded(database_url: str) -> str:
    """A row with two payments: one of which a part went back, and one that failed."""
    async with connected(database_url) as connection:
        await insert(
            connection, "events", id=ROW, name="Harbour Jazz", payment_status="partially_refunded",
            stripe_payment_intent_id="pi_1", last_webhook_received=datetime(2026, 11, 23, 11, 30),  # noqa: DTZ001
        )  # fmt: skip
        of_row = {"scope": SCOPE, "events_id": ROW}
        await insert(
            connection, "payment", payment_id="pi_1", bound_by="metadata", status="partially_refunded",
            rank=PaymentStatus.PARTIALLY_REFUNDED.rank, **of_row,
        )  # fmt: skip
        await insert(
            connection, "payment", payment_id="pi_2", bound_by="inherited:in_9", parent_id="in_9", status="failed",
            rank=PaymentStatus.FAILED.rank, **of_row,
        )  # fmt: skip
        for minutes, event, kind, status, amount in [
            (0, "evt_1", "intent", "processing", 2500),
            (1, "evt_2", "intent", "paid", 2500),
            (2, "evt_3", "refund", "succeeded", 1000),
        ]:
            await insert_fact(
                connection, event, minutes=minutes, kind=kind, status=status, amount=amount, currency="eur",
                amount_captured=2500 if status == "paid" else None, object_id="re_1" if kind == "refund" else "pi_1",
                names_event=ROW if minutes == 0 else None, named_by="metadata" if minutes == 0 else None,
            )  # fmt: skip
            await insert_webhook(connection, event, processed=True, outcome="applied", object_id="pi_1")
    return database_url


async def test_a_payment_tells_why_it_has_its_status(refunded: str, viewer: Person) -> None:
    """The fact that decided, the row and what named it, and the answer for a person who asks."""
    assert refunded
    page = await viewer.get("/payments/pi_1")
    assert page.status == 200
    assert "25.00 EUR was taken, and 10.00 EUR of it went back. 15.00 EUR stays." in page.text
    assert 'Refund <span class="id">re_1</span> said so: <a class="id" href="/webhooks/evt_3">' in page.text
    assert f'href="/events/{ROW}">{ROW}</a>, named by metadata.event_id' in page.text


async def test_each_fact_shows_what_the_payment_was_then(refunded: str, viewer: Person) -> None:
    """The facts that decided stand out, for ears too."""
    assert refunded
    text = (await viewer.get("/payments/pi_1")).text
    facts = text.split("<tbody>")[1].split("</tbody>")[0].split("<tr>")[1:]
    assert ["which this fact decided" in fact for fact in facts] == [True, True, True]
    assert ["processing" in fact for fact in facts] == [True, False, False]
    assert "<strong>partially refunded</strong>" in facts[2]


async def test_a_row_tells_which_of_its_payments_decides(refunded: str, viewer: Person) -> None:
    """And in which order; the time of its newest webhook is UTC."""
    assert refunded
    text = (await viewer.get(f"/events/{ROW}")).text
    assert "Harbour Jazz" in text
    assert "Of its 2 payments this one decides" in text
    assert "<li>disputed</li><li>paid</li>" in text
    assert "2026-11-23T11:30:00+00:00" in text
    assert "taken from in_9, of which it is a part" in text


@pytest.mark.parametrize("asked", ["re_1", "pi_1", "evt_1"])
async def test_anything_that_a_payment_went_through_leads_to_it(refunded: str, viewer: Person, asked: str) -> None:
    """A refund's id is in no table of payments."""
    assert refunded
    assert 'id="pi_1"' in (await viewer.get(f"/payments/{asked}")).text


async def test_a_payment_that_waits_for_its_row_says_so(database_url: str, viewer: Person) -> None:
    """It moves when the row appears."""
    async with connected(database_url) as connection:
        await insert(
            connection, "payment", scope=SCOPE, payment_id="pi_1", events_id=ROW, bound_by="reference", status="paid",
            rank=1, awaits_event=True,
        )  # fmt: skip
    text = (await viewer.get("/payments/pi_1")).text
    assert "waits for it" in text
    assert "named by client_reference_id; no such row exists" in text


async def test_a_row_without_payments_keeps_its_status(database_url: str, viewer: Person) -> None:
    """Nothing decided."""
    async with connected(database_url) as connection:
        await insert(connection, "events", id=ROW, payment_status="paid")
    assert "No payment is bound to it" in (await viewer.get(f"/events/{ROW}")).text


async def test_webhooks_without_effect_are_pointed_out(refunded: str, viewer: Person) -> None:
    """The answer may change with them."""
    async with connected(refunded) as connection:
        await insert_webhook(
            connection, "evt_9", object_id="pi_1", dead_at=NOON, outcome="failed", last_error="no such seat"
        )
    text = (await viewer.get("/payments/pi_1")).text
    assert "1 of its webhooks has had no effect yet" in text
    assert "no such seat" in text
    assert "state-dead" in text


@pytest.mark.parametrize("path", ["/payments/pi_none", f"/events/{ROW}", "/events/%3Cscript%3E"])
async def test_nothing_known_says_where_to_look(viewer: Person, path: str) -> None:
    """The log, Stripe, and until when everything is here."""
    page = await viewer.get(path)
    assert page.status == 404
    assert "Nothing is known of it" in page.text
    assert 'href="/webhooks?object=' in page.text
    assert "<script>" not in page.text


@pytest.mark.parametrize("path", ["/payments/%00", "/payments/%20", f"/events/{'x' * 601}"])
async def test_what_can_be_no_id_leads_nowhere(viewer: Person, path: str) -> None:
    """A page, no error."""
    assert (await viewer.get(path)).status == 404


async def test_what_a_body_filled_is_shown_as_text(database_url: str, viewer: Person) -> None:
    """Every column that Stripe or an organiser fills, of all four tables."""
    async with connected(database_url) as connection:
        await insert(
            connection, "events", id=ROW, name=HOSTILE, payment_status=HOSTILE[:50], stripe_payment_intent_id=HOSTILE,
            stripe_account_id=HOSTILE,
        )  # fmt: skip
        for events_id, payment_id in {ROW: "pi_1", HOSTILE: "pi_2"}.items():
            await insert(
                connection, "payment", scope="test:platform", payment_id=payment_id, events_id=events_id, rank=1,
                bound_by=HOSTILE, status=HOSTILE, awaits=HOSTILE, parent_id=HOSTILE, awaits_event=events_id == HOSTILE,
            )  # fmt: skip
            await insert_fact(
                connection, f"{HOSTILE}{payment_id}", minutes=1, kind=HOSTILE, status=HOSTILE, object_id=HOSTILE,
                amount=1, currency=HOSTILE, names_event=HOSTILE, named_by=HOSTILE, refers_to=HOSTILE,
                payment_id=payment_id,
            )  # fmt: skip
            await insert_webhook(
                connection, f"{HOSTILE}{payment_id}", webhook_type=HOSTILE, outcome=HOSTILE, last_error=HOSTILE,
                verified_by=HOSTILE,
            )  # fmt: skip
    for path in ("/payments/pi_1", "/payments/pi_2", f"/events/{ROW}"):
        assert_harmless(await viewer.get(path))


@pytest.mark.parametrize("status", [*PaymentStatus, None, "later"])
def test_every_status_has_an_answer(status: str | None) -> None:
    """Also one that a later release wrote, and one whose amounts nobody told."""
    payment = Payment(SCOPE, "pi_1", None, None, None, status, awaits_event=False)
    answer = story_of(PaymentHistory("pi_1", payments=[payment])).payments[0].answer
    assert answer.endswith(".")
    assert "{" not in answer
    assert "None" not in answer


def test_the_tone_of_a_status_is_that_of_its_money() -> None:
    """Paid is good, lost is bad, waiting is neither."""
    assert [tone_of(status) for status in ("paid", "charged_back", "refunded", "pending", None)] == [
        "good", "bad", "warn", "plain", "plain",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (2500, "eur", "25.00 EUR"),
        (5, "usd", "0.05 USD"),
        (123456789, "eur", "1,234,567.89 EUR"),
        (-150, "eur", "-1.50 EUR"),
        (1200, "jpy", "1,200 JPY"),
        (5120, "kwd", "5.120 KWD"),
        (100, "isk", "1.00 ISK"),
        (100, "ugx", "100 in the smallest unit of ugx"),
        (100, None, "100 in the smallest unit of an unknown currency"),
        (None, "eur", None),
    ],
)
def test_amounts_are_written_as_people_write_them(amount: int | None, currency: str | None, shown: str | None) -> None:
    """By the digits that Stripe's API gives each currency."""
    assert money(amount, currency) == shown
