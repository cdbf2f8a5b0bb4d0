"""On which addresses a service listens."""

import errno
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from sluice.runtime.listening import EVERY_ADDRESS, listen_on


@pytest_asyncio.fixture
async def runner() -> AsyncIterator[web.ServerRunner]:
    """Answers with the client's address."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=request.remote)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    yield runner
    await runner.cleanup()


async def test_every_address_is_of_both_families_and_each_client_s_stays_as_it_is(runner: web.ServerRunner) -> None:
    """One free port for both; no IPv4 client appears as ``::ffff:…``."""
    await listen_on(runner, EVERY_ADDRESS, 0)
    (port,) = {address[1] for address in runner.addresses}
    async with aiohttp.ClientSession() as session:
        for host, seen in {"127.0.0.1": "127.0.0.1", "[::1]": "::1"}.items():
            async with session.get(f"http://{host}:{port}") as answer:
                assert await answer.text() == seen


async def test_a_host_that_is_named_is_the_only_one(runner: web.ServerRunner) -> None:
    """0.0.0.0 is IPv4 alone, as it always was."""
    await listen_on(runner, "0.0.0.0", 0)
    assert [address[0] for address in runner.addresses] == ["0.0.0.0"]


async def test_a_machine_without_ipv6_is_listened_on_by_ipv4(
    runner: web.ServerRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel may have been started without it."""
    start = web.TCPSite.start

    async def without_ipv6(site: web.TCPSite) -> None:
        if site._host == EVERY_ADDRESS:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        await start(site)

    monkeypatch.setattr(web.TCPSite, "start", without_ipv6)
    await listen_on(runner, EVERY_ADDRESS, 0)
    assert [address[0] for address in runner.addresses] == ["0.0.0.0"]


async def test_half_a_port_is_refused(runner: web.ServerRunner) -> None:
    """Another process that answers IPv6 on it would get half of the requests."""
    with socket.socket(socket.AF_INET6) as taken:
        taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind(("::", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use") as refused:
            await listen_on(runner, EVERY_ADDRESS, taken.getsockname()[1])
    assert refused.value.errno == errno.EADDRINUSE
