"""The public URL, called as Stripe does."""

import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from reconciler.endpoint.findings import Name
from reconciler.endpoint.reach import Reached, reach, reach_findings
from tests.programs import program

PATH = "/api/stripe-webhook"
DAY = 86_400.0
INGEST = {"error": {"code": "method_not_allowed", "message": "no"}}


async def ingest(_: web.Request) -> web.Response:
    """Ingest's answer to a GET."""
    return web.json_response(INGEST, status=405)


async def moved(_: web.Request) -> web.Response:
    """Somewhere else."""
    return web.Response(status=308, headers={"Location": "https://www.pay.example/"})


async def page(_: web.Request) -> web.Response:
    """A page of another site."""
    return web.Response(text="hello")


@asynccontextmanager
async def serving(handler: object, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The URL of a server that answers so."""
    assert callable(handler)
    app = web.Application()
    app.router.add_get(PATH, handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        yield f"http{'s' if context else ''}://localhost:{runner.addresses[0][1]}{PATH}"
    finally:
        await runner.cleanup()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost that ends in ten days, and its key, in one file."""
    path, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [program("openssl", "openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "10", "-keyout", key,
         "-out", path, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + key.read_text())
    return path


def names(reached: Reached, url: str = f"https://pay.example{PATH}", *, livemode: bool = True) -> list[Name]:
    """Names of the findings."""
    return [one.name for one in reach_findings(url, reached, livemode=livemode, now=0)]


async def test_ingest_is_recognised() -> None:
    """By its refusal of a GET."""
    async with serving(ingest) as url:
        assert names(await reach(url)) == []


@pytest.mark.parametrize(("handler", "name"), [(moved, Name.REDIRECTED), (page, Name.NOT_SLUICE)])
async def test_what_is_not_ingest_is_told(handler: object, name: Name) -> None:
    """A redirect is not followed, as Stripe does not follow it."""
    async with serving(handler) as url:
        assert names(await reach(url)) == [name]


async def test_a_host_that_does_not_answer_is_reported() -> None:
    """Refused, or without a name."""
    assert names(await reach("http://127.0.0.1:1/x")) == [Name.NOT_REACHED]
    assert names(await reach("https://nowhere.invalid/x")) == [Name.NOT_RESOLVED]


async def test_a_certificate_that_is_not_believed_is_a_fault(certificate: Path) -> None:
    """Stripe would not believe it either."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with serving(ingest, context) as url:
        reached = await reach(url)
    assert names(reached) == [Name.TLS_REFUSED]
    assert "self-signed" in (reached.tls_fault or "").replace(" ", "-")


async def test_a_certificate_that_ends_soon_is_told(certificate: Path) -> None:
    """Within two weeks."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with serving(ingest, context) as url:
        reached = await reach(url, trust=ssl.create_default_context(cafile=certificate))
    assert reached.is_sluice
    assert reached.tls_ends_at is not None
    (told,) = reach_findings(url, reached, livemode=True, now=reached.tls_ends_at - 9.5 * DAY)
    assert (told.name, told.text) == (Name.TLS_ENDS_SOON, "The certificate of the public URL ends in 9 days.")
    assert list(reach_findings(url, reached, livemode=True, now=reached.tls_ends_at - 15 * DAY)) == []


def test_live_mode_needs_https() -> None:
    """Stripe sends to no other URL there."""
    reached = Reached(is_sluice=True, status=405)
    assert names(reached, "http://pay.example/x") == [Name.NOT_HTTPS]
    assert names(reached, "http://pay.example/x", livemode=False) == []
