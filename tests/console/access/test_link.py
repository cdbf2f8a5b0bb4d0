"""Without a proxy: a one-time link, from this machine, exchanged for a session."""

import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, make_mocked_request

from console.access.link import COOKIE, LinkAccess
from console.access.refusal import Refused
from tests.console.serving import Person, serving


@pytest.fixture
def link_file(tmp_path: Path) -> Path:
    """The file of the next link."""
    return tmp_path / "console.link"


@pytest_asyncio.fixture
async def client(
    role_url: Callable[[str], str], link_file: Path
) -> "AsyncIterator[TestClient[web.Request, web.Application]]":
    """A console without a proxy."""
    async with serving(role_url("console"), link_file=link_file) as client:
        yield client


def _path(link_file: Path) -> str:
    parts = urlsplit(link_file.read_text().strip())
    return f"{parts.path}?{parts.query}"


async def test_a_link_lets_its_browser_in_and_no_other(
    client: "TestClient[web.Request, web.Application]", link_file: Path
) -> None:
    """Once: the second browser with the same link is told to ask for a new one, which is there."""
    person = Person(client, {})
    first = _path(link_file)
    assert (await person.get("/")).status == 401
    assert (await person.get(f"{first}&by=ada")).status == 200
    page = await person.get("/")
    assert page.status == 200
    assert "ada" in page.text
    client.session.cookie_jar.clear()
    assert (await person.get(first)).status == 401
    assert (await person.get("/")).status == 401
    assert _path(link_file) != first
    assert (await person.get(_path(link_file))).status == 200


async def test_the_session_cookie_is_no_script_s_and_no_other_site_s(
    client: "TestClient[web.Request, web.Application]", link_file: Path
) -> None:
    """HttpOnly, SameSite=Strict."""
    cookie = (await Person(client, {}).get(_path(link_file))).headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


async def test_the_file_of_the_link_is_its_owner_s_alone(
    client: "TestClient[web.Request, web.Application]", link_file: Path
) -> None:
    """A person who may read it may enter."""
    assert stat.S_IMODE(link_file.stat().st_mode) == 0o600
    await Person(client, {}).get(_path(link_file))
    assert stat.S_IMODE(link_file.stat().st_mode) == 0o600


@pytest.mark.parametrize("token", ["", "x", "é"])
async def test_a_guessed_token_lets_nobody_in(client: "TestClient[web.Request, web.Application]", token: str) -> None:
    """And leaves the link as it is."""
    assert (await Person(client, {}).get(f"/enter?token={token}")).status == 401


async def test_a_header_of_a_proxy_means_nothing(client: "TestClient[web.Request, web.Application]") -> None:
    """There is none to believe."""
    assert (await Person(client, {"X-Forwarded-Email": "ada@example.com"}).get("/")).status == 401


def test_a_session_ends_after_half_a_day() -> None:
    """Then a new link is needed."""
    now, tokens = [0.0], list[str]()
    access = LinkAccess(tokens.append, allows_actions=True, clock=lambda: now[0])
    cookie = access.enter(_request(), tokens[-1], "ada")
    assert access.visitor(_request(cookie)).name == "ada"
    now[0] = 12 * 3600
    with pytest.raises(Refused):
        access.visitor(_request(cookie))


def test_another_machine_is_refused_with_a_link_and_with_a_session() -> None:
    """Whatever network the port is reached from."""
    tokens = list[str]()
    access = LinkAccess(tokens.append, allows_actions=True)
    with pytest.raises(Refused):
        access.enter(_request(remote="192.0.2.7"), tokens[-1], "ada")
    cookie = access.enter(_request(), tokens[-1], "ada")
    with pytest.raises(Refused):
        access.visitor(_request(cookie, remote="192.0.2.7"))


def test_sessions_are_bounded() -> None:
    """The oldest makes room."""
    tokens = list[str]()
    access = LinkAccess(tokens.append, allows_actions=False)
    cookies = [access.enter(_request(), tokens[-1], f"person {number}") for number in range(51)]
    with pytest.raises(Refused):
        access.visitor(_request(cookies[0]))
    assert access.visitor(_request(cookies[-1])).name == "person 50"


def _request(cookie: str = "", *, remote: str = "127.0.0.1") -> web.Request:
    request = make_mocked_request("GET", "/", headers={"Cookie": f"{COOKIE}={cookie}"})
    return request.clone(remote=remote)
