"""Each page and each action in a real Chromium: no error, no serious finding of axe-core, by keyboard, on a phone."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient
from playwright.async_api import Browser, expect

from console.routes import ROUTES
from console.web.parts import PARTS
from sluice.operations.diff import Diff
from tests.console.browser.driving import Watched, chromium, tab
from tests.console.serving import OPERATOR, VIEWER, serving
from tests.console.world import fill, paths_of
from tests.ops.rows import connected

pytestmark = pytest.mark.timeout(240)
Client = TestClient[web.Request, web.Application]
PAGES = [path for route in ROUTES if route.method == "GET" for path in paths_of(route.name, route.path)]


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    """The browser of one test."""
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture
async def world(database_url: str, console: Client) -> Client:
    """A console in front of one of everything."""
    await fill(database_url)
    return console


def _base(console: Client) -> str:
    return str(console.make_url("/")).rstrip("/")


@pytest_asyncio.fixture
async def desk(browser: Browser, world: Client) -> AsyncIterator[Watched]:
    """An operator's tab."""
    async with tab(browser, _base(world), OPERATOR) as watched:
        yield watched


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 1200), ("light", 390)])
async def test_every_page_is_without_error_and_serious_finding(
    browser: Browser, world: Client, scheme: str, width: int
) -> None:
    """In light and in dark, on a desk and on a phone, where no page is wider than the screen."""
    async with tab(browser, _base(world), OPERATOR, scheme=scheme, width=width) as watched:
        for path in PAGES:
            await watched.open(path)
            assert await watched.serious_findings() == [], path
            wide = await watched.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0, (path, wide)


async def test_a_fault_is_a_page_like_any_other(browser: Browser, world: Client) -> None:
    """404 for a viewer; axe-core finds nothing serious in it."""
    async with tab(browser, _base(world), VIEWER) as watched:
        answer = await watched.page.goto(f"{watched.base}/nowhere")
        assert answer is not None
        assert answer.status == 404
        assert await watched.serious_findings() == []
        watched.faults.clear()  # the browser notes the 404 itself


async def test_a_dead_webhook_is_replayed_from_the_list(database_url: str, world: Client, desk: Watched) -> None:
    """From Now to the list, its filter, the count, the reason, the operation."""
    page = desk.page
    await desk.open("/webhooks?state=dead&type=charge.*")
    await page.get_by_role("link", name="Replay…").click()
    await expect(page.get_by_text("2 webhooks would be changed")).to_be_visible()
    await page.get_by_label("Why").fill("seat plan mended")
    async with page.expect_navigation():
        await page.get_by_role("button", name="Replay 2").click()
    assert world.app is not None
    await world.app[PARTS].runs.wait()
    async with connected(database_url) as connection:
        told = await connection.fetchrow("SELECT verb, person, reason FROM operation ORDER BY id DESC LIMIT 1")
        dead = await connection.fetchval(
            "SELECT count(*) FROM webhook_logs WHERE dead_at IS NOT NULL AND NOT processed"
        )
    assert told is not None
    assert (*told, dead) == ("replay", "ada@example.com", "seat plan mended", 0)


@pytest.mark.parametrize(
    ("path", "link", "button"),
    [
        ("/webhooks/evt_dead", "Write off…", "Write off 1"),
        ("/webhooks/evt_failed", "Retry…", "Retry 1"),
        ("/webhooks/evt_done1", "Replay…", "Replay 1"),
    ],
)
async def test_each_verb_is_reached_from_its_webhook(
    database_url: str, world: Client, desk: Watched, path: str, link: str, button: str
) -> None:
    """By the keyboard alone: link, reason, button."""
    page = desk.page
    await desk.open(path)
    await page.get_by_role("link", name=link).focus()
    async with page.expect_navigation():
        await page.keyboard.press("Enter")
    await page.get_by_label("Why").focus()
    await page.keyboard.type("because")
    async with page.expect_navigation():
        await page.keyboard.press("Enter")
    assert world.app is not None
    await world.app[PARTS].runs.wait()
    async with connected(database_url) as connection:
        assert await connection.fetchval("SELECT reason FROM operation ORDER BY id DESC LIMIT 1") == "because"
        assert (
            await connection.fetchval("SELECT result FROM operation_item ORDER BY operation_id DESC LIMIT 1")
            == "changed"
        )
    assert button.split(maxsplit=1)[0].lower() in link.lower()


async def test_an_operation_is_cancelled_on_its_page(database_url: str, desk: Watched) -> None:
    """The button is there while it may go on; then the page says who cancelled it."""
    await desk.open("/operations/1")
    async with desk.page.expect_navigation():
        await desk.page.get_by_role("button", name="Cancel operation 1").click()
    await expect(desk.page.get_by_text("What was done stays done")).to_be_visible()
    assert await desk.page.get_by_role("button", name="Cancel operation 1").count() == 0
    async with connected(database_url) as connection:
        assert await connection.fetchval("SELECT cancelled_by FROM operation") == "ada@example.com"


async def test_an_operation_that_is_silent_goes_on(database_url: str, world: Client, desk: Watched) -> None:
    """The page of one whose runner is gone has a button for that."""
    async with connected(database_url) as connection:
        await connection.execute("ALTER TABLE operation DISABLE TRIGGER USER")  # else when it began stays as it is
        await connection.execute("UPDATE operation SET started_at = now() - interval '1 hour'")
        await connection.execute("ALTER TABLE operation ENABLE TRIGGER USER")
        await desk.open("/operations/1")
        async with desk.page.expect_navigation():
            await desk.page.get_by_role("button", name="Go on").click()
        assert world.app is not None
        await world.app[PARTS].runs.wait()
        assert await connection.fetchval("SELECT ended_at IS NOT NULL FROM operation")


async def test_a_write_off_is_undone_on_its_page(database_url: str, world: Client, desk: Watched) -> None:
    """With a reason, by another operation."""
    page = desk.page
    await desk.open("/act/write-off?id=evt_dead")
    await page.get_by_label("Why").fill("no seat is left")
    async with page.expect_navigation():
        await page.get_by_role("button", name="Write off 1").click()
    assert world.app is not None
    await world.app[PARTS].runs.wait()
    await page.reload()
    await page.get_by_text("Undo it").click()
    await page.get_by_label("Why").fill("one was given back")
    async with page.expect_navigation():
        await page.get_by_role("button", name="Undo operation 2").click()
    await world.app[PARTS].runs.wait()
    assert page.url.endswith("/operations/3")
    async with connected(database_url) as connection:
        assert not await connection.fetchval("SELECT processed FROM webhook_logs WHERE stripe_event_id = 'evt_dead'")


async def test_an_error_is_resolved_from_the_list(database_url: str, world: Client, desk: Watched) -> None:
    """Those that are ticked lead to the count, and there to the note."""
    await desk.open("/errors")
    await desk.page.get_by_role("checkbox").first.check()
    async with desk.page.expect_navigation():
        await desk.page.get_by_role("button", name="Resolve those that are ticked").click()
    await desk.page.get_by_label("Why").fill("looked at")
    async with desk.page.expect_navigation():
        await desk.page.get_by_role("button", name="Resolve").click()
    assert world.app is not None
    await world.app[PARTS].runs.wait()
    async with connected(database_url) as connection:
        assert await connection.fetchval("SELECT count(*) FROM error_logs WHERE resolved") == 1


async def test_a_form_without_a_reason_is_kept_by_the_browser(database_url: str, desk: Watched) -> None:
    """The field is required; nothing is sent."""
    await desk.open("/act/replay?id=evt_dead")
    await desk.page.get_by_role("button", name="Replay 1").click()
    assert await desk.page.evaluate("document.activeElement.name") == "reason"
    async with connected(database_url) as connection:
        assert await connection.fetchval("SELECT count(*) FROM operation") == 1


async def test_a_body_is_shown_after_a_click(database_url: str, desk: Watched) -> None:
    """The click is on record; the page is still without serious findings."""
    await desk.open("/webhooks/evt_dead")
    assert "Jonas Weber" not in await desk.page.content()
    await desk.page.get_by_role("button", name="Show the body").click()
    await expect(desk.page.get_by_text("Jonas Weber")).to_be_visible()
    assert await desk.serious_findings() == []
    async with connected(database_url) as connection:
        assert await connection.fetchval("SELECT person FROM body_view") == "ada@example.com"


async def test_what_would_change_is_asked_for_and_shown_by_itself(database_url: str, desk: Watched) -> None:
    """The page waits for its processor; the answer is there without a click."""
    page = desk.page
    await desk.open("/act/replay?id=evt_dead")
    async with page.expect_navigation():
        await page.get_by_role("button", name="Show what would change").click()
    await expect(page.get_by_text("A processor is asked")).to_be_visible()
    async with connected(database_url) as connection:
        answer = Diff(left_out=["mail.send"]).as_json()
        await connection.execute("UPDATE webhook_rehearsal SET answer = $1, done_at = now()", answer)
    await expect(page.get_by_text("mail.send")).to_be_visible(timeout=15_000)


async def test_the_page_now_refreshes_itself_until_it_is_told_not_to(
    database_url: str, browser: Browser, world: Client
) -> None:
    """A figure changes without a click; the button stops that, and says so to a screen reader."""
    async with tab(browser, _base(world), VIEWER) as watched:
        page = watched.page
        await page.clock.install()
        await watched.open("/")
        async with connected(database_url) as connection:
            await connection.execute("UPDATE reconcile_account SET account = 'acct_fresh'")
        await page.clock.run_for(6_000)
        await expect(page.get_by_text("acct_fresh")).to_be_visible()
        switch = page.get_by_role("button", name="Pause refreshing")
        await switch.click()
        assert await switch.get_attribute("aria-pressed") == "true"
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.clock.run_for(60_000)
        assert asked == []


async def test_the_keyboard_reaches_the_content_at_once(desk: Watched) -> None:
    """The first thing is a link past the menu."""
    await desk.open("/webhooks")
    await desk.page.keyboard.press("Tab")
    assert await desk.page.evaluate("document.activeElement.textContent") == "Skip to content"
    await desk.page.keyboard.press("Enter")
    await desk.page.keyboard.press("Tab")
    assert await desk.page.evaluate("document.querySelector('main').contains(document.activeElement)")


async def test_no_site_can_put_a_page_into_a_frame(browser: Browser, world: Client) -> None:
    """A click on what lies over it would be a click in the console."""
    async with tab(browser, _base(world), OPERATOR) as watched:
        await watched.page.goto("about:blank")
        frame = f'<iframe src="{watched.base}/act/replay?id=evt_dead"></iframe>'
        await watched.page.set_content(frame, wait_until="networkidle")
        inner = watched.page.frames[-1]
        assert await inner.get_by_label("Why").count() == 0
        watched.faults.clear()  # the browser says that it refused


async def test_another_site_s_form_is_refused(database_url: str, browser: Browser, world: Client) -> None:
    """It is sent by the browser with all headers of the proxy, as if the person had clicked here."""
    async with tab(browser, _base(world), OPERATOR) as watched:
        await watched.open("/webhooks/evt_dead")
        other = watched.base.replace("127.0.0.1", "localhost")
        await watched.page.route(f"{other}/**", lambda route: route.fulfill(body="<p>another site</p>"))
        await watched.page.goto(other)
        await watched.page.set_content(
            f'<form method="post" action="{watched.base}/act/replay"><input name="id" value="evt_dead">'
            '<input name="reason" value="x"><input name="limit" value="1"><button>Win</button></form>'
        )
        async with watched.page.expect_response(lambda answer: answer.url.endswith("/act/replay")) as answered:
            await watched.page.get_by_role("button").click()
        assert (await answered.value).status == 403
        watched.faults.clear()
    async with connected(database_url) as connection:
        assert await connection.fetchval("SELECT count(*) FROM operation") == 1


async def test_a_one_time_link_opens_the_pages(
    browser: Browser, role_url: Callable[[str], str], tmp_path: Path
) -> None:
    """Its token is gone from the address, and the session's cookie is none of a script's."""
    file = tmp_path / "console.link"
    async with serving(role_url("console"), link_file=file) as client:
        base = _base(client)
        link = f"{base}/enter?{file.read_text().strip().partition('?')[2]}"
        async with tab(browser, base, {}) as watched:
            await watched.page.goto(f"{link}&by=ada")
            await expect(watched.page.get_by_role("heading", name="Now")).to_be_visible()
            assert watched.page.url == f"{base}/"
            assert await watched.page.evaluate("document.cookie") == ""
            assert "ada" in await watched.page.content()
