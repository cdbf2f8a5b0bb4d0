"""
Did Stripe send these bytes? Pure: bytes, header, secrets and the time go in; the secret that signed them comes out.

The judgement is the ``stripe`` library's own; before it stands a strict look at the header, because the library reads
numbers as Python does (``१२``, ``1_0``), accepts any future, and puts the whole body into its errors.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from ingest.auth.stripe_signature import SignatureVerificationError, WebhookSignature
from sluice.failures import Rejected

TOLERANCE_SECONDS = 300
LONGEST_HEADER = 2048
MOST_PAIRS = 10

_USUAL = re.compile(r"t=([0-9]{1,12})(?:,v[0-9]=[0-9a-f]{64}){1,9}")
"""What Stripe writes: one look instead of four. What it does not match may still be right."""
_PAIR = r"[A-Za-z0-9_]{1,16}=[!-+\--<>-~]{1,512}"  # printable ASCII but "," and "="
_PAIRS = re.compile(f"{_PAIR}(?:,{_PAIR})*")
_TIMESTAMP = re.compile(r"(?:^|,)t=([^,]*)")
_SECONDS = re.compile(r"[0-9]{1,12}")


class BadSignature(Rejected):
    """The Stripe-Signature header does not match the body under any active secret."""

    code = "invalid_signature"


class MissingSignature(BadSignature):
    """There is no Stripe-Signature header."""

    code = "missing_signature"


class MalformedSignature(BadSignature):
    """The Stripe-Signature header has a shape that Stripe never sends."""

    code = "malformed_signature"


class StaleTimestamp(Rejected):
    """The signature is right, but older than five minutes."""

    code = "stale_timestamp"


class FutureTimestamp(Rejected):
    """The signature is right, but dated more than five minutes ahead; compare the clocks."""

    code = "future_timestamp"


class NotText(Rejected):
    """The body is not UTF-8."""

    code = "malformed_event"


class Signature(NamedTuple):
    """A signature that holds: whose it is, and when it was made, in seconds since the Unix epoch."""

    secret: str
    signed_at: int

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Signature(signed_at={self.signed_at})"


def verify(
    body: bytes,
    header: str | None,
    secrets: Sequence[str],
    *,
    now: float,
    tolerance_seconds: int = TOLERANCE_SECONDS,
) -> Signature:
    """
    The signature by which Stripe signed this body with one of ``secrets``.

    Args:
        now: seconds since the Unix epoch, by our clock.

    Raises:
        MissingSignature, MalformedSignature, BadSignature: it was not signed with any of them.
        StaleTimestamp, FutureTimestamp: it was, but not within ``tolerance_seconds`` of ``now``.
        NotText: no signature of Stripe's covers bytes that are not UTF-8.
    """
    if not header:
        raise MissingSignature
    signed_at = _timestamp(header)
    secret = _signer(_text(body), header, secrets)
    if secret is None:
        raise BadSignature
    if signed_at < now - tolerance_seconds:
        raise StaleTimestamp
    if signed_at > now + tolerance_seconds:
        raise FutureTimestamp
    return Signature(secret, signed_at)


def _timestamp(header: str) -> int:
    if (usual := _USUAL.fullmatch(header)) is not None:
        return int(usual[1])
    if len(header) > LONGEST_HEADER or header.count(",") >= MOST_PAIRS or _PAIRS.fullmatch(header) is None:
        raise MalformedSignature
    timestamps = _TIMESTAMP.findall(header)
    if len(timestamps) != 1 or _SECONDS.fullmatch(timestamps[0]) is None:
        raise MalformedSignature
    return int(timestamps[0])


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        pass
    raise NotText  # outside the handler, so that no error that carries the body hangs on it


def _signer(text: str, header: str, secrets: Sequence[str]) -> str | None:
    for secret in secrets:
        if _is_signed_with(text, header, secret):
            return secret
    return None


def _is_signed_with(text: str, header: str, secret: str) -> bool:
    try:
        return bool(WebhookSignature.verify_header(text, header, secret, tolerance=None))
    except SignatureVerificationError:
        return False
