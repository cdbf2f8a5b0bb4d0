"""Headers of every answer: no frame, no script or style but ours, nothing kept by a cache."""

from aiohttp import web

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    # Not `no-referrer`: with it a browser says `Origin: null` of our own forms.
    "Referrer-Policy": "same-origin",
    "Server": "sluice",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Add them as the answer goes out, whatever made it."""
    response.headers.update(_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
