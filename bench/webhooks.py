"""Distinct, signed, realistic webhooks of two to four kilobytes, as the bytes of whole HTTP requests."""

import hashlib
import hmac
import itertools
import json
import time
from collections.abc import Iterator

PATH = "/api/stripe-webhook"
TYPES = ("payment_intent.created", "payment_intent.succeeded")
ORGANISED = 1_000
"""How many rows of ``events`` the payments are for."""

_STATUS = {"payment_intent.created": "requires_payment_method", "payment_intent.succeeded": "succeeded"}
_EVENT = "evt_bench{serial:016x}"
_INTENT = "pi_bench{serial:017x}"


def signed_requests(secret: str, *, host: str, first_serial: int) -> Iterator[bytes]:
    """Requests without end, each with an id and a signature of its own; two for each payment."""
    templates = itertools.cycle([_template(event_type) for event_type in TYPES])
    for serial, template in zip(itertools.count(first_serial), templates, strict=False):
        payment = serial // len(TYPES)
        body = (
            template.replace(b"EVENT_ID", _EVENT.format(serial=serial).encode())
            .replace(b"INTENT_ID", _INTENT.format(serial=payment).encode())
            .replace(b"ORGANISED_ID", organised(payment % ORGANISED).encode())
        )
        yield _request(body, host=host, signature=sign(body, secret))


def organised(number: int) -> str:
    """``events.id`` of one of those that are paid for."""
    return f"{number:08x}-0000-4000-8000-000000000000"


def sign(body: bytes, secret: str) -> str:
    """The ``Stripe-Signature`` header of a body, as of now."""
    now = int(time.time())
    digest = hmac.digest(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hex()
    return f"t={now},v1={digest}"


def _request(body: bytes, *, host: str, signature: str) -> bytes:
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nStripe-Signature: {signature}\r\nUser-Agent: Stripe/1.0\r\n\r\n"
    )
    return head.encode() + body


def _template(event_type: str) -> bytes:
    event = {
        "id": "EVENT_ID",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": int(time.time()),
        "data": {"object": _payment_intent(_STATUS[event_type])},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": "req_8kQ2mZbV1xYw3T", "idempotency_key": "5f2b9c1e-7d34-4a5e-9f1a-3c2b1d0e9f88"},
        "type": event_type,
    }
    return json.dumps(event, indent=2).encode()


def _payment_intent(status: str) -> dict[str, object]:
    empty = dict.fromkeys(_UNSET_FIELDS)
    return empty | {
        "id": "INTENT_ID",
        "object": "payment_intent",
        "amount": 4200,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 4200 if status == "succeeded" else 0,
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
        "capture_method": "automatic_async",
        "client_secret": "INTENT_ID_secret_0123456789abcdefghijklmno",
        "confirmation_method": "automatic",
        "created": int(time.time()),
        "currency": "eur",
        "description": "Two tickets, row 7, seats 12 and 13, evening performance",
        "livemode": False,
        "metadata": {
            "event_id": "ORGANISED_ID",
            "cart": "b7e0c9a4-6f0d-4c57-8a43-2f1d5b6c7e88",
            "channel": "web",
            "locale": "en-GB",
            "campaign": "autumn",
        },
        "payment_method_configuration_details": {"id": "pmc_1Pq8XzB7WZ01zgkWbench", "parent": None},
        "payment_method_options": {
            "card": {
                "installments": None,
                "mandate_options": None,
                "network": None,
                "request_three_d_secure": "automatic",
            },
            "sepa_debit": {"mandate_options": {"reference_prefix": "TICKETS-"}},
            "klarna": {"preferred_locale": None},
            "link": {"persistent_token": None},
        },
        "payment_method_types": ["card", "klarna", "link", "sepa_debit", "paypal", "bancontact", "ideal"],
        "receipt_email": None,
        "shipping": {
            "address": {
                "city": "Rotterdam",
                "country": "NL",
                "line1": "Wilhelminakade 137",
                "line2": None,
                "postal_code": "3072 AP",
                "state": None,
            },
            "name": "A. Customer",
        },
        "status": status,
    }


_UNSET_FIELDS = (
    "application",
    "application_fee_amount",
    "canceled_at",
    "cancellation_reason",
    "customer",
    "customer_account",
    "excluded_payment_method_types",
    "hooks",
    "last_payment_error",
    "latest_charge",
    "next_action",
    "on_behalf_of",
    "payment_details",
    "payment_method",
    "presentment_details",
    "processing",
    "review",
    "setup_future_usage",
    "source",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_data",
    "transfer_group",
)
