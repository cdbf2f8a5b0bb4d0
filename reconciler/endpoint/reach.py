"""Call the public URL as Stripe does, up to the first answer: name, connection, certificate, and who answers."""

import asyncio
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import aiohttp

from reconciler.endpoint.findings import Finding, Name

_SECONDS = 10.0
_DAY_SECONDS = 86_400.0
ENDS_SOON_SECONDS = 14 * _DAY_SECONDS
_METHOD_NOT_ALLOWED = 405
_REDIRECT, _CLIENT_ERROR = 300, 400


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a call of the public URL got from here."""

    is_resolved: bool = True
    tls_fault: str | None = None
    tls_ends_at: float | None = None
    """When the certificate ends, in seconds since the Unix epoch; None: there is none, or it was not seen."""
    problem: str | None = None
    """Why there was no answer."""
    status: int | None = None
    is_sluice: bool = False
    location: str | None = None


async def reach(url: str, *, trust: ssl.SSLContext | None = None) -> Reached:
    """
    One GET, which ingest answers 405 and counts nowhere; a redirect is not followed, as Stripe does not.

    Args:
        trust: certificates believed; by default the machine's.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    context = (trust or ssl.create_default_context()) if parts.scheme == "https" else None
    try:
        async with asyncio.timeout(_SECONDS):
            await asyncio.get_running_loop().getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
            ends_at = await _certificate_end(parts.hostname or "", port, context) if context else None
            return await _answer(url, context, ends_at)
    except socket.gaierror:
        return Reached(is_resolved=False)
    except ssl.SSLCertVerificationError as error:
        return Reached(tls_fault=error.verify_message)
    except ssl.SSLError as error:
        return Reached(tls_fault=error.reason or type(error).__name__)
    except (TimeoutError, OSError, aiohttp.ClientError) as error:
        return Reached(problem=_why(error))


def reach_findings(url: str, reached: Reached, *, livemode: bool, now: float) -> Iterator[Finding]:
    """Findings about the URL."""
    if livemode and not url.startswith("https://"):
        yield Finding(
            Name.NOT_HTTPS,
            "The public URL is not https: in live mode Stripe sends to no other.",
            "Set PUBLIC_URL to an address with https://, and a certificate for it.",
        )
    if not reached.is_resolved:
        yield Finding(
            Name.NOT_RESOLVED,
            "The name of the public URL has no address in DNS, as seen from here.",
            "Add a record for it; or run this where the internet's DNS is asked, or with --without-url.",
        )
    elif reached.tls_fault is not None:
        yield Finding(
            Name.TLS_REFUSED,
            f"The certificate of the public URL is refused: {reached.tls_fault}.",
            "Give the Ingress a certificate for this name, with its whole chain.",
        )
    elif reached.problem is not None:
        yield Finding(
            Name.NOT_REACHED,
            f"The public URL does not answer from here ({reached.problem}).",
            "Look at the Ingress, the load balancer and the firewall; or run this elsewhere, or with --without-url.",
        )
    else:
        yield from _answer_findings(reached)
    if reached.tls_ends_at is not None and reached.tls_ends_at - now < ENDS_SOON_SECONDS:
        days = int((reached.tls_ends_at - now) / _DAY_SECONDS)
        yield Finding(
            Name.TLS_ENDS_SOON,
            f"The certificate of the public URL ends in {days} day{'' if days == 1 else 's'}.",
            "Renew it; whatever should do so by itself has not.",
        )


def _answer_findings(reached: Reached) -> Iterator[Finding]:
    if reached.location is not None:
        yield Finding(
            Name.REDIRECTED,
            f"The public URL redirects to {reached.location}; Stripe follows no redirect.",
            "Set PUBLIC_URL, and the endpoint's URL in Stripe, to where it leads.",
        )
    elif not reached.is_sluice:
        yield Finding(
            Name.NOT_SLUICE,
            f"Something else than ingest answers at the public URL (status {reached.status}).",
            "Route /api/stripe-webhook to ingest; see charts/sluice/files/routes.yaml.",
        )


async def _certificate_end(host: str, port: int, context: ssl.SSLContext) -> float | None:
    _, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        certificate = cast("Mapping[str, object]", writer.get_extra_info("peercert") or {})
    finally:
        writer.close()
    ends = certificate.get("notAfter")
    return float(ssl.cert_time_to_seconds(ends)) if isinstance(ends, str) else None


async def _answer(url: str, context: ssl.SSLContext | None, ends_at: float | None) -> Reached:
    connector = aiohttp.TCPConnector(ssl=context or True)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(url, allow_redirects=False) as response,
    ):
        if _REDIRECT <= response.status < _CLIENT_ERROR:
            return Reached(tls_ends_at=ends_at, status=response.status, location=response.headers.get("Location", "?"))
        return Reached(tls_ends_at=ends_at, status=response.status, is_sluice=await _is_ingest(response))


async def _is_ingest(response: aiohttp.ClientResponse) -> bool:
    """Whether the answer is ingest's own refusal of a GET."""
    if response.status != _METHOD_NOT_ALLOWED:
        return False
    try:
        said = await response.json()
    except (ValueError, aiohttp.ContentTypeError):
        return False
    error = said.get("error") if isinstance(said, Mapping) else None
    return isinstance(error, Mapping) and error.get("code") == "method_not_allowed"


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_SECONDS:g} s"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return type(error).__name__
