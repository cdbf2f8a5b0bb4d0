"""Forms: a request that changes something must come from a page of ours."""

import hmac
import secrets
from urllib.parse import urlsplit

from aiohttp import web

from console.access.refusal import Reason, Refused

COOKIE = "sluice_form"
FIELD = "form_token"
FORM_TOKEN = web.RequestKey("form_token", str)
"""The token that every form of the answer carries."""
_TOKEN_BYTES = 24
_SAFE = frozenset({"GET", "HEAD"})


def token_of(request: web.Request) -> str:
    """Read the browser's token, or make its first."""
    return request.cookies.get(COOKIE) or secrets.token_urlsafe(_TOKEN_BYTES)


async def refuse_foreign_forms(request: web.Request) -> None:
    """
    Let a request pass that only asks, or that a form of ours sent.

    The browser says where a form stood (``Origin``, ``Sec-Fetch-Site``), and a page of another origin can neither
    read our cookie nor send it: it is ``SameSite=Strict``.

    Raises:
        Refused: it came from elsewhere, or says not from where.
    """
    if request.method in _SAFE:
        return
    if not _is_of_our_origin(request):
        raise Refused(Reason.FOREIGN_FORM)
    sent = (await request.post()).get(FIELD)
    known = request.cookies.get(COOKIE, "")
    if not known or not isinstance(sent, str) or not hmac.compare_digest(sent.encode(), known.encode()):
        raise Refused(Reason.FOREIGN_FORM)


def _is_of_our_origin(request: web.Request) -> bool:
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return False
    origins = request.headers.getall("Origin", [])
    if len(origins) != 1:
        return False
    try:
        origin = urlsplit(origins[0])
    except ValueError:
        return False
    return origin.scheme in {"http", "https"} and origin.netloc.lower() == request.host.lower()
