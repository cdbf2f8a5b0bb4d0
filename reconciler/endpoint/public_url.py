"""The address at which Stripe reaches ingest."""

from urllib.parse import SplitResult, urlsplit, urlunsplit

PUBLIC_URL = "PUBLIC_URL"
PLATFORM_PATH = "/api/stripe-webhook"
_PORTS = {"https": 443, "http": 80}


def endpoint_url(public_url: str) -> str:
    """
    The URL to be registered at Stripe.

    Args:
        public_url: ``https://your.host``, perhaps with a path before ours, or that URL itself.

    Raises:
        ValueError: it is no address that Stripe could call; says why.
    """
    parts = _parts(public_url.strip())
    if parts.query or parts.fragment:
        raise ValueError("it has a query or a fragment; it ends with the host, or with a path before ours")
    base = parts.path.rstrip("/").removesuffix(PLATFORM_PATH)
    return normal(urlunsplit((parts.scheme, parts.netloc, base + PLATFORM_PATH, "", "")))


def normal(url: str) -> str:
    """The same URL in one spelling: scheme and host in small letters, no port that its scheme has anyway."""
    try:
        parts = _parts(url)
    except ValueError:
        return url
    port = f":{parts.port}" if parts.port not in (None, _PORTS[parts.scheme]) else ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return urlunsplit((parts.scheme, f"{host}{port}", parts.path, parts.query, ""))


def host_of(url: str) -> str:
    """The host of a URL, for a comparison; empty for what is no URL."""
    try:
        return _parts(url).hostname or ""
    except ValueError:
        return ""


def _parts(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("it must look like https://your.host")
    if "@" in parts.netloc:
        raise ValueError("it holds a user or a password, which Stripe would show")
    _ = parts.port  # raises ValueError for what is no port
    return parts
