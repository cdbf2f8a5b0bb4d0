"""Behind a proxy: its header alone says who asks, from its address alone."""

from collections.abc import Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from tests.console.serving import OPERATOR, VIEWER, Person, serving


async def test_a_header_from_elsewhere_is_refused(role_url: Callable[[str], str]) -> None:
    """A client that reaches the port past the proxy may say of itself what it likes."""
    async with serving(role_url("console"), console_proxies="10.9.8.7") as client:
        answer = await Person(client, OPERATOR).get("/")
    assert answer.status == 403
    assert "Webhooks" not in answer.text


@pytest.mark.parametrize("forwarded", ["127.0.0.1", "10.9.8.7"])
async def test_no_forwarded_address_makes_a_client_the_proxy(role_url: Callable[[str], str], forwarded: str) -> None:
    """The connection's own address counts."""
    async with serving(role_url("console"), console_proxies="10.9.8.7") as client:
        headers = {"X-Forwarded-For": forwarded, "X-Real-IP": forwarded, "Forwarded": f"for={forwarded}"}
        assert (await Person(client, OPERATOR).get("/", **headers)).status == 403


@pytest.mark.parametrize("name", ["", " ", "*", "ada@example.com,eve", "a" * 201, "ada@example.com\u202e"])
async def test_a_name_that_is_none_is_refused(console: "TestClient[web.Request, web.Application]", name: str) -> None:
    """Nothing, everything, two names in one, one that is not what it looks like."""
    assert (await Person(console, {"X-Forwarded-Email": name}).get("/")).status == 403


async def test_two_headers_are_refused(console: "TestClient[web.Request, web.Application]") -> None:
    """One of them is the client's own."""
    headers = [("X-Forwarded-Email", "vic@example.com"), ("X-Forwarded-Email", "ada@example.com")]
    async with console.get("/", headers=headers) as answer:
        assert answer.status == 403


async def test_who_is_on_no_list_is_refused(console: "TestClient[web.Request, web.Application]") -> None:
    """The proxy lets in more people than the console."""
    assert (await Person(console, {"X-Forwarded-Email": "eve@example.com"}).get("/")).status == 403
    assert (await Person(console, {}).get("/")).status == 403


async def test_everyone_may_look_where_the_list_says_so(role_url: Callable[[str], str]) -> None:
    """As a viewer, whatever the name."""
    async with serving(role_url("console"), console_viewers="*") as client:
        page = await Person(client, {"X-Forwarded-Email": "Eve@example.com"}).get("/")
    assert page.status == 200
    assert "Eve@example.com" in page.text
    assert "viewer, read-only" in page.text


@pytest.mark.parametrize(
    ("headers", "allows", "told"),
    [
        (OPERATOR, True, "operator</span>"),
        (OPERATOR, False, "operator, read-only</span>"),
        (VIEWER, True, "viewer, read-only</span>"),
    ],
)
async def test_only_operators_may_act_and_only_where_actions_are_on(
    role_url: Callable[[str], str], headers: dict[str, str], allows: bool, told: str
) -> None:
    """The page says which."""
    async with serving(role_url("console"), console_actions=allows) as client:
        assert told in (await Person(client, headers).get("/")).text
