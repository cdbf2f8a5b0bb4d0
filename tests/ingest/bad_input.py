"""The table of what may come in: each request, and what must come of it."""

import gzip
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from tests.ingest.webhooks import CANARY, OTHER_SECRET, signed, webhook

Headers: TypeAlias = Mapping[str, str]


def without(name: str) -> Callable[[bytes], Headers]:
    """The right headers but for one."""
    return lambda body: {key: value for key, value in signed(body).items() if key != name}


def with_header(name: str, value: str) -> Callable[[bytes], Headers]:
    """The right headers and one more, or another."""
    return lambda body: {**signed(body), name: value}


def padded(length: int) -> bytes:
    """A body of exactly this length."""
    body = webhook("evt_padded")
    return body[:-1] + b" " * (length - len(body)) + b"}"


@dataclass(frozen=True)
class Case:
    """One request, and what must come of it."""

    name: str
    body: bytes
    status: int
    code: str | None = None
    rows: int = 0
    error_rows: int = 0
    headers: Callable[[bytes], Headers] = field(default=signed)


NOT_JSON = "unsupported_media_type"
CASES = [
    Case("no signature", webhook(), 400, "missing_signature", headers=without("Stripe-Signature")),
    Case("empty signature", webhook(), 400, "missing_signature", headers=with_header("Stripe-Signature", "")),
    Case("junk signature", webhook(), 400, "malformed_signature", headers=with_header("Stripe-Signature", "é=1")),
    Case("wrong secret", webhook(), 400, "invalid_signature", headers=lambda body: signed(body, OTHER_SECRET)),
    Case("altered byte", webhook(), 400, "invalid_signature", headers=lambda body: signed(body + b" ")),
    Case("old timestamp", webhook(), 400, "stale_timestamp", headers=lambda body: signed(body, at=time.time() - 310)),
    Case("future", webhook(), 400, "future_timestamp", headers=lambda body: signed(body, at=time.time() + 310)),
    Case("10 MiB", padded(10 * 1024 * 1024), 413, "body_too_large"),
    Case("one byte too many", padded(2 * 1024 * 1024 + 1), 413, "body_too_large"),
    Case("as large as allowed", padded(2 * 1024 * 1024), 200, rows=1),
    Case("gzip", gzip.compress(webhook()), 415, NOT_JSON, headers=with_header("Content-Encoding", "gzip")),
    Case("form", webhook(), 415, NOT_JSON, headers=with_header("Content-Type", "application/x-www-form-urlencoded")),
    Case("text", webhook(), 415, NOT_JSON, headers=with_header("Content-Type", "text/json")),
    Case("empty", b"", 400, "malformed_event", error_rows=1),
    Case("not JSON", b"<xml/>", 400, "malformed_event", error_rows=1),
    Case("NaN", webhook().replace(b"1790000000", b"NaN"), 400, "malformed_event", error_rows=1),
    Case("a list", b"[1]", 400, "malformed_event", error_rows=1),
    Case("deep JSON", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400, "malformed_event", error_rows=1),
    Case("invalid UTF-8", webhook().replace(b"canary", b"\xff\xfe"), 400, "malformed_event"),
    Case("another object", webhook(object="customer"), 400, "malformed_event", error_rows=1),
    Case("no id", webhook(id=None), 400, "malformed_event", error_rows=1),
    Case("300-character id", webhook("evt_" + "x" * 296), 400, "malformed_event", error_rows=1),
    Case("id with CRLF", webhook("evt_1\r\nX: y"), 400, "malformed_event", error_rows=1),
    Case("id with a tenant's mark", webhook("evt_1@7"), 400, "malformed_event", error_rows=1),
    Case("endless created", webhook(created=10**18), 400, "malformed_event", error_rows=1),
    Case("255-character id", webhook("evt_" + "x" * 251), 200, rows=1),
    Case(r"\u0000", webhook(data={"object": {"id": "pi_1", "description": "\x00"}}), 200, rows=1),
    Case("lone surrogate", webhook().replace(CANARY.encode(), rb"\ud800"), 200, rows=1),
    Case("unknown type", webhook(type="brand_new.thing"), 200, rows=1),
    Case("thin event", webhook(object="v2.core.event", created="2026-11-01T10:00:00.000Z"), 200, rows=1),
    Case("connected account", webhook(account="acct_1"), 200, rows=1),
    Case("object without id", webhook(type="invoice.upcoming", data={"object": {}}), 200, rows=1),
]  # fmt: skip
