from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from tests.ops.cli import cli, cli_json
from tests.ops.rows import Connection, connected, insert, insert_fact, insert_webhook
from tests.waiting import until

ROW = "0b9c5e0e-6c0f-4f0e-9a53-3f1f6f1c2b11"
NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
PAYMENT = {"scope": "test:platform", "events_id": ROW, "rank": 4, "status": "refunded"}


@pytest_asyncio.fixture
async def refunded(database_url: str) -> str:
    """A row with a payment that was paid, declined late, and refunded; one webhook came twice, one is failing."""
    async with connected(database_url) as connection:
        await insert(
            connection, "events", id=ROW, name="Harbour Jazz", payment_status="refunded",
            stripe_payment_intent_id="pi_1", webhook_secret="whsec_hush",
        )  # fmt: skip
        await insert(connection, "payment", payment_id="pi_1", bound_by="metadata", **PAYMENT)
        for minutes, event, kind, status in [
            (0, "evt_1", "intent", "paid"),
            (1, "evt_2", "intent", "failed"),
            (2, "evt_3", "refund", "succeeded"),
        ]:
            amounts = {"amount": 500, "amount_captured": 500 if kind == "intent" else None, "currency": "eur"}
            about = {"object_id": f"{kind[:2]}_1" if kind != "intent" else "pi_1"}
            named = {"names_event": ROW, "named_by": "metadata"} if minutes == 0 else {}
            await insert_fact(connection, event, minutes=minutes, kind=kind, status=status, **amounts, **about, **named)
            done = {"processed": True, "processed_at": NOW, "created_at": NOW - timedelta(seconds=2)}
            await insert_webhook(connection, event, outcome="applied", object_id=about["object_id"], **done)
        await insert_webhook(
            connection, "evt_4", object_id="pi_1", outcome="failed", processing_attempts=3,
            last_error="HandlerFailed: no such [table]", created_at=NOW,
        )  # fmt: skip
        await insert(
            connection, "webhook_delivery", stripe_event_id="evt_1", verified_by="platform:ffff0000", body_differs=True
        )
        await insert(
            connection, "error_logs", severity="error", kind="webhook", message="Attempt 3 failed", event_id="evt_4"
        )
    return database_url


@pytest.mark.parametrize("asked", ["evt_1", "pi_1", "re_1", ROW])
async def test_every_id_of_a_payment_leads_to_its_story(refunded: str, asked: str) -> None:
    """By its event, by itself, by its refund, by its row: the same payment with its whole ledger."""
    told = await cli_json("why", asked, DATABASE_URL=refunded)
    [payment] = told["payments"]
    assert (payment["payment_id"], payment["bound_by"], payment["events_id"]) == ("pi_1", "metadata", ROW)
    assert [row["id"] for row in told["events_rows"]] == [ROW]
    assert {"evt_1", "evt_2", "evt_3"} <= {webhook["stripe_event_id"] for webhook in told["webhooks"]}


@pytest.mark.parametrize("asked", ["re_1", "re_unknown"])
async def test_a_refund_is_found_without_reading_the_whole_ledger(refunded: str, asked: str) -> None:
    """By the summary of each part of the ledger, whatever the planner believes of a table that grows."""
    async with connected(refunded) as connection:
        await cli("why", asked, DATABASE_URL=refunded)
        await until(lambda: _was_read(connection, "idx_scan"))
        assert not await _was_read(connection, "seq_scan")


async def test_the_ledger_shows_what_each_fact_decided(refunded: str) -> None:
    """Paid by the first, not un-paid by the late failure, refunded by the third."""
    told = await cli_json("why", "pi_1", DATABASE_URL=refunded)
    facts = told["payments"][0]["facts"]
    assert [(fact["status_after"], fact["decided"]) for fact in facts] == [
        ("paid", True),
        ("paid", False),
        ("refunded", True),
    ]


async def test_repeats_secrets_attempts_and_errors_are_told(refunded: str) -> None:
    """Which secret verified the first delivery and the repeat, how often it was tried, and what went wrong."""
    told = await cli_json("why", "pi_1", DATABASE_URL=refunded)
    webhooks = {webhook["stripe_event_id"]: webhook for webhook in told["webhooks"]}
    assert webhooks["evt_1"]["verified_by"] == "platform:0a1b2c3d"
    assert [(one["verified_by"], one["body_differs"]) for one in webhooks["evt_1"]["repeats"]] == [
        ("platform:ffff0000", True)
    ]
    assert (webhooks["evt_4"]["processing_attempts"], webhooks["evt_4"]["outcome"]) == (3, "failed")
    assert [error["message"] for error in webhooks["evt_4"]["errors"]] == ["Attempt 3 failed"]


async def test_the_screen_tells_it_in_words(refunded: str) -> None:
    """The words for a person; brackets in an error are no markup, and the row's secret is not shown."""
    result = await cli("why", ROW, DATABASE_URL=refunded)
    assert result.exit_code == 0
    for words in (
        f"events row {ROW} Harbour Jazz: refunded",
        "pi_1 decided, of 1 payment(s)",
        f"bound to events row {ROW} by metadata.event_id",
        "refund succeeded 500 eur",
        "came again",
        "with another body",
        "processed 2.000 s after the receipt",
    ):
        assert words in result.stdout
    assert "whsec_hush" not in result.stdout
    by_payment = await cli("why", "pi_1", DATABASE_URL=refunded)
    assert "last error: HandlerFailed: no such [table]" in by_payment.stdout


async def test_a_subscription_leads_to_the_payments_of_its_invoices(database_url: str) -> None:
    """sub_ → in_ → pi_, and the binding says what it came through."""
    async with connected(database_url) as connection:
        links = {"scope": "test:platform", "events_id": ROW}
        await insert(connection, "payment", payment_id="sub_1", bound_by="metadata", **links)
        await insert(connection, "payment", payment_id="in_1", parent_id="sub_1", bound_by="inherited:sub_1", **links)
        await insert(connection, "payment", payment_id="pi_1", parent_id="in_1", bound_by="inherited:in_1", **PAYMENT)
        await insert_fact(connection, "evt_1", minutes=0, kind="intent", status="paid", object_id="pi_1")
    for asked in ("sub_1", "in_1"):
        told = await cli_json("why", asked, DATABASE_URL=database_url)
        assert "pi_1" in [payment["payment_id"] for payment in told["payments"]]
    result = await cli("why", "sub_1", DATABASE_URL=database_url)
    assert "by what in_1 says" in result.stdout


async def test_an_event_through_an_organisers_url_is_found_by_its_plain_id(database_url: str) -> None:
    """The key is evt_…@row; a person knows evt_… from Stripe's dashboard."""
    async with connected(database_url) as connection:
        await insert(connection, "events", id=ROW, name="Fête")
        await insert_webhook(connection, f"evt_9@{ROW}", tenant=ROW, verified_by="tenant:0a1b2c3d")
        await insert_webhook(connection, "evt_9")
    told = await cli_json("why", "evt_9", DATABASE_URL=database_url)
    assert [webhook["tenant"] for webhook in told["webhooks"]] == [ROW, None]
    by_row = await cli_json("why", ROW, DATABASE_URL=database_url)
    assert [webhook["stripe_event_id"] for webhook in by_row["webhooks"]] == [f"evt_9@{ROW}"]


async def test_an_event_that_says_nothing_of_payments_is_told_all_the_same(database_url: str) -> None:
    """By its own id, and by its object's."""
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_1", webhook_type="customer.created", object_id="cus_1", outcome="ignored")
    for asked in ("evt_1", "cus_1"):
        told = await cli_json("why", asked, DATABASE_URL=database_url)
        assert ([one["outcome"] for one in told["webhooks"]], told["payments"]) == (["ignored"], [])


async def test_a_payment_that_waits_for_its_row_says_so(database_url: str) -> None:
    """Parked: no row that is named exists."""
    async with connected(database_url) as connection:
        await insert(connection, "payment", payment_id="pi_1", bound_by="metadata", awaits_event=True, **PAYMENT)
        await insert_fact(connection, "evt_1", minutes=0, kind="intent", status="paid")
        await insert_webhook(connection, "evt_1", outcome="parked", parked_at=NOW)
    result = await cli("why", "pi_1", DATABASE_URL=database_url)
    assert "waits for events row" in result.stdout
    assert "parked" in result.stdout


async def test_a_row_with_very_many_payments_is_cut_and_says_so(database_url: str) -> None:
    """The first in rank are shown, and how many there are."""
    async with connected(database_url) as connection:
        await insert(connection, "events", id=ROW, name="Fair", payment_status="paid", stripe_payment_intent_id="pi_0")
        for number in range(5):
            rank = {"status": "paid" if number == 4 else "failed", "rank": 1 if number == 4 else 8}
            await insert(connection, "payment", payment_id=f"pi_{number}", **{**PAYMENT, **rank})
    told = await cli_json("why", ROW, "--at-most", "2", DATABASE_URL=database_url)
    assert [payment["payment_id"] for payment in told["payments"]] == ["pi_4", "pi_0"]
    assert told["events_rows"][0]["payments"] == 5
    assert "of 5 payment(s); 2 shown" in (await cli("why", ROW, "--at-most", "2", DATABASE_URL=database_url)).stdout


@pytest.mark.parametrize("asked", ["evt_no", "pi_no", "sub_no", ROW, "42", "'; DROP TABLE events; --", "é"])
async def test_nothing_known_is_a_clear_answer(database_url: str, asked: str) -> None:
    """Exit code 1 and a sentence, for an empty database too."""
    result = await cli("why", asked, DATABASE_URL=database_url)
    assert result.exit_code == 1
    assert f"Nothing is known of {asked}" in result.stderr
    as_json = await cli("why", asked, "--json", DATABASE_URL=database_url)
    assert as_json.exit_code == 1
    assert '"payments": []' in as_json.stdout


@pytest.mark.parametrize("asked", ["", "  ", "\n", "a\0", "x" * 601])
async def test_what_can_be_no_id_is_a_wrong_call(database_url: str, asked: str) -> None:
    """An unset variable of a shell is one such."""
    result = await cli("why", asked, DATABASE_URL=database_url)
    assert result.exit_code == 2
    assert "That can be no id." in result.stderr


async def test_the_role_that_may_not_read_secrets_can_ask_why(refunded: str) -> None:
    """Sluice's own operator role gets the whole history; whether the row has a secret stays unknown."""
    told = await cli_json("why", ROW, DATABASE_URL=f"{refunded}?options=-crole%3Dsluice_migrator")
    assert told["events_rows"][0]["has_own_secret"] is None
    assert len(told["payments"][0]["facts"]) == len(told["webhooks"]) == 3


async def test_a_role_that_may_not_read_is_told_which_may(refunded: str) -> None:
    """The role of healthd counts, but sees no payment."""
    result = await cli("why", "pi_1", DATABASE_URL=f"{refunded}?options=-crole%3Dsluice_healthd")
    assert result.exit_code == 1
    assert "sluice_operator" in result.stderr


async def _was_read(connection: Connection, how: str) -> bool:
    """Whether the ledger was, as far as ended sessions have told."""
    scans = f"SELECT {how} > 0 FROM pg_stat_user_tables WHERE relname = 'payment_fact'"  # noqa: S608  a column's name
    return bool(await connection.fetchval(scans))


async def test_a_thin_event_tells_what_it_waits_for(database_url: str) -> None:
    """The state, and why Stripe could not be asked yet."""
    async with connected(database_url) as connection:
        waits = {
            "webhook_type": "v1.charge.failed",
            "outcome": "fetching",
            "next_attempt_at": None,
            "published_at": None,
        }
        await insert_webhook(connection, "evt_thin", **waits)
        await insert(connection, "thin_fetch", stripe_event_id="evt_thin", tries=3, problem="No Stripe key [yet]")
    shown = " ".join((await cli("why", "evt_thin", DATABASE_URL=database_url)).output.split())
    assert "fetching" in shown
    assert "asked 3 times so far: No Stripe key [yet]" in shown
