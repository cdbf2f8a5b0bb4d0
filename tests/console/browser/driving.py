"""Debian's Chromium, driven by Playwright; every page is watched for what goes wrong in it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright

from tests.programs import program

_SERIOUS = frozenset({"serious", "critical"})


@dataclass
class Watched:
    """One tab, and all that went wrong in it."""

    page: Page
    base: str
    faults: list[str] = field(default_factory=list)

    async def open(self, path: str) -> None:
        """Go to a page of the console."""
        answer = await self.page.goto(f"{self.base}{path}")
        assert answer is not None
        assert answer.status == 200, (path, answer.status)

    async def serious_findings(self) -> list[str]:
        """Ask axe-core what a person with a screen reader, a keyboard or weak eyes would stumble over."""
        found = (await Axe().run(self.page)).response["violations"]
        return [
            f"{one['id']}: {[node['target'] for node in one['nodes']]}" for one in found if one["impact"] in _SERIOUS
        ]

    def watch(self) -> None:
        """Note each message of an error, each exception, each request that leaves the console."""
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", self._asked)
        self.page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.faults.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(self.base):
            self.faults.append(f"a request to {request.url}")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Start the browser, without its sandbox: a container has no user namespace for it, and the pages are ours."""
    path = program("chromium", "chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def tab(
    browser: Browser,
    base: str,
    headers: Mapping[str, str],
    *,
    scheme: str = "light",
    width: int = 1200,
    is_refused: bool = False,
) -> AsyncIterator[Watched]:
    """
    Open a tab of a person; nothing may have gone wrong in it at the end.

    Args:
        is_refused: something in it is to be refused, which the browser itself notes, at a moment of its own.
    """
    context: BrowserContext = await browser.new_context(
        extra_http_headers=dict(headers),
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": width, "height": 800},
        base_url=base,
    )
    context.set_default_timeout(15_000)
    watched = Watched(await context.new_page(), base)
    watched.watch()
    try:
        yield watched
    finally:
        await context.close()
    assert is_refused or watched.faults == [], watched.faults
