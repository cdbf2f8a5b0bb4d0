"""Requests that change something, sent from elsewhere."""

import re

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from tests.console.serving import VIEWER, Person
from tests.ops.rows import connected, insert_webhook

_TOKEN = re.compile(r'name="form_token" value="([^"]+)"')


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "{origin}", "Sec-Fetch-Site": "same-site"},
        {"Origin": "{origin}", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "file://{host}"},
    ],
)
async def test_a_form_of_another_origin_is_refused(database_url: str, viewer: Person, headers: dict[str, str]) -> None:
    """Though the browser sends its cookies, and the token is right: another port of this machine is another origin."""
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_1", body=b"{}")
        token = _TOKEN.search((await viewer.get("/webhooks/evt_1")).text)
        assert token is not None
        host = viewer.origin.removeprefix("http://")
        given = {name: value.format(origin=viewer.origin, host=host) for name, value in headers.items()}
        answer = await viewer.send("/webhooks/evt_1/body", {"form_token": token[1]}, **given)
        assert answer.status == 403
        assert await connection.fetchval("SELECT count(*) FROM body_view") == 0


@pytest.mark.parametrize("token", [None, "", "guessed"])
async def test_a_form_without_its_token_is_refused(database_url: str, viewer: Person, token: str | None) -> None:
    """Though it says that it comes from here."""
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_1", body=b"{}")
    await viewer.get("/webhooks/evt_1")
    fields = {} if token is None else {"form_token": token}
    assert (await viewer.send("/webhooks/evt_1/body", fields, Origin=viewer.origin)).status == 403


async def test_a_token_without_its_cookie_is_refused(console: "TestClient[web.Request, web.Application]") -> None:
    """An empty one is no match of a cookie that is not there."""
    person = Person(console, VIEWER)
    assert (await person.send("/webhooks/evt_1/body", {"form_token": ""}, Origin=person.origin)).status == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "127.0.0.1:80:80", "localhost@evil"])
async def test_another_host_name_is_refused(viewer: Person, host: str) -> None:
    """A name that an attacker points at this address is not ours."""
    assert (await viewer.get("/", Host=host)).status in {400, 421}
