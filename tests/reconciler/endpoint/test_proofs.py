"""Proofs of secrets, read from the log: every delivery counts, the newest ones are enough."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.endpoint.proofs import Proofs, read_proofs
from tests.ops.rows import connected, insert, insert_webhook

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
OLD, NEW = "platform:ffff0000", "platform:0a1b2c3d"


async def read(url: str, *, newest: int = 100) -> Proofs:
    """As the doctor reads."""
    async with connected(url) as connection:
        proofs, _ = await read_proofs(connection, configured=None, newest=newest)
    return proofs


async def test_an_empty_log_proves_nothing(database_url: str) -> None:
    """And hides nothing."""
    assert await read(database_url) == Proofs({}, since=None, has_connected=False)


async def test_a_secret_is_proven_by_its_newest_delivery_a_repeat_too(database_url: str) -> None:
    """Organisers' secrets, and what the API gave, are no proof."""
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_1", verified_by=OLD, created_at=NOW - timedelta(hours=3))
        await insert_webhook(connection, "evt_2", verified_by=OLD, created_at=NOW - timedelta(hours=2))
        await insert_webhook(connection, "evt_3", verified_by="tenant:0a1b2c3d", created_at=NOW)
        await insert_webhook(connection, "evt_4", verified_by="api", created_at=NOW)
        await insert(connection, "webhook_delivery", stripe_event_id="evt_1", verified_by=NEW, received_at=NOW)
    proofs = await read(database_url)
    assert proofs.last_seen == {OLD: (NOW - timedelta(hours=2)).timestamp(), NEW: NOW.timestamp()}


async def test_a_look_at_the_newest_says_how_far_back_it_goes(database_url: str) -> None:
    """Older webhooks prove nothing either way."""
    async with connected(database_url) as connection:
        for hours in range(5):
            await insert_webhook(
                connection,
                f"evt_{hours}",
                verified_by=OLD if hours == 4 else NEW,
                created_at=NOW - timedelta(hours=hours),
            )
    proofs = await read(database_url, newest=3)
    assert (set(proofs.last_seen), proofs.since) == ({NEW}, (NOW - timedelta(hours=2)).timestamp())
    assert (await read(database_url, newest=6)).since is None


@pytest.mark.parametrize(("tenant", "has_connected"), [(None, True), ("43e5b255", False)])
async def test_webhooks_of_connected_accounts_are_seen(
    database_url: str, tenant: str | None, *, has_connected: bool
) -> None:
    """An organiser's own account is none."""
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_1", stripe_account_id="acct_1", tenant=tenant)
    assert (await read(database_url)).has_connected is has_connected


@pytest.mark.parametrize("role", ["sluice_migrator"])
async def test_no_superuser_is_needed(database_url: str, role: str) -> None:
    """The operator's role may read it."""
    assert (await read(f"{database_url}?options=-crole%3D{role}")).last_seen == {}
