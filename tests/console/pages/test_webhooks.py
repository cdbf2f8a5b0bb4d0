"""The list of webhooks: its order, its pages, its filter, and the search."""

from datetime import UTC, datetime, timedelta

import pytest

from console.pages.webhooks import listing
from tests.console.serving import Person
from tests.ops.rows import connected, insert_webhook

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


async def test_the_list_shows_state_attempts_and_time_to_effect(database_url: str, viewer: Person) -> None:
    """A processed webhook with the time from receipt to effect, a dead one with its error."""
    async with connected(database_url) as connection:
        await insert_webhook(
            connection,
            "evt_done",
            created_at=NOON,
            processed=True,
            processed_at=NOON + timedelta(milliseconds=120),
            outcome="applied",
            published_at=None,
        )
        await insert_webhook(
            connection, "evt_dead", created_at=NOON, dead_at=NOON, processing_attempts=16, last_error="no such seat"
        )
    page = await viewer.get("/webhooks")
    assert page.status == 200
    assert "120 ms" in page.text
    assert "no such seat" in page.text
    assert page.text.index("evt_dead") < page.text.index("evt_done")


async def test_pages_of_the_list_hold_each_webhook_once(
    database_url: str, viewer: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of one moment, that a page ends among."""
    monkeypatch.setattr(listing, "PAGE_ROWS", 3)
    keys = [f"evt_{number}" for number in range(11)]
    async with connected(database_url) as connection:
        for key in keys:
            await insert_webhook(connection, key, created_at=NOON)
    seen: list[str] = []
    path = "/webhooks"
    while path:
        text = (await viewer.get(path)).text
        seen += [part.split('"')[0] for part in text.split('class="id" href="/webhooks/')[1:]]
        path = text.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&") if 'rel="next"' in text else ""
    assert sorted(seen) == sorted(keys)


async def test_a_filter_without_an_index_looks_back_by_pages(
    database_url: str, viewer: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that has looked through enough says how far it looked, and the next goes on from there."""
    monkeypatch.setattr(listing, "LOOK_THROUGH", 4)
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_old", webhook_type="rare.type", created_at=NOON)
        for number in range(9):
            await insert_webhook(connection, f"evt_{number}", created_at=NOON + timedelta(minutes=number + 1))
    first = await viewer.get("/webhooks?type=rare.*")
    assert "evt_old" not in first.text
    assert "Look further back" in first.text
    path, pages = first, 1
    while "evt_old" not in path.text:
        path = await viewer.get(path.text.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&"))
        pages += 1
    assert pages == 2


async def test_more_of_one_moment_than_a_page_looks_through_hide_nothing(
    database_url: str, viewer: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an import leaves them: the page after them looks further back, and not at them again."""
    monkeypatch.setattr(listing, "LOOK_THROUGH", 2)
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_old", webhook_type="rare.type", created_at=NOON - timedelta(minutes=1))
        for number in range(5):
            await insert_webhook(connection, f"evt_{number}", created_at=NOON)
    first = await viewer.get("/webhooks?type=rare.*")
    assert "evt_old" not in first.text
    second = await viewer.get(first.text.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&"))
    assert "evt_old" in second.text


async def test_the_state_in_the_address_filters(database_url: str, viewer: Person) -> None:
    """Dead ones alone."""
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_waiting")
        await insert_webhook(connection, "evt_dead", dead_at=NOON)
    page = await viewer.get("/webhooks?state=dead")
    assert "evt_dead" in page.text
    assert "evt_waiting" not in page.text


async def test_search_leads_to_the_webhook(database_url: str, viewer: Person) -> None:
    """Also where it came through an organiser's URL, under a key of its own."""
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_1@5f0c2e9e-8d1b-4c57-9f0e-2a1f6f1c2b11", tenant="5f0c")
    found = await viewer.get("/search?q=evt_1")
    assert found.path == "/webhooks/evt_1@5f0c2e9e-8d1b-4c57-9f0e-2a1f6f1c2b11"


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("evt_none", "/webhooks?id=evt_none"),
        ("prod_1", "/webhooks?object=prod_1"),
        ("acct_1", "/webhooks?account=acct_1"),
        ("cus_1", "/webhooks?customer=cus_1"),
    ],
)
async def test_search_leads_to_the_list_of_what_an_id_names(viewer: Person, asked: str, path: str) -> None:
    """The list, where there is no page of its own."""
    found = await viewer.get(f"/search?q={asked}")
    assert (found.status, found.path) == (200, path)


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("pi_1", "/payments/pi_1"),
        ("re_1", "/payments/re_1"),
        ("sub_1", "/payments/sub_1"),
        ("0b9c5e0e-6c0f-4f0e-9a53-3f1f6f1c2b11", "/events/0b9c5e0e-6c0f-4f0e-9a53-3f1f6f1c2b11"),
    ],
)
async def test_search_leads_to_a_payment_or_a_row(viewer: Person, asked: str, path: str) -> None:
    """The page says what to do where nothing is known."""
    assert (await viewer.get(f"/search?q={asked}")).path == path


async def test_search_takes_no_e_mail(viewer: Person) -> None:
    """Addresses would stand in every log of addresses that was asked."""
    assert (await viewer.get("/search?q=ada@example.com")).status == 400


@pytest.mark.parametrize(
    "query", ["state=odd", "since=soon", "after=here", "after=2026-11-23", "since=999999999999h", "type=%00", "id=%00"]
)
async def test_a_filter_that_makes_no_sense_is_told_of(viewer: Person, query: str) -> None:
    """A page with a sentence, no error."""
    page = await viewer.get(f"/webhooks?{query}")
    assert page.status == 400
    assert 'class="notice"' in page.text
