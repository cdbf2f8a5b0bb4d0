"""A follower of webhooks or operations tells each change once, and nothing else."""

import pytest

from sluice.inbox.operations import Decision
from sluice.inbox.states import State
from sluice.operations import book, following
from sluice.operations.book import Progress
from sluice.operations.filters import Filter
from sluice.operations.following import OperationFollower, WebhookFollower
from sluice.operations.run import Runner
from sluice.operations.verbs import Verb
from sluice.postgres.pool import Connection, Database
from tests.operations.rows import put_in

DECISION = Decision("ada", "the handler is mended")


async def told(follower: WebhookFollower) -> list[tuple[str, str]]:
    """Ids and states that one look gives."""
    return [(one.item_id, one.state) for one in await follower.look()]


async def set_to(connection: Connection, key: str, columns: str) -> None:
    """Change a row as a service would."""
    await connection.execute(f"UPDATE webhook_logs SET {columns} WHERE stripe_event_id = $1", key)  # noqa: S608


async def test_an_arrival_and_each_change_are_told_once(database: Database) -> None:
    """A webhook that was there before is told only when it changes."""
    async with database.acquire() as connection:
        await put_in(connection, "evt_old", State.FAILED, created_at="now() - interval '1 day'")
        await put_in(connection, "evt_over", State.PROCESSED)
        follower = await WebhookFollower.begin(connection, Filter())
        assert await told(follower) == []
        await put_in(connection, "evt_1", State.PUBLISHED)
        assert await told(follower) == [("evt_1", "published")]
        assert await told(follower) == []
        await set_to(connection, "evt_1", "processed = true, outcome = 'applied', processed_at = now()")
        await set_to(connection, "evt_old", "processing_attempts = 2")
        assert await told(follower) == [("evt_old", "failed"), ("evt_1", "processed")]
        assert await told(follower) == []


async def test_an_old_webhook_that_dies_is_told_of(database: Database) -> None:
    """Even one that was written off before, replayed, and dies again."""
    async with database.acquire() as connection:
        await put_in(connection, "evt_old", State.PROCESSED, created_at="now() - interval '9 days'")
        follower = await WebhookFollower.begin(connection, Filter(states=[State.DEAD]))
        await set_to(connection, "evt_old", "processed = false, dead_at = now(), outcome = 'failed'")
        assert await told(follower) == [("evt_old", "dead")]
        assert await told(follower) == []


async def test_only_what_the_filter_says_is_followed(database: Database) -> None:
    """By type, and by the state that a webhook comes into."""
    async with database.acquire() as connection:
        follower = await WebhookFollower.begin(connection, Filter(types=["charge.*"], states=[State.PROCESSED]))
        await put_in(connection, "evt_1", State.PUBLISHED, webhook_type="'charge.failed'")
        await put_in(connection, "evt_2", State.PROCESSED, webhook_type="'invoice.paid'")
        assert await told(follower) == []
        await set_to(connection, "evt_1", "processed = true, outcome = 'applied'")
        assert await told(follower) == [("evt_1", "processed")]


async def test_a_webhook_is_told_of_when_it_comes_to_fit(database: Database) -> None:
    """Its error, its outcome and its handler come later than the webhook itself."""
    async with database.acquire() as connection:
        follower = await WebhookFollower.begin(connection, Filter(handler="shop.points", outcome="failed"))
        await put_in(connection, "evt_1", State.PUBLISHED)
        await put_in(connection, "evt_2", State.PUBLISHED)
        assert await told(follower) == []
        failed = "outcome = 'failed', published_at = NULL, last_error = 'ValueError in handler shop.{} (shop.py:9)'"
        await set_to(connection, "evt_1", failed.format("points"))
        await set_to(connection, "evt_2", failed.format("mail"))
        assert await told(follower) == [("evt_1", "failed")]
        assert await told(follower) == []


async def test_a_customers_webhooks_are_followed(database: Database) -> None:
    """By what their bodies name."""
    async with database.acquire() as connection:
        follower = await WebhookFollower.begin(connection, Filter(customer="cus_9"))
        body = b'{"data": {"object": {"customer": "cus_9"}}}'.hex()
        await put_in(connection, "evt_1", State.PUBLISHED, body=f"'\\x{body}'")
        await put_in(connection, "evt_2", State.PUBLISHED)
        assert await told(follower) == [("evt_1", "published")]
        await set_to(connection, "evt_1", "processed = true, outcome = 'applied'")
        assert await told(follower) == [("evt_1", "processed")]


async def test_a_flood_is_told_whole(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one look reads, all received in the same moment; the next looks go on."""
    monkeypatch.setattr(following, "_AT_ONCE", 7)
    async with database.acquire() as connection:
        follower = await WebhookFollower.begin(connection, Filter())
        async with connection.transaction():
            for number in range(20):
                await put_in(connection, f"evt_{number:02}", State.PROCESSED, created_at="now()")
        seen = await told(follower)
        while follower.has_more:
            seen += await told(follower)
        assert [key for key, _ in seen] == [f"evt_{number:02}" for number in range(20)]


async def test_an_arrival_that_commits_late_is_told_of(database: Database) -> None:
    """Its time of receipt is before that of others which were told already."""
    async with database.acquire() as connection, database.acquire() as slow:
        follower = await WebhookFollower.begin(connection, Filter())
        late = slow.transaction()
        await late.start()
        await put_in(slow, "evt_late", State.PUBLISHED)
        await put_in(connection, "evt_1", State.PUBLISHED)
        assert await told(follower) == [("evt_1", "published")]
        await late.commit()
        assert await told(follower) == [("evt_late", "published")]


async def test_operations_are_followed_to_their_end(database: Database) -> None:
    """The open ones are told at first, then what changes; one that was over before is not."""
    async with database.acquire() as connection:
        await put_in(connection, "evt_1", State.DEAD)
        over = await book.start(connection, Verb.WRITE_OFF, Filter(ids=["evt_9"]), DECISION)
        await book.cancel(connection, over, "ada")
        number = await book.start(connection, Verb.WRITE_OFF, Filter(types=["*"]), DECISION)
        follower = OperationFollower(connection)
        [first] = await follower.look()
        assert (first.id, first.progress, first.done, first.items) == (number, Progress.OPEN, 0, 1)
        assert await follower.look() == []
        await Runner(connection, number, lambda _: None).run()
        [last] = await follower.look()
        assert (last.progress, last.done, last.items) == (Progress.DONE, 1, 1)
        assert await follower.look() == []
        another = await book.start(connection, Verb.RETRY, Filter(types=["*"]), DECISION)
        assert [(one.id, one.items) for one in await follower.look()] == [(another, 0)]
