"""The console's application, as a test asks it: with the operator's login, and a person who was let in."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from console.access.forms import COOKIE
from console.app import access_of, application
from console.settings import ConsoleSettings
from console.web.health import HealthWatch
from console.web.parts import Parts
from console.web.runs import Runs
from sluice.postgres.pool import Database

PROXY = {
    "console_user_header": "X-Forwarded-Email",
    "console_proxies": "127.0.0.1",
    "console_hosts": "127.0.0.1",
    "console_operators": "ada@example.com",
    "console_viewers": "vic@example.com",
    "console_actions": True,
}
OPERATOR = {"X-Forwarded-Email": "ada@example.com"}
VIEWER = {"X-Forwarded-Email": "vic@example.com"}
_TOKEN = re.compile(r'name="form_token" value="([^"]+)"')


@dataclass(frozen=True)
class Asked:
    """An answer, and its text."""

    status: int
    text: str
    headers: Mapping[str, str]
    path: str


class Person:
    """A browser of one person behind the proxy."""

    def __init__(self, client: "TestClient[web.Request, web.Application]", headers: Mapping[str, str]) -> None:
        self.client = client
        self.headers = headers

    @property
    def origin(self) -> str:
        """The origin of the pages."""
        return str(self.client.make_url("/")).rstrip("/")

    async def get(self, path: str, **headers: str) -> Asked:
        """Look at a page, and follow where it leads."""
        async with self.client.get(path, headers={**self.headers, **headers}) as answer:
            return Asked(answer.status, await answer.text(), answer.headers, answer.url.raw_path_qs)

    async def post(self, path: str, page: str, **fields: str) -> Asked:
        """Send a form from a page, as a browser does; where the page has none, as a person who makes one up."""
        token = _TOKEN.search((await self.get(page)).text)
        cookie = self.client.session.cookie_jar.filter_cookies(self.client.make_url("/")).get(COOKIE)
        given = {"form_token": token[1] if token else cookie.value if cookie else "", **fields}
        return await self.send(path, given, Origin=self.origin)

    async def send(self, path: str, fields: Mapping[str, str], **headers: str) -> Asked:
        """Send whatever form."""
        async with self.client.post(path, data=fields, headers={**self.headers, **headers}) as answer:
            return Asked(answer.status, await answer.text(), answer.headers, answer.url.raw_path_qs)


def settings_of(url: str, **values: object) -> ConsoleSettings:
    """Settings of which a test says only what matters to it."""
    return ConsoleSettings.model_validate({"database_url": url, "admin_host": "127.0.0.1", "admin_port": 0, **values})


@asynccontextmanager
async def serving(
    url: str, *, link_file: Path | None = None, health_url: str = "", **values: object
) -> "AsyncIterator[TestClient[web.Request, web.Application]]":
    """Serve the application behind a proxy; given a link's file, without one."""
    entry = {**PROXY, **values} if link_file is None else {"console_link_file": str(link_file), **values}
    settings = settings_of(url, **entry)
    async with (
        Database.connect(url, application_name="test-console", command_seconds=4) as database,
        Runs.open(database) as runs,
        aiohttp.ClientSession() as session,
    ):
        access, routes = access_of(settings)
        app = application(settings, Parts(database, HealthWatch(health_url, session), runs), access, routes)
        async with TestClient(TestServer(app)) as client:
            yield client
