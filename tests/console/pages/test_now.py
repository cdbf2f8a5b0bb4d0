"""The page Now."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from console.pages.now.chart import draw
from console.pages.now.page import RATES
from console.pages.now.rates import Minute, Rates
from sluice.inbox.operations import Decision
from sluice.inbox.pauses import Kind
from sluice.operations import pauses
from sluice.operations.pauses import Target
from sluice.postgres.pool import Database
from tests.console.serving import VIEWER, Person, serving
from tests.ops.rows import connected, insert, insert_webhook

HEALTH = {
    "status": "degraded",
    "reasons": [{"reason": "webhooks_dead"}, {"reason": "service_down", "service": "reconciler"}],
    "services": {
        "ingest": {
            "replicas": [
                {"address": "10.0.0.1:9090", "ready": True, "pool": {"busy": 3, "max": 4, "waiters": 1}, "version": "1"}
            ]
        }
    },
    "connections": {"used": 90, "max": 100},
    "webhooks": {
        "backlog": 12,
        "failing": 2,
        "parked": 1,
        "dead": 10_000,
        "oldest_unprocessed_age_seconds": 400.0,
        "is_lower_bound": True,
    },
}


async def test_health_and_its_reasons_are_shown(role_url: Callable[[str], str]) -> None:
    """The page shows healthd's words, with the figures, and the connections of each replica."""
    app = web.Application()

    async def health(_: web.Request) -> web.Response:
        return web.json_response(HEALTH, status=503)

    app.router.add_get("/api/health", health)
    async with (
        TestServer(app) as healthd,
        serving(role_url("console"), health_url=str(healthd.make_url("")).rstrip("/")) as client,
    ):
        text = (await Person(client, VIEWER).get("/")).text
    for told in ("degraded", "webhooks dead", "service down: reconciler", "10,000+", "90 of 100", "10.0.0.1:9090"):
        assert told in text


async def test_an_answer_in_pieces_is_read_whole(role_url: Callable[[str], str]) -> None:
    """Of many replicas it is longer than what a socket gives at once."""
    app = web.Application()

    async def health(request: web.Request) -> web.StreamResponse:
        text = json.dumps({**HEALTH, "status": "healthy", "padding": "x" * 300_000}).encode()
        response = web.StreamResponse()
        await response.prepare(request)
        for begin in range(0, len(text), 50_000):
            await response.write(text[begin : begin + 50_000])
        return response

    app.router.add_get("/api/health", health)
    async with (
        TestServer(app) as healthd,
        serving(role_url("console"), health_url=str(healthd.make_url("")).rstrip("/")) as client,
    ):
        assert 'class="status status-healthy"' in (await Person(client, VIEWER).get("/")).text


async def test_a_healthd_that_is_away_leaves_a_page(console: "TestClient[web.Request, web.Application]") -> None:
    """Unknown is not healthy."""
    text = (await Person(console, VIEWER).get("/")).text
    assert 'class="status status-unknown"' in text
    assert "healthd does not answer" in text


async def test_completeness_is_shown_for_each_account(database_url: str, viewer: Person) -> None:
    """The account that is furthest behind stands first; one that left the platform is no gap."""
    at = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    async with connected(database_url) as connection:
        for account, hours, problem in (
            ("platform", 2, None),
            ("acct_late", 1, None),
            ("acct_gone", 0, "account_closed"),
        ):
            until = at + timedelta(hours=hours)
            await insert(
                connection,
                "reconcile_account",
                livemode=True,
                account=account,
                complete_until=until,
                problem=problem,
            )
    text = (await viewer.get("/")).text
    assert text.index("acct_late") < text.index("platform</td>")
    assert "acct_gone" not in text


async def test_acknowledged_and_effects_are_counted_by_the_minute(
    database_url: str, console: "TestClient[web.Request, web.Application]"
) -> None:
    """By receipt, and by the end of processing; a second count changes nothing."""
    at = datetime.now(UTC).replace(second=10, microsecond=0) - timedelta(minutes=90)
    async with connected(database_url) as connection:
        for number in range(3):
            await insert_webhook(connection, f"evt_{number}", created_at=at)
        done = at + timedelta(minutes=2)
        await insert_webhook(
            connection, "evt_done", created_at=at, processed=True, processed_at=done, published_at=None
        )
    assert console.app is not None
    rates = console.app[RATES]
    await rates.count()
    await rates.count()
    counted = {one.at: (one.acknowledged, one.effects) for one in rates.minutes() if one.acknowledged or one.effects}
    minute = at.replace(second=0)
    assert counted == {minute: (4, 0), minute + timedelta(minutes=2): (0, 1)}


async def test_old_minutes_are_counted_once(database: Database) -> None:
    """A second count reads the last few minutes alone, whatever came to the others."""
    rates = Rates(database)
    await rates.count()
    at = datetime.now(UTC) - timedelta(minutes=90)
    await database.execute(
        "INSERT INTO webhook_logs (stripe_event_id, webhook_type, created_at) VALUES ('evt_late', 'a.b', $1)", at
    )
    await rates.count()
    assert not any(one.acknowledged for one in rates.minutes())


def test_the_chart_fits_its_highest_minute() -> None:
    """Every point lies within the picture."""
    at = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    chart = draw([Minute(at + timedelta(minutes=n), n * 7, n) for n in range(180)])
    heights = [float(point.split(",")[1]) for point in f"{chart.acknowledged} {chart.effects}".split()]
    assert min(heights) >= 10
    assert max(heights) <= 158
    assert [label.text for label in chart.heights] == ["0", "1,000", "2,000"]
    assert "112,770 webhooks were acknowledged" in chart.summary


def test_a_chart_of_nothing_is_a_chart() -> None:
    """No minute, no division by nothing."""
    assert draw([]).acknowledged == ""


async def test_pauses_are_shown_with_who_and_why(database_url: str, viewer: Person) -> None:
    """And on the page of a webhook that waits for one."""
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_1")
        number = await pauses.begin(connection, Target(Kind.ALL), Decision("ada", "venue moves"))
        await insert(connection, "paused_webhook", stripe_event_id="evt_1", pause_id=number)
    now, webhook = await viewer.get("/"), await viewer.get("/webhooks/evt_1")
    assert "venue moves" in now.text
    assert "everything" in now.text
    assert "It waits for pause" in webhook.text
