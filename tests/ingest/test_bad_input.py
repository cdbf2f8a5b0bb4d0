"""Item 8: whatever comes in, the documented answer, the right rows, and nothing of it in a log."""

import asyncio
from typing import TypeAlias

import asyncpg
import pytest

from ingest.rate_limited_log import RATE_LIMITED_LOG
from tests.ingest.bad_input import CASES, Case
from tests.ingest.running import Ingest, Reply
from tests.ingest.webhooks import CANARY, OTHER_SECRET, SECRET, signed, webhook
from tests.waiting import until

Postgres: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def test_bad_input_gets_its_answer_and_leaves_no_trace_of_itself(
    ingest: Ingest,
    postgres: Postgres,
    capfd: pytest.CaptureFixture[str],
    subtests: pytest.Subtests,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Status, code, rows; and no secret, body or signature in any log or error row."""
    monkeypatch.setattr(RATE_LIMITED_LOG, "_per_second", 1_000)  # say everything, so that silence hides nothing
    for case in CASES:
        with subtests.test(case.name):
            headers = case.headers(case.body)
            reply = await ingest.send(case.body, headers)
            await _check(case, reply, postgres)
            signature = headers.get("Stripe-Signature", "").partition("v1=")[2]
            logged = "".join(capfd.readouterr()) + str(await postgres.fetch("SELECT * FROM error_logs"))
            assert not [hidden for hidden in (SECRET, OTHER_SECRET, CANARY, signature) if hidden and hidden in logged]
        await postgres.execute("TRUNCATE webhook_logs, webhook_delivery, error_logs")


async def _check(case: Case, reply: Reply, postgres: Postgres) -> None:
    assert reply.status == case.status
    assert "Server" not in reply.headers
    if case.code is None:
        assert (reply.json["received"], reply.json["duplicate"]) == (True, False)
        assert case.body == await postgres.fetchval("SELECT sluice_body(body, body_id) FROM webhook_logs")
    else:
        assert reply.code == case.code
        assert CANARY not in str(reply.json)
    assert await postgres.fetchval("SELECT count(*) FROM webhook_logs") == case.rows
    await until(lambda: _has_error_rows(postgres, case.error_rows), within_seconds=5)


async def _has_error_rows(postgres: Postgres, count: int) -> bool:
    rows = await postgres.fetch("SELECT kind, message, request_data FROM error_logs")
    assert {row["kind"] for row in rows} <= {"webhook"}
    return len(rows) == count


async def test_other_paths_and_methods_are_refused(ingest: Ingest, subtests: pytest.Subtests) -> None:
    """There are two routes and one method, and nothing of the admin port."""
    body = webhook()
    cases = (
        ("GET", "/api/stripe-webhook", 405, "method_not_allowed"),
        ("PUT", "/api/stripe-webhook/7", 405, "method_not_allowed"),
        ("POST", "/", 404, "not_found"),
        ("POST", "/api/stripe-webhook/", 404, "not_found"),
        ("POST", "/api/stripe-webhook/a/b", 404, "not_found"),
        ("POST", "/api/stripe-webhook/%00", 404, "not_found"),
        ("POST", "/api/stripe-webhook/%0d%0a", 404, "not_found"),
        ("POST", "/api/stripe-webhook/" + "7" * 129, 404, "not_found"),
        ("POST", "/api/stripe-webhook/%D9%A7", 404, "not_found"),
        ("POST", "/metrics", 404, "not_found"),
        ("GET", "/livez", 404, "not_found"),
    )
    for method, path, status, code in cases:
        with subtests.test(f"{method} {path}"):
            reply = await ingest.send(body, signed(body), path=path, method=method)
            assert (reply.status, reply.code) == (status, code)
            assert ("Allow" in reply.headers) == (status == 405)


async def test_a_head_request_gets_no_body(ingest: Ingest) -> None:
    """As HTTP has it; else the next answer on this connection would be misread."""
    assert (await ingest.send(b"", {}, method="HEAD")).status == 405
    assert (await ingest.deliver(webhook())).status == 200


async def test_a_query_string_changes_nothing(ingest: Ingest) -> None:
    """Some people mark their endpoints so."""
    assert (await ingest.deliver(webhook(), path="/api/stripe-webhook?from=stripe")).status == 200


async def test_the_answer_names_the_event(ingest: Ingest) -> None:
    """The documented JSON, word for word."""
    body = webhook("evt_named")
    assert (await ingest.deliver(body)).json == {"received": True, "id": "evt_named", "duplicate": False}
    assert (await ingest.deliver(body)).json == {"received": True, "id": "evt_named", "duplicate": True}


async def test_a_developer_is_told_where_the_secret_comes_from(
    ingest: Ingest, capfd: pytest.CaptureFixture[str]
) -> None:
    """`stripe listen` has a secret of its own, which is often forgotten."""
    body = webhook()

    async def is_told() -> bool:
        await ingest.send(body, signed(body, OTHER_SECRET))
        return "stripe listen --print-secret" in capfd.readouterr().err

    await until(is_told, within_seconds=5)  # a second's budget of such lines may be spent


async def test_a_flood_of_forgeries_fills_no_log(ingest: Ingest, capfd: pytest.CaptureFixture[str]) -> None:
    """A stranger may cost us a few lines a second, not one a request."""
    body = webhook()
    await asyncio.gather(*(ingest.send(body, signed(body, OTHER_SECRET)) for _ in range(60)))
    assert capfd.readouterr().err.count("webhook_refused") <= 15
