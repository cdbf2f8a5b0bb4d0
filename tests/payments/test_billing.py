"""Rows of ``subscription`` and ``invoice`` on a real PostgreSQL: the newest word, whatever way the words came."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import pairwise, permutations
from typing import Any

import asyncpg
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processor.payments.billing import keep_subscriptions
from sluice.contract.document import Json, JsonObject
from sluice.contract.event import StripeEvent
from sluice.payments.same_second import MOST_WORDS
from tests.payments.harness import Counted, Harness
from tests.payments.history import NOON, event
from tests.payments.strategies import HARBOUR
from tests.waiting import until

_ON_ONE_DATABASE = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def said(verb: str, status: str, was: str | None = None, at: int = 0, **fields: Json) -> StripeEvent:
    """One event of a subscription, which was in another status before."""
    previous: JsonObject | None = None if was is None else {"status": was}
    return event(f"customer.subscription.{verb}", at, **{"status": status, "previous": previous, **fields})


async def row_after(harness: Harness, table: str, *batches: Sequence[StripeEvent]) -> Mapping[str, Any]:
    """The row that these batches leave; nothing of it stays."""
    undo = harness.tx.transaction()
    await undo.start()
    try:
        for batch in batches:
            await harness.receive(*batch)
            await harness.apply(*batch)
        row = await harness.tx.fetchrow(f"SELECT * FROM {table}")  # noqa: S608
        assert row is not None
        return {name: value for name, value in row.items() if name not in ("updated_at", "events_id")}
    finally:
        await undo.rollback()


async def test_the_word_that_says_what_was_before_stands_in_every_order(harness: Harness) -> None:
    """Three words of one second: created, past due, and active again, which the statuses alone would hide."""
    words = [
        said("created", "incomplete"),
        said("updated", "past_due", "incomplete", cancel_at_period_end=True),
        said("updated", "active", "past_due", latest_invoice="in_9"),
    ]
    at_once = await row_after(harness, "subscription", words)
    assert (at_once["status"], at_once["stripe_event_id"]) == ("active", words[2].stripe_event_id)
    for order in permutations(words):
        assert await row_after(harness, "subscription", *([one] for one in order)) == at_once
        assert await row_after(harness, "subscription", order[:2], order[1:], order[:1]) == at_once


async def test_an_invoice_too_is_compared_by_what_was_before(harness: Harness) -> None:
    """One that was voided and, in the same second, is open again."""
    words = [
        event("invoice.finalized", status="open"),
        event("invoice.voided", status="void"),
        event("invoice.updated", status="open", previous={"status": "void"}, amount_paid=7),
    ]
    at_once = await row_after(harness, "invoice", words)
    assert (at_once["status"], at_once["amount_paid"]) == ("open", 7)
    for order in permutations(words):
        assert await row_after(harness, "invoice", *([one] for one in order)) == at_once


statuses = st.sampled_from(("incomplete", "active", "past_due"))
words = st.builds(
    said,
    st.sampled_from(("created", "updated", "updated", "deleted")),
    statuses,
    st.none() | statuses,
    st.integers(0, 1),
    quantity=st.integers(1, 3),
    cancel_at=st.sampled_from((None, NOON)),
)


@_ON_ONE_DATABASE
@given(
    told=st.lists(words, min_size=1, max_size=11),
    chance=st.randoms(use_true_random=False),
    cuts=st.sets(st.integers(1, 12)),
)
async def test_order_repeats_and_batches_do_not_matter(
    harness: Harness, told: list[StripeEvent], chance: Any, cuts: set[int]
) -> None:
    """The row is a function of the set of words, beyond those that are compared too."""
    again = [*told, *told[:2]]
    chance.shuffle(again)
    edges = [0, *sorted(cut for cut in cuts if cut < len(again)), len(again)]
    batches = [again[start:end] for start, end in pairwise(edges)]
    assert await row_after(harness, "subscription", *batches) == await row_after(harness, "subscription", told)


async def test_two_transactions_at_once_end_as_one_after_the_other(
    harness: Harness, connect: Callable[[], Awaitable["asyncpg.Connection[asyncpg.Record]"]]
) -> None:
    """Each has a word of the same second that the other has not seen; the later statement waits for the row."""
    first, second, third = (
        said("created", "incomplete"),
        said("updated", "past_due", "incomplete"),
        said("updated", "active", "past_due"),
    )
    expected = await row_after(harness, "subscription", [first, second, third])
    one, other = await connect(), Harness(await connect())
    await harness.receive(first, second, third)
    undo = one.transaction()
    await undo.start()
    await keep_subscriptions([third], one)
    waits = asyncio.create_task(keep_subscriptions([second, first], other.tx))
    await until(lambda: _is_waiting(harness))
    await undo.commit()
    await asyncio.wait_for(waits, 30)
    row = await harness.tx.fetchrow("SELECT * FROM subscription")
    assert row is not None
    assert {name: row[name] for name in expected} == expected


async def _is_waiting(harness: Harness) -> bool:
    query = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(await harness.tx.fetchval(query))


async def test_a_second_of_many_words_keeps_the_last_ones(harness: Harness) -> None:
    """A row does not grow with the number of signed events."""
    told = [said("updated", "active", quantity=number) for number in range(3 * MOST_WORDS)]
    row = await row_after(harness, "subscription", *([one] for one in told))
    assert row == await row_after(harness, "subscription", told)
    assert len(orjson.loads(row["newest_second"])) == MOST_WORDS


async def test_a_newer_second_forgets_the_older_one(harness: Harness) -> None:
    """And an older word that comes late changes nothing."""
    newer = said("updated", "active", at=1)
    row = await row_after(
        harness, "subscription", [said("created", "incomplete")], [newer], [said("updated", "past_due")]
    )
    assert row == await row_after(harness, "subscription", [newer])


async def test_a_second_told_in_one_batch_costs_one_statement(harness: Harness) -> None:
    """Only one that is told in several costs more; what is known already costs no write."""
    words = [said("created", "incomplete"), said("updated", "active", "incomplete"), said("updated", "active", at=3)]
    counted = Counted(harness.tx)
    limited = Harness(counted)

    async def cost(*told: StripeEvent) -> int:
        await harness.receive(*told)
        before = counted.statements
        await keep_subscriptions(told, limited.tx)
        return counted.statements - before

    assert await cost(words[0]) == 1
    assert await cost(words[1]) == 3
    assert await cost(*words[:2]) == 1
    assert await cost(words[2]) == 1
    assert await cost(*words) == 1


@pytest.mark.parametrize("is_logged", [True, False])
@pytest.mark.parametrize("is_stale", [True, False])
@pytest.mark.parametrize(
    ("status", "was", "expected"), [("active", "past_due", "active"), ("incomplete", None, "past_due")]
)
async def test_a_row_of_the_release_before_is_compared_too(
    harness: Harness, status: str, was: str | None, expected: str, *, is_logged: bool, is_stale: bool
) -> None:
    """It kept no ids; during a rolling update it leaves those of an older second standing."""
    before, older, later = said("updated", "past_due"), said("updated", "canceled", at=-5), said("updated", status, was)
    await harness.receive(older, later, *([before] if is_logged else []))
    await harness.apply(before)
    kept = {older.stripe_event_id: "canceled"} if is_stale else {}
    await harness.tx.execute("UPDATE subscription SET newest_second = $1", orjson.dumps(kept).decode())
    await harness.apply(later)
    await harness.apply(later)
    assert await harness.tx.fetchval("SELECT status FROM subscription") == expected


async def test_a_word_that_is_not_logged_any_more_is_compared_by_its_status(harness: Harness) -> None:
    """Deleting old webhooks loses no status; a misshapen one fails no other."""
    words = [said("updated", "past_due"), said("created", "incomplete"), said("updated", "active", "past_due")]
    await harness.receive(*words)
    await harness.apply(*words[:2])
    await harness.tx.execute("UPDATE webhook_logs SET body = NULL WHERE stripe_event_id = $1", words[0].stripe_event_id)
    await harness.tx.execute("UPDATE webhook_logs SET body = '[]' WHERE stripe_event_id = $1", words[1].stripe_event_id)
    await harness.apply(words[2])
    assert await harness.tx.fetchval("SELECT status FROM subscription") == "active"
    await harness.apply(said("updated", "incomplete"))
    assert await harness.tx.fetchval("SELECT status FROM subscription") == "active"


@pytest.mark.parametrize("fields", [{"id": "sub_other"}, {"at": 3}])
async def test_a_log_that_holds_another_webhook_under_that_id_changes_no_status(
    harness: Harness, fields: dict[str, Any]
) -> None:
    """Test events reuse ids: the row's own word is then known by its status alone."""
    first, other = said("updated", "past_due"), said("updated", "canceled", **fields)
    await harness.receive(other)
    await harness.tx.execute("UPDATE webhook_logs SET stripe_event_id = $1", first.stripe_event_id)
    await harness.tx.execute(
        "UPDATE webhook_logs SET body = convert_to(replace(convert_from(body, 'UTF8'), $1, $2), 'UTF8')",
        other.stripe_event_id,
        first.stripe_event_id,
    )
    await harness.apply(first)
    for later, expected in (("incomplete", "past_due"), ("unpaid", "unpaid")):
        await harness.apply(said("updated", later))
        assert await harness.tx.fetchval("SELECT status FROM subscription") == expected


async def test_an_organisers_words_stay_in_the_organisers_scope(harness: Harness) -> None:
    """A webhook that is read again keeps the key of its row."""
    words = [said("updated", "past_due", tenant=HARBOUR), said("updated", "active", "past_due", tenant=HARBOUR)]
    row = await row_after(harness, "subscription", *([one] for one in words))
    assert (row["scope"], row["status"]) == (f"tenant:{HARBOUR}", "active")


async def test_a_subscription_says_when_it_ends(harness: Harness) -> None:
    """When it will, when that was asked for, when it did, and until when it was free."""
    ends: Mapping[str, Json] = {
        "cancel_at": NOON + 4, "canceled_at": NOON + 3, "ended_at": NOON + 2, "trial_end": NOON + 1,
    }  # fmt: skip
    names = ", ".join(f"extract(epoch FROM {name})::bigint AS {name}" for name in ends)
    await harness.apply(said("updated", "active", at=1))
    row = await harness.tx.fetchrow(f"SELECT {names} FROM subscription")  # noqa: S608
    assert row is not None
    assert set(row.values()) == {None}
    await harness.apply(said("deleted", "canceled", None, 2, **ends))
    row = await harness.tx.fetchrow(f"SELECT {names} FROM subscription")  # noqa: S608
    assert row is not None
    assert dict(row) == ends


async def test_a_time_that_is_none_is_null(harness: Harness) -> None:
    """A misshapen end fails no event."""
    await harness.apply(said("updated", "active", cancel_at="soon", canceled_at=-1, ended_at=2**62, trial_end=True))
    assert (
        await harness.tx.fetchval("SELECT num_nonnulls(cancel_at, canceled_at, ended_at, trial_end) FROM subscription")
        == 0
    )
