"""Webhooks leave no trace where operators look: no secret and nothing of a body."""

import io
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

import aiohttp
import asyncpg
import pytest
import pytest_asyncio

from devstack.options import Options
from devstack.stack import Stack
from tests.devstack.folders import reachable_folder
from tests.ingest.bad_input import CASES
from tests.ingest.webhooks import CANARY, OTHER_SECRET, SECRET, signed, webhook
from tests.system.traffic import PATH
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

TENANT_SECRET = "whsec_canary_tenant_91bc"
# Types with handlers of ours, and the marker where each of them wants to read something else.
MISLED = [
    webhook(type=kind, data={"object": {"id": f"{prefix}_misled", "object": kind.partition(".")[0], **wrong}})
    for kind, prefix in (("payment_intent.succeeded", "pi"), ("charge.refunded", "ch"), ("invoice.paid", "in"))
    for wrong in (
        {"amount": CANARY, "amount_received": CANARY, "created": CANARY, "currency": CANARY},
        {"metadata": {"event_id": CANARY}, "client_reference_id": CANARY, "receipt_email": CANARY},
    )
]


def _payment(payment: str, **more: object) -> bytes:
    told = {"id": payment, "object": "payment_intent", "status": "succeeded", "amount": 1, "amount_received": 1}
    return webhook(data={"object": {**told, "currency": "eur", "created": 1, "description": CANARY, **more}})


# A payment that PostgreSQL refuses, so that its handler fails, and one that waits for a row that is never made.
UNWELCOME = "ALTER TABLE payment_fact ADD CONSTRAINT unwelcome CHECK (payment_id <> 'pi_unwelcome')"
REFUSED = _payment("pi_unwelcome")
PARKED = _payment("pi_waits", metadata={"event_id": "7d0f2d5e-0000-4000-8000-000000000000", "note": CANARY})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[Stack]:
    """One that knows the secret of the bad input, and says everything it can."""
    with reachable_folder() as folder:
        options = Options(folder=folder / "local", port=0, webhook_secrets=(SECRET,), extra={"LOG_LEVEL": "debug"})
        async with Stack(options) as stack:
            yield stack


async def test_no_secret_and_nothing_of_a_body_shows_in_logs_error_rows_or_metrics(stack: Stack) -> None:
    """After every kind of bad input, through the public URL and an organiser's, with every outcome."""
    connection = await asyncpg.connect(stack.database_url)
    try:
        tenant = await connection.fetchval(
            "INSERT INTO events (name, webhook_secret) VALUES ('a', $1) RETURNING id::text", TENANT_SECRET
        )
        await connection.execute(UNWELCOME)
        signatures = await _send_everything(stack, f"{PATH}/{tenant}")
        await until(lambda: _each_way_was_gone(connection), within_seconds=60, what="each outcome")
        shown = await _shown(stack, connection)
    finally:
        await connection.close()
    hidden = {"secret": SECRET, "other": OTHER_SECRET, "tenant's": TENANT_SECRET, "ours": stack.webhook_secret}
    hidden |= {f"{name}'s password": stack.servers.postgres.password(name) for name in stack.services}
    hidden |= {"body": CANARY} | {f"signature {number}": v1 for number, v1 in enumerate(signatures)}
    assert [(where, what) for where, text in shown.items() for what, value in hidden.items() if value in text] == []
    assert "webhook_refused" in shown["ingest.log"]  # so these are the logs of what was sent
    assert "event_processed" in shown["processor.log"]
    assert "CheckViolation" in shown["last_error"]
    assert "malformed_event" in shown["ingest /metrics"]


def _parcels(tenant_path: str) -> Iterator[tuple[bytes, Mapping[str, str], str, int]]:
    """Body, headers, path and the status that must be answered."""
    for case in CASES:
        yield case.body, case.headers(case.body), PATH, case.status
    for body in (*MISLED, REFUSED, PARKED, webhook("evt_twice"), webhook("evt_twice", type="another.body")):
        yield body, signed(body), PATH, 200
    thin = webhook(object="v2.core.event", created="2026-11-01T10:00:00.000Z")
    yield thin, signed(thin, TENANT_SECRET), tenant_path, 200
    body = webhook()
    yield body, signed(body, TENANT_SECRET), tenant_path, 200
    yield body, signed(body, SECRET), tenant_path, 400


async def _send_everything(stack: Stack, tenant_path: str) -> Sequence[str]:
    """Post it all; the signatures that were sent along."""
    signatures = []
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        for body, headers, path, status in _parcels(tenant_path):
            signatures.append(headers.get("Stripe-Signature", "").partition("v1=")[2])
            async with session.post(stack.gateway_url + path, data=io.BytesIO(body), headers=headers) as answer:
                assert answer.status == status, (path, headers, await answer.text())
    return [signature for signature in signatures if signature]


async def _each_way_was_gone(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    outcomes = {row["outcome"] for row in await connection.fetch("SELECT outcome FROM webhook_logs")}
    return outcomes == {"applied", "ignored", "parked", "failed", "unsupported", "unfetchable"}


async def _shown(stack: Stack, connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, str]:
    """All that an operator may see, by where it stands."""
    pages = {}
    async with aiohttp.ClientSession() as session:
        for name, service in stack.services.items():
            for page in ("/metrics", "/status", "/readyz?verbose"):
                async with session.get(service.admin_url + page) as answer:
                    pages[f"{name} {page}"] = await answer.text()
        async with session.get(f"{stack.gateway_url}/api/health") as answer:
            pages["/api/health"] = await answer.text()
    logs = {path.name: path.read_text(errors="replace") for path in stack.folder.root.rglob("*.log")}
    rows = await connection.fetch("SELECT * FROM error_logs")
    failures = await connection.fetch("SELECT last_error FROM webhook_logs")
    return pages | logs | {"error_logs": str(rows), "last_error": str(failures)}
