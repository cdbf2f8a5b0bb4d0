"""``python -m tests.console.screenshots``: the pictures of docs/console.md, of a day with some trouble in it."""

import asyncio
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.async_api import Page, expect

from devstack.demo import run_demo
from devstack.options import ROOT, Options
from devstack.stack import Stack
from tests.console.browser.driving import chromium
from tests.ops.rows import connected, insert, insert_webhook

_FOLDER = ROOT / "docs"
_DEAD = 12
_LOST = "in handler loyalty.add_points (attempt 16): KeyError: 'seat' is not in the venue's plan"


async def main() -> None:
    """Run the system, let a day pass, and take the pictures."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-pictures-"))
    folder.chmod(0o711)
    try:
        async with Stack(Options(folder=folder / "local", port=0)) as stack, chromium() as browser:
            await run_demo(stack.database_url, stack.gateway_url, stack.webhook_secret, lambda _: None)
            await _trouble(stack.database_url)
            await stack.stop_service("console")  # it has counted the hours before already
            await stack.start_service("console")
            context = await browser.new_context(viewport={"width": 1100, "height": 760})
            page = await context.new_page()
            await page.goto(f"{stack.console_link()}&by=ada")
            await _take(page)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _trouble(url: str) -> None:
    """Some webhooks that died, and rates of the hours before."""
    now = datetime.now(UTC)
    async with connected(url) as connection:
        for number in range(_DEAD):
            key, at = f"evt_1Rk{number:02}VazexNkpGW", now - timedelta(minutes=3 * number + 2)
            await insert_webhook(
                connection,
                key,
                webhook_type="charge.succeeded",
                object_id=f"ch_3pdq{number:02}NsF0GpB",
                livemode=False,
                created_at=at,
                stripe_created_at=at,
                published_at=None,
                next_attempt_at=None,
                dead_at=at + timedelta(minutes=1),
                processing_attempts=16,
                outcome="failed",
                last_error=_LOST,
            )
            await insert(
                connection, "error_logs", severity="critical", kind="webhook", message=_LOST, stripe_event_id=key
            )
        for minute in range(175):
            at = now - timedelta(minutes=minute + 3)
            for number in range(6 + (minute * 7) % 5 + (8 if 60 < minute < 90 else 0)):
                done = None if 70 < minute < 80 else at + timedelta(milliseconds=90)
                await insert_webhook(
                    connection,
                    f"evt_day{minute}n{number}",
                    created_at=at,
                    processed=True,
                    processed_at=done or at + timedelta(minutes=minute - 68),
                    outcome="applied",
                    published_at=None,
                    next_attempt_at=None,
                )


async def _take(page: Page) -> None:
    await expect(page.get_by_text("dead", exact=False).first).to_be_visible(timeout=20_000)
    await expect(page.locator(".figure", has_text=str(_DEAD)).first).to_be_visible(timeout=30_000)
    await page.get_by_text("counted", exact=False).first.wait_for()
    await page.wait_for_function(
        "!document.body.textContent.includes('Since') || !/ 0 webhooks/.test(document.body.textContent)"
    )
    await _picture(page, "now")
    await page.goto(f"{_base(page)}/webhooks?state=dead&type=charge.*")
    await _picture(page, "webhooks")
    await page.get_by_role("link", name="evt_1Rk", exact=False).first.click()
    await _picture(page, "webhook")
    await page.goto(f"{_base(page)}/trouble")
    await _picture(page, "trouble")
    await page.goto(f"{_base(page)}/act/replay?state=dead&type=charge.*")
    await page.get_by_label("Why").fill("the seat plan is mended")
    await _picture(page, "replay")


def _base(page: Page) -> str:
    return "/".join(page.url.split("/")[:3])


async def _picture(page: Page, name: str) -> None:
    await page.screenshot(path=_FOLDER / f"console-{name}.png")


if __name__ == "__main__":
    asyncio.run(main())
