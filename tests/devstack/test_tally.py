"""The numbers of the status line."""

import asyncpg

from devstack.tally import Progress, Tally, is_migrated


async def test_rows_are_counted_by_what_is_left_to_do(database_url: str) -> None:
    """Logged, to do, dead: as a person would count them."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        """
        INSERT INTO webhook_logs (stripe_event_id, webhook_type, processed, dead_at, next_attempt_at)
        VALUES ('evt_1', 't', true, NULL, now()), ('evt_2', 't', false, NULL, now()),
               ('evt_3', 't', false, now(), now()),
               ('of an earlier application', 't', false, NULL, NULL)
        """
    )
    await connection.close()
    async with Tally(database_url) as tally:
        assert await tally.progress() == Progress(logged=4, backlog=1, dead=1)


async def test_a_server_that_is_away_has_no_numbers() -> None:
    """The status line goes on, and says so."""
    async with Tally("postgresql://nobody@127.0.0.1:1/none") as tally:
        assert await tally.progress() is None


async def test_a_database_without_our_tables_is_known_as_such(empty_database_url: str, database_url: str) -> None:
    """EXTERNAL=1 without MIGRATE=1 stops there instead of starting services that cannot work."""
    assert not await is_migrated(empty_database_url)
    assert await is_migrated(database_url)


def test_large_numbers_are_readable() -> None:
    """Counting stops somewhere, and says so."""
    assert str(Progress(100_000, 1234, 0)) == "100,000+ webhooks logged, 1,234 to do"
    assert str(Progress(5, 0, 2)) == "5 webhooks logged, 0 to do, 2 dead"
