"""The page of accounts: what arrives from whom, by which secrets, and what is missing."""

from datetime import UTC, datetime, timedelta

import pytest

from console.pages.accounts import reading
from tests.console.hostile import HOSTILE, assert_harmless
from tests.console.serving import Asked, Person
from tests.ops.rows import connected, insert, insert_webhook

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ROW = "0b9c5e0e-6c0f-4f0e-9a53-3f1f6f1c2b11"


def _section(page: Asked, title: str) -> str:
    """The part of the page below a heading."""
    return page.text.split(f"<h2>{title}</h2>")[1].split("<h2>")[0]


async def test_each_account_shows_its_last_webhook_and_its_gap(database_url: str, viewer: Person) -> None:
    """The webhooks that arrived, and the reconciler's watermark, stand in one line."""
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_1", stripe_account_id="acct_1", livemode=True, created_at=NOON)
        await insert(
            connection, "reconcile_account", livemode=True, account="acct_1", complete_until=NOON, pass_missing=3,
            pass_oldest_missing=NOON, problem="key_lacks_right", problem_text="It may not.", problem_since=NOON,
        )  # fmt: skip
    accounts = _section(await viewer.get("/accounts"), "Stripe accounts")
    assert accounts.count("<tr>") == 2
    assert 'href="/webhooks?account=acct_1"' in accounts
    assert "3 missing" in accounts
    assert "key lacks right: It may not." in accounts


async def test_an_account_that_is_not_reconciled_is_shown_as_such(database_url: str, viewer: Person) -> None:
    """Nothing finds there what never arrived."""
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_1", livemode=False)
    accounts = _section(await viewer.get("/accounts"), "Stripe accounts")
    assert "the platform" in accounts
    assert "not listed" in accounts


async def test_an_organiser_is_told_of_by_name(database_url: str, viewer: Person) -> None:
    """With its webhooks, those that died, and its refusals; one whose row is gone says so."""
    async with connected(database_url) as connection:
        await insert(connection, "events", id=ROW, name="Harbour Jazz", stripe_account_id="acct_7")
        await insert_webhook(connection, "evt_1", tenant=ROW, dead_at=NOON, verified_by="tenant:0badcafe")
        await insert_webhook(connection, "evt_2", tenant="gone", verified_by="tenant:0badcafe")
        await insert(
            connection, "error_logs", severity="error", kind="webhook", service="ingest", message="It is none.",
            request_data=f'{{"code": "secret_unusable", "tenant": "{ROW}"}}',
        )  # fmt: skip
    organisers = _section(await viewer.get("/accounts"), "Organisers")
    named = next(row for row in organisers.split("<tr>") if "Harbour Jazz" in row)
    assert "acct_7" in named
    assert "1 dead" in named
    assert "secret unusable" in named
    gone = next(row for row in organisers.split("<tr>") if "/events/gone" in row)
    assert "no row of events" in gone


async def test_a_secret_is_known_by_its_last_use(database_url: str, viewer: Person) -> None:
    """Repeats are uses too; what the reconciler found at Stripe was verified by none."""
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_1", verified_by="platform:aaaa1111", created_at=NOON)
        await insert_webhook(connection, "evt_2", verified_by="api", created_at=NOON)
        for received_at in (NOON, NOON + timedelta(hours=3)):
            await insert(
                connection, "webhook_delivery", stripe_event_id="evt_1", verified_by="platform:aaaa1111",
                received_at=received_at,
            )  # fmt: skip
    secrets = _section(await viewer.get("/accounts"), "Secrets")
    assert secrets.count("<tr>") == 2
    assert 'datetime="2026-11-23T15:00:00+00:00"' in secrets


async def test_a_secret_of_several_organisers_is_pointed_out(database_url: str, viewer: Person) -> None:
    """Either could sign for the other."""
    async with connected(database_url) as connection:
        for tenant in ("one", "two"):
            await insert_webhook(connection, f"evt_{tenant}", tenant=tenant, verified_by="tenant:0badcafe")
    assert "shared by 2 organisers" in _section(await viewer.get("/accounts"), "Secrets")


async def test_refusals_of_the_platform_are_told_of(database_url: str, viewer: Person) -> None:
    """The newest message of each kind; errors of other services are none."""
    async with connected(database_url) as connection:
        for number, service in enumerate(["ingest", "ingest", "processor"]):
            await insert(
                connection, "error_logs", severity="error", kind="webhook", service=service, message=f"No. {number}",
                request_data='{"code": "malformed_event", "tenant": null}', created_at=NOON + timedelta(hours=number),
            )  # fmt: skip
    refusals = _section(await viewer.get("/accounts"), "Refusals at the platform's URL")
    assert refusals.count("<tr>") == 2
    assert "No. 1" in refusals


async def test_only_the_newest_webhooks_are_looked_through_and_it_says_so(
    database_url: str, viewer: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account of which none is among them is no silent one."""
    monkeypatch.setattr(reading, "LOOK_THROUGH", 1)
    async with connected(database_url) as connection:
        await insert(connection, "reconcile_account", livemode=True, account="acct_1", complete_until=NOON)
        await insert_webhook(connection, "evt_1", stripe_account_id="acct_1", livemode=True, created_at=NOON)
        await insert_webhook(connection, "evt_2", livemode=True)
    page = await viewer.get("/accounts")
    assert "Counted among the newest" in page.text
    assert "none since" in _section(page, "Stripe accounts")


async def test_what_a_body_filled_is_shown_as_text(database_url: str, viewer: Person) -> None:
    """An account, an organiser, its name, a fingerprint, a problem, a refusal."""
    async with connected(database_url) as connection:
        await insert(connection, "events", id=ROW, name=HOSTILE, stripe_account_id=HOSTILE)
        await insert_webhook(connection, "evt_1", stripe_account_id=HOSTILE, verified_by=HOSTILE)
        for key, tenant in {"evt_2": HOSTILE, "evt_3": ROW}.items():
            await insert_webhook(connection, key, tenant=tenant, verified_by=HOSTILE)
        await insert(
            connection, "reconcile_account", livemode=True, account=f"{HOSTILE}2", complete_until=NOON,
            problem=HOSTILE, problem_text=HOSTILE, problem_since=NOON,
        )  # fmt: skip
        await connection.execute(
            "INSERT INTO error_logs (severity, kind, service, message, request_data) "
            "SELECT 'error', 'webhook', 'ingest', $1, jsonb_build_object('code', $1, 'tenant', tenant) "
            "FROM unnest(ARRAY[NULL, $1::text]) AS tenant",
            HOSTILE,
        )
    assert_harmless(await viewer.get("/accounts"))


async def test_without_anything_the_page_says_what_to_do(viewer: Person) -> None:
    """An endpoint, an event, and who helps."""
    text = (await viewer.get("/accounts")).text
    assert "sluice doctor" in text
    assert "/api/stripe-webhook/" in text
