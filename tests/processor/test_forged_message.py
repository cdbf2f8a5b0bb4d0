"""Any publisher can name any row: what is run is what the row holds, and other messages are reported."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from processor.outcome import Missing, Work
from processor.worker.reporter import Reporter
from processor.worker.worker import Worker
from sluice.contract.codec import Envelope, encode
from sluice.contract.event import StripeEvent
from sluice.error_log.error_log import ErrorLog
from sluice.registry import Transaction, handles
from tests.metrics import counted
from tests.processor.harness import Harness, Message, event

ALTERED: Mapping[str, object] = {
    "body": b'{"object": "event", "type": "test.effect", "data": {"object": {"amount": 1}}}',
    "type": "test.other",
    "account": "acct_other",
    "livemode": False,
    "created": 1,
    "api_version": "2019-01-01",
    "object_id": "ch_other",
    "tenant": "8",
}


def forged(of: StripeEvent, field: str) -> StripeEvent:
    """The same id, and one field that the row does not hold."""
    return replace(of, **{field: ALTERED[field]})  # type: ignore[arg-type]


@pytest.fixture
def harness(harness: Harness) -> Harness:
    """A harness in which a second type would have the effect too, also of an organiser's event."""

    @handles("test.effect", "test.other", registry=harness.registry, organisers=True)
    async def see(of: StripeEvent, tx: Transaction) -> None:
        await tx.execute("INSERT INTO seen VALUES ($1, $2, $3, $4)", of.stripe_event_id, of.type, of.account, of.body)

    return harness


@pytest.fixture(autouse=True)
async def _seen(harness: Harness) -> None:
    await harness.database.execute("CREATE TABLE seen (id text, type text, account text, body bytea)")


async def _is_its_own(harness: Harness, genuine: StripeEvent) -> bool:
    rows = await harness.database.fetch("SELECT * FROM seen")
    return [tuple(row) for row in rows] == [(genuine.stripe_event_id, genuine.type, genuine.account, genuine.body)]


@pytest.mark.parametrize("place", ["before", "together", "after"])
@pytest.mark.parametrize("field", ALTERED)
async def test_a_forged_message_is_not_run_and_seen(harness: Harness, field: str, place: str) -> None:
    """Wherever it comes, the row has its own effect once, without a burnt attempt, and a critical error names it."""
    [genuine] = await harness.recorded(event())
    forgery, before = Message(forged(genuine.event, field)), counted("webhook_messages_forged_total")
    for fetch in {
        "before": [[forgery], [genuine]],
        "together": [[forgery, genuine]],
        "after": [[genuine], [forgery]],
    }[place]:
        await harness.take(*fetch)
    row = await harness.row(genuine.event)
    assert (row["processed"], row["processing_attempts"], row["solo_starts"]) == (True, 0, 0)
    assert await _is_its_own(harness, genuine.event)
    assert (forgery.is_acknowledged, genuine.is_acknowledged) == (True, True)
    [error] = await harness.error_rows()
    assert (error["severity"], error["stripe_event_id"]) == ("critical", genuine.event.stripe_event_id)
    assert f"({field})" in error["message"]
    assert counted("webhook_messages_forged_total") == (before or 0) + 1


@pytest.mark.parametrize("field", ALTERED)
async def test_a_forged_message_that_comes_again_leaves_no_start_on_the_row(harness: Harness, field: str) -> None:
    """A committed start counts towards death, and this is not the row's message."""
    [genuine] = await harness.recorded(event())
    forgery = Message(forged(genuine.event, field))
    for _ in range(5):
        forgery = forgery.again()
        await harness.take(forgery)
        assert forgery.is_acknowledged
        assert (await harness.row(genuine.event))["solo_starts"] == 0
    await harness.take(genuine)
    assert await _is_its_own(harness, genuine.event)


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize("row_is", ["waiting", "processed", "locked"])
async def test_a_large_body_is_compared_too(harness: Harness, row_is: str, isolated: bool) -> None:
    """It does not travel back: its digest tells. One byte is enough to be seen, wherever the row is."""
    large = replace(event(), body=json.dumps({"object": "event", "filler": "x" * 200_000}).encode())
    [genuine] = await harness.recorded(large)
    if row_is == "processed":
        await harness.take(genuine)
    tampered = Message(replace(large, body=large.body[:-3] + b'y"}'), deliveries=1 + isolated)
    async with harness.database.acquire() as other, other.transaction():
        if row_is == "locked":
            await other.execute("SELECT FROM webhook_logs FOR UPDATE")
        await harness.take(tampered)
    assert tampered.is_acknowledged
    [error] = await harness.error_rows()
    assert "(body)" in error["message"]
    await harness.take(Message(large, deliveries=1 + isolated))
    assert await _is_its_own(harness, large)
    assert len(await harness.error_rows()) == 1


async def test_a_message_cannot_name_another_organisers_row(harness: Harness) -> None:
    """Neither as the platform's event, nor as the sender's own."""
    theirs = replace(event(), stripe_event_id="evt_1@7", tenant="7")
    await harness.record(theirs)
    await harness.take(Message(replace(theirs, tenant=None)), Message(replace(theirs, tenant="8")))
    assert not (await harness.row(theirs))["processed"]
    await harness.take(Message(theirs))
    assert await _is_its_own(harness, theirs)


async def test_a_message_under_its_subject_of_before_the_upgrade_is_processed(harness: Harness) -> None:
    """An organiser's event had the platform's subject then, or that of the account in its body."""
    theirs = replace(event(), stripe_event_id="evt_1@7", tenant="7", account="acct_other")
    [message] = await harness.recorded(theirs)
    for subject in ("stripe.live.acct_other.test.effect", "stripe.live.platform.test.effect"):
        await harness.worker().take([replace(message.incoming(), subject=subject)])
    assert await _is_its_own(harness, theirs)
    assert await harness.error_rows() == []


@pytest.mark.parametrize("attempt", [1, 7, 2**31 - 1, -1])
async def test_a_forged_attempt_is_not_run(harness: Harness, attempt: int) -> None:
    """A number that the row has not reached says nothing."""
    [genuine] = await harness.recorded(event())
    await harness.take(Message(genuine.event, attempt=attempt))
    assert (await harness.row(genuine.event))["processing_attempts"] == 0
    await harness.take(genuine)
    assert await _is_its_own(harness, genuine.event)


@pytest.mark.parametrize("deliveries", [1, 2])
async def test_an_event_that_fails_is_not_hurried_to_its_death(harness: Harness, deliveries: int) -> None:
    """Messages with the right number, sent by others before the attempt is due, burn none."""

    @handles("test.fails", registry=harness.registry)
    async def fail(of: StripeEvent, tx: Transaction) -> None:
        raise ValueError

    [failing] = await harness.recorded(event("test.fails"))
    await harness.take(failing)
    for _ in range(20):
        hurrying = Message(failing.event, attempt=1, deliveries=deliveries)
        await harness.worker().take([hurrying.incoming()])
        assert hurrying.is_acknowledged
    row = await harness.row(failing.event)
    assert (row["processing_attempts"], row["solo_starts"], row["dead_at"]) == (1, 0, None)
    await harness.set_row(failing.event, "next_attempt_at = now()")
    await harness.worker().take([Message(failing.event, attempt=1).incoming()])
    assert (await harness.row(failing.event))["processing_attempts"] == 2


@pytest.mark.parametrize("field", ["type", "account", "api_version", "object_id", "tenant"])
@pytest.mark.parametrize("deliveries", [1, 2])
async def test_a_text_that_postgresql_cannot_hold_burns_no_attempt(
    harness: Harness, field: str, deliveries: int
) -> None:
    """PostgreSQL would call it a bad value, and a bad value is the event's own failure."""
    [genuine] = await harness.recorded(event())
    hostile = replace(genuine.event, **{field: "a\x00b"})  # type: ignore[arg-type]
    forgery = Message(hostile, deliveries=deliveries, payload=encode(Envelope(hostile, 0)))
    await harness.take(forgery)
    assert forgery.is_acknowledged
    assert (await harness.row(genuine.event))["processing_attempts"] == 0
    await harness.take(genuine)
    assert await _is_its_own(harness, genuine.event)


async def test_a_message_by_reference_runs_what_the_row_holds(harness: Harness) -> None:
    """It has no body of its own to compare; its other fields are compared all the same."""
    [genuine] = await harness.recorded(event())
    reference = replace(genuine.event, body=b"")
    await harness.take(Message(replace(reference, type="test.other")))
    assert not (await harness.row(genuine.event))["processed"]
    await harness.take(Message(reference))
    assert await _is_its_own(harness, genuine.event)


async def test_a_row_of_an_earlier_application_is_run_as_the_relay_reads_it(harness: Harness) -> None:
    """Columns that it left NULL travel as false, as zero, or not at all."""
    adopted = StripeEvent("evt_old", "test.effect", 0, False, None, None, None, None, b'{"object": "event"}')
    await harness.database.execute(
        "INSERT INTO webhook_logs (stripe_event_id, webhook_type, body, published_at) VALUES ($1, $2, $3, now())",
        adopted.stripe_event_id,
        adopted.type,
        adopted.body,
    )
    await harness.take(Message(adopted))
    assert await _is_its_own(harness, adopted)


async def test_a_row_that_holds_no_body_runs_no_body_of_a_message(harness: Harness) -> None:
    """An earlier application's row that was not filled cannot be filled from the stream."""
    [genuine] = await harness.recorded(event())
    await harness.set_row(genuine.event, "body = NULL")
    await harness.take(genuine)
    row = await harness.row(genuine.event)
    assert (row["processed"], row["processing_attempts"]) == (False, 0)


async def test_a_late_copy_of_a_webhook_whose_body_is_gone_is_no_forgery(harness: Harness) -> None:
    """A webhook that is over may lose its body; its message stays in the stream for days."""
    [genuine] = await harness.recorded(event())
    await harness.take(genuine)
    await harness.set_row(genuine.event, "body = NULL")
    late = genuine.again()
    await harness.take(late)
    assert late.is_acknowledged
    assert await harness.error_rows() == []


async def test_a_flood_of_forgeries_leaves_a_few_error_rows(harness: Harness) -> None:
    """All are counted; the same one is told once, and of many a few."""
    genuine = await harness.recorded(*(event() for _ in range(60)))
    worker, before = harness.worker(), counted("webhook_messages_forged_total") or 0
    for _ in range(3):
        await worker.take([Message(forged(message.event, "body")).incoming() for message in genuine])
    assert counted("webhook_messages_forged_total") == before + 180
    assert 1 <= len(await harness.error_rows()) <= 25
    assert await harness.database.fetch("SELECT FROM webhook_logs WHERE processed OR processing_attempts > 0") == []
    assert worker.reporter.forged_age_seconds is not None


async def test_floods_of_unknown_and_unreadable_messages_leave_bounded_rows(harness: Harness) -> None:
    """The other two that a stranger may send without end; a failover's losses are still named one by one."""
    log = ErrorLog(harness.errors._arguments["dsn"], service="processor", capacity=5_000)
    worker: Worker = replace(harness.worker(), reporter=Reporter(log, ()))
    await worker.take([Message(event(), payload=b"\xff\xff").incoming() for _ in range(100)])
    assert len(log._waiting) <= 25
    for _ in range(1_500):
        worker.reporter.answered(Work(event(), 0, Message(event()).incoming()), Missing())
    assert 1_000 <= len(log._waiting) <= 1_100
