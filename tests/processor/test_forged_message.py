"""Whoever may publish to the stream can name any row: what is run is what the row holds, and the others are told of."""

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
from tests.processor.workshop import Message, Workshop, event

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
def shop(workshop: Workshop) -> Workshop:
    """A workshop in which a second type would have the effect too, also of an organiser's event."""

    @handles("test.effect", "test.other", registry=workshop.registry, organisers=True)
    async def see(of: StripeEvent, tx: Transaction) -> None:
        await tx.execute("INSERT INTO seen VALUES ($1, $2, $3, $4)", of.stripe_event_id, of.type, of.account, of.body)

    return workshop


@pytest.fixture(autouse=True)
async def _seen(workshop: Workshop) -> None:
    await workshop.database.execute("CREATE TABLE seen (id text, type text, account text, body bytea)")


async def _is_its_own(shop: Workshop, genuine: StripeEvent) -> bool:
    rows = await shop.database.fetch("SELECT * FROM seen")
    return [tuple(row) for row in rows] == [(genuine.stripe_event_id, genuine.type, genuine.account, genuine.body)]


@pytest.mark.parametrize("place", ["before", "together", "after"])
@pytest.mark.parametrize("field", ALTERED)
async def test_a_forged_message_is_not_run_and_seen(shop: Workshop, field: str, place: str) -> None:
    """Wherever it comes, the row has its own effect once, without a burnt attempt, and a critical error names it."""
    [genuine] = await shop.recorded(event())
    forgery, before = Message(forged(genuine.event, field)), counted("webhook_messages_forged_total")
    for fetch in {
        "before": [[forgery], [genuine]],
        "together": [[forgery, genuine]],
        "after": [[genuine], [forgery]],
    }[place]:
        await shop.take(*fetch)
    row = await shop.row(genuine.event)
    assert (row["processed"], row["processing_attempts"], row["solo_starts"]) == (True, 0, 0)
    assert await _is_its_own(shop, genuine.event)
    assert (forgery.is_acknowledged, genuine.is_acknowledged) == (True, True)
    [error] = await shop.error_rows()
    assert (error["severity"], error["stripe_event_id"]) == ("critical", genuine.event.stripe_event_id)
    assert f"({field})" in error["message"]
    assert counted("webhook_messages_forged_total") == (before or 0) + 1


@pytest.mark.parametrize("field", ALTERED)
async def test_a_forged_message_that_comes_again_leaves_no_start_on_the_row(shop: Workshop, field: str) -> None:
    """Whose start is committed counts towards death, and this is not the row's message."""
    [genuine] = await shop.recorded(event())
    forgery = Message(forged(genuine.event, field))
    for _ in range(5):
        forgery = forgery.again()
        await shop.take(forgery)
        assert forgery.is_acknowledged
        assert (await shop.row(genuine.event))["solo_starts"] == 0
    await shop.take(genuine)
    assert await _is_its_own(shop, genuine.event)


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("row_is", ["waiting", "processed", "locked"])
async def test_a_large_body_is_compared_too(shop: Workshop, row_is: str, alone: bool) -> None:
    """It does not travel back: its digest tells. One byte is enough to be seen, wherever the row is."""
    large = replace(event(), body=json.dumps({"object": "event", "filler": "x" * 200_000}).encode())
    [genuine] = await shop.recorded(large)
    if row_is == "processed":
        await shop.take(genuine)
    tampered = Message(replace(large, body=large.body[:-3] + b'y"}'), deliveries=1 + alone)
    async with shop.database.acquire() as other, other.transaction():
        if row_is == "locked":
            await other.execute("SELECT FROM webhook_logs FOR UPDATE")
        await shop.take(tampered)
    assert tampered.is_acknowledged
    [error] = await shop.error_rows()
    assert "(body)" in error["message"]
    await shop.take(Message(large, deliveries=1 + alone))
    assert await _is_its_own(shop, large)
    assert len(await shop.error_rows()) == 1


async def test_a_message_cannot_name_another_organisers_row(shop: Workshop) -> None:
    """Neither as the platform's event, nor as the sender's own."""
    theirs = replace(event(), stripe_event_id="evt_1@7", tenant="7")
    await shop.record(theirs)
    await shop.take(Message(replace(theirs, tenant=None)), Message(replace(theirs, tenant="8")))
    assert not (await shop.row(theirs))["processed"]
    await shop.take(Message(theirs))
    assert await _is_its_own(shop, theirs)


async def test_a_message_under_its_subject_of_before_the_upgrade_is_processed(shop: Workshop) -> None:
    """An organiser's event had the platform's subject then, or that of the account in its body."""
    theirs = replace(event(), stripe_event_id="evt_1@7", tenant="7", account="acct_other")
    [message] = await shop.recorded(theirs)
    for subject in ("stripe.live.acct_other.test.effect", "stripe.live.platform.test.effect"):
        await shop.worker().take([replace(message.incoming(), subject=subject)])
    assert await _is_its_own(shop, theirs)
    assert await shop.error_rows() == []


@pytest.mark.parametrize("attempt", [1, 7, 2**31 - 1, -1])
async def test_a_forged_attempt_is_not_run(shop: Workshop, attempt: int) -> None:
    """A number that the row has not reached says nothing."""
    [genuine] = await shop.recorded(event())
    await shop.take(Message(genuine.event, attempt=attempt))
    assert (await shop.row(genuine.event))["processing_attempts"] == 0
    await shop.take(genuine)
    assert await _is_its_own(shop, genuine.event)


@pytest.mark.parametrize("deliveries", [1, 2])
async def test_an_event_that_fails_is_not_hurried_to_its_death(workshop: Workshop, deliveries: int) -> None:
    """Messages with the right number, sent by others before the attempt is due, burn none."""

    @handles("test.fails", registry=workshop.registry)
    async def fail(of: StripeEvent, tx: Transaction) -> None:
        raise ValueError

    [failing] = await workshop.recorded(event("test.fails"))
    await workshop.take(failing)
    for _ in range(20):
        hurrying = Message(failing.event, attempt=1, deliveries=deliveries)
        await workshop.worker().take([hurrying.incoming()])
        assert hurrying.is_acknowledged
    row = await workshop.row(failing.event)
    assert (row["processing_attempts"], row["solo_starts"], row["dead_at"]) == (1, 0, None)
    await workshop.set_row(failing.event, "next_attempt_at = now()")
    await workshop.worker().take([Message(failing.event, attempt=1).incoming()])
    assert (await workshop.row(failing.event))["processing_attempts"] == 2


@pytest.mark.parametrize("field", ["type", "account", "api_version", "object_id", "tenant"])
@pytest.mark.parametrize("deliveries", [1, 2])
async def test_a_text_that_postgresql_cannot_hold_burns_no_attempt(shop: Workshop, field: str, deliveries: int) -> None:
    """PostgreSQL would call it a bad value, and a bad value is the event's own failure."""
    [genuine] = await shop.recorded(event())
    hostile = replace(genuine.event, **{field: "a\x00b"})  # type: ignore[arg-type]
    forgery = Message(hostile, deliveries=deliveries, payload=encode(Envelope(hostile, 0)))
    await shop.take(forgery)
    assert forgery.is_acknowledged
    assert (await shop.row(genuine.event))["processing_attempts"] == 0
    await shop.take(genuine)
    assert await _is_its_own(shop, genuine.event)


async def test_a_message_by_reference_runs_what_the_row_holds(shop: Workshop) -> None:
    """It has no body of its own to compare; its other fields are compared all the same."""
    [genuine] = await shop.recorded(event())
    reference = replace(genuine.event, body=b"")
    await shop.take(Message(replace(reference, type="test.other")))
    assert not (await shop.row(genuine.event))["processed"]
    await shop.take(Message(reference))
    assert await _is_its_own(shop, genuine.event)


async def test_a_row_of_an_earlier_application_is_run_as_the_relay_reads_it(shop: Workshop) -> None:
    """Columns that it left NULL travel as false, as zero, or not at all."""
    adopted = StripeEvent("evt_old", "test.effect", 0, False, None, None, None, None, b'{"object": "event"}')
    await shop.database.execute(
        "INSERT INTO webhook_logs (stripe_event_id, webhook_type, body, published_at) VALUES ($1, $2, $3, now())",
        adopted.stripe_event_id,
        adopted.type,
        adopted.body,
    )
    await shop.take(Message(adopted))
    assert await _is_its_own(shop, adopted)


async def test_a_row_that_holds_no_body_runs_no_body_of_a_message(shop: Workshop) -> None:
    """An earlier application's row that nobody filled is nobody's to fill from the stream."""
    [genuine] = await shop.recorded(event())
    await shop.set_row(genuine.event, "body = NULL")
    await shop.take(genuine)
    row = await shop.row(genuine.event)
    assert (row["processed"], row["processing_attempts"]) == (False, 0)


async def test_a_late_copy_of_a_webhook_whose_body_is_gone_is_no_forgery(shop: Workshop) -> None:
    """What is over may lose its body; its message stays in the stream for days."""
    [genuine] = await shop.recorded(event())
    await shop.take(genuine)
    await shop.set_row(genuine.event, "body = NULL")
    late = genuine.again()
    await shop.take(late)
    assert late.is_acknowledged
    assert await shop.error_rows() == []


async def test_a_flood_of_forgeries_leaves_a_few_error_rows(shop: Workshop) -> None:
    """All are counted; the same one is told once, and of many a few."""
    genuine = await shop.recorded(*(event() for _ in range(60)))
    worker, before = shop.worker(), counted("webhook_messages_forged_total") or 0
    for _ in range(3):
        await worker.take([Message(forged(message.event, "body")).incoming() for message in genuine])
    assert counted("webhook_messages_forged_total") == before + 180
    assert 1 <= len(await shop.error_rows()) <= 25
    assert await shop.database.fetch("SELECT FROM webhook_logs WHERE processed OR processing_attempts > 0") == []
    assert worker.reporter.forged_age_seconds is not None


async def test_floods_of_unknown_and_unreadable_messages_leave_bounded_rows(workshop: Workshop) -> None:
    """The other two that a stranger may send without end; a failover's losses are still named one by one."""
    log = ErrorLog(workshop.errors._arguments["dsn"], service="processor", capacity=5_000)
    worker: Worker = replace(workshop.worker(), reporter=Reporter(log, ()))
    await worker.take([Message(event(), payload=b"\xff\xff").incoming() for _ in range(100)])
    assert len(log._waiting) <= 25
    for _ in range(1_500):
        worker.reporter.answered(Work(event(), 0, Message(event()).incoming()), Missing())
    assert 1_000 <= len(log._waiting) <= 1_100
