"""A rehearsal tells exactly what a retry or a replay then does, and leaves nothing behind."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processor.failures.classify import blame
from processor.operations import rehearse
from processor.operations.halving import run_in_parts
from processor.operations.stored import read_stored
from processor.outcome import Attempt
from sluice.contract.event import StripeEvent
from sluice.inbox.operations import Decision
from sluice.inbox.states import WAITING, State
from sluice.operations import book
from sluice.operations.diff import Change, ColumnChange, Diff, RowChange, TableCount
from sluice.operations.filters import Filter
from sluice.operations.run import Runner
from sluice.operations.verbs import Verb
from sluice.postgres.pool import Database
from tests.payments.harness import Harness, two_rows
from tests.payments.history import charge, event, intent, names, parent, refund
from tests.payments.strategies import CELLAR, HARBOUR, any_event
from tests.processor.harness import RECORD, columns_of
from tests.processor.harness import event as small_event
from tests.processor.operations.shop import TABLES, Snapshot, Stage, snapshot

_ON_ONE_DATABASE = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
EMPTY = """
TRUNCATE payment, payment_fact, subscription, invoice, webhook_logs, thin_fetch, error_logs, webhook_death,
         customer_point, ticket, ticket_of;
UPDATE counter SET count = 0;
UPDATE events SET payment_status = 'pending', stripe_payment_intent_id = NULL, last_webhook_received = NULL;
"""
OTHERS = ("customer_point", "ticket", "ticket_of")


@pytest_asyncio.fixture
async def db(database_url: str) -> Any:
    """A connection of the owner's, with a shop's tables and two rows of events."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(TABLES)
    await two_rows(Harness(connection))
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def stage(db: object, role_url: Callable[[str], str]) -> Any:
    """A processor with its own rights."""
    async with Database.connect(role_url("processor"), application_name="test") as database:
        yield Stage(database, handler_seconds=1)


async def record(db: Any, events: Sequence[StripeEvent], state: str = "dead_at = now(), outcome = 'failed'") -> None:
    """Webhooks in this state, in their order."""
    await db.executemany(RECORD, [columns_of(one) for one in events])
    await db.execute(
        f"UPDATE webhook_logs SET published_at = NULL, {state} WHERE stripe_event_id = ANY ($1)",  # noqa: S608
        [one.stripe_event_id for one in events],
    )


async def execute(stage: Stage, db: Any, verb: Verb) -> None:
    """The operation, and then a processor's run of what is due."""
    states = [State.DEAD, State.PROCESSED] if verb is Verb.REPLAY else []
    number = await book.start(db, verb, Filter(types=["*"], states=states), Decision("ada", "mended"))
    await Runner(db, number, lambda _: None).run()
    ids = [item.item_id for item in await book.items_of(db, number, at_most=999)]
    processor, failures = stage.processor(), stage.failures()

    async def run(works: Sequence[Attempt]) -> None:
        await processor.process(works)  # type: ignore[arg-type]

    async def fail(work: Attempt, error: Exception) -> None:
        await failures.record(work, error, blame(error))  # type: ignore[arg-type]

    async with stage.database.acquire() as connection:
        works = await read_stored(connection, ids)
    await run_in_parts([work for work in works if work.state == "queued" or verb is Verb.RETRY], run, fail)


def differences(before: Snapshot, after: Snapshot) -> Mapping[Any, Any]:
    """Changes of rows as a rehearsal tells them: columns by table and key."""
    found = {}
    for table in before:
        for key in before[table].keys() | after[table].keys():
            was, now = before[table].get(key), after[table].get(key)
            columns = {
                name: (((was or {}).get(name), (now or {}).get(name)))
                for name in {**(was or {}), **(now or {})}
                if (was or {}).get(name) != (now or {}).get(name)
            }
            if columns or (was is None) != (now is None):
                found[table, key] = columns
    return found


def told(rows: Sequence[RowChange]) -> Mapping[Any, Any]:
    """The same of a diff."""
    return {
        (row.table, tuple(row.key)): {column.name: (column.before, column.after) for column in row.columns}
        for row in rows
    }


async def states(db: Any) -> Mapping[str, tuple[str, str | None]]:
    """State and outcome of each webhook."""
    ids = [row[0] for row in await db.fetch("SELECT stripe_event_id FROM webhook_logs ORDER BY id")]
    return {one.event_id: (one.state, one.outcome) for one in await read_stored(db, ids)}


histories = st.lists(any_event, min_size=1, max_size=10, unique_by=lambda one: one.stripe_event_id)


@_ON_ONE_DATABASE
@given(
    done=histories,
    waiting=histories,
    stored=st.sampled_from((None, "pi_1", "pi_legacy")),
    verb=st.sampled_from((Verb.REPLAY, Verb.RETRY)),
)
async def test_a_rehearsal_tells_what_the_operation_then_does(
    stage: Stage, db: Any, done: list[StripeEvent], waiting: list[StripeEvent], stored: str | None, verb: Verb
) -> None:
    """Of any history, part of which is processed: each row, each count, and each webhook's state."""
    await db.execute(EMPTY)
    await db.execute("UPDATE events SET stripe_payment_intent_id = $1 WHERE id::text = $2", stored, CELLAR)
    await tells_what_follows(stage, db, done, waiting, verb)


async def test_a_payment_that_moves_with_its_invoice_is_told(stage: Stage, db: Any) -> None:
    """Although no webhook that runs is about it."""
    links = [event("invoice_payment.paid", 1), intent("succeeded", 1)]
    told_later = event("invoice.paid", 2, parent=parent(metadata=names(HARBOUR)))
    diff = await tells_what_follows(stage, db, links, [told_later], Verb.RETRY)
    assert len(diff.webhooks) == 1
    assert ("payment", ("live:platform", "pi_1")) in told(diff.rows)
    assert (("events", (HARBOUR,))) in told(diff.rows)


async def test_what_only_the_commit_would_refuse_is_told(stage: Stage, db: Any) -> None:
    """A deferred constraint; its neighbour is processed."""
    events = [intent("succeeded", 1, amount_received=1900), intent("succeeded", 2, amount_received=4900)]
    diff = await tells_what_follows(stage, db, [], events)
    assert [one.state for one in diff.webhooks] == ["failed", "processed"]
    problem = diff.webhooks[0].problem
    assert problem is not None
    assert "constraint ticket_of_ticket_id_fkey" in problem


async def test_what_was_rolled_back_is_not_counted(stage: Stage, db: Any) -> None:
    """A handler that failed wrote before; PostgreSQL counts its row all the same."""
    diff = await tells_what_follows(
        stage, db, [], [refund("created", 1, amount=3000), refund("created", 2, amount=1900)]
    )
    assert [one.problem is None for one in diff.webhooks] == [False, True]
    assert "Refused in handler" in str(diff.webhooks[0].problem)
    assert list(diff.tables) == [TableCount("customer_point", 1, 0, 0)]


async def test_a_handler_that_acts_outside_is_not_called(stage: Stage, db: Any) -> None:
    """It is named; and one that asks whether it is a rehearsal keeps its mail."""
    await record(db, [intent("created", 1), intent("processing", 2)])
    diff = await stage.rehearse(list(await states(db)))
    assert list(diff.left_out) == ["tests.processor.operations.shop.Shop.send_mail"]
    assert (stage.shop.mails, len(stage.shop.mails_withheld)) == ([], 1)
    assert list(diff.tables) == [TableCount("customer_point", 1, 0, 0)]
    await execute(stage, db, Verb.REPLAY)
    assert len(stage.shop.mails) == 2


async def test_a_handler_that_hangs_takes_no_other_webhook_with_it(stage: Stage, db: Any) -> None:
    """It loses the connection, so the rest runs again in another transaction."""
    good, bad = charge("succeeded", 1), a_webhook("shop.hangs")
    await record(db, [bad, good])
    noted: list[str] = []
    diff = await stage.rehearse([bad.stripe_event_id, good.stripe_event_id], noted=noted)
    stage.shop.hangs_at = "none"  # the loop's end cancels it once more
    assert [one.state for one in diff.webhooks] == ["failed", "processed"]
    assert "hang" in str(diff.webhooks[0].problem)
    assert noted == [bad.stripe_event_id, good.stripe_event_id]
    assert {one.table for one in diff.tables} == {"customer_point", "counter"}


async def test_one_handler_by_itself_is_rehearsed_without_the_others(stage: Stage, db: Any) -> None:
    """The webhooks stay processed, and what a waiting handler wrote is undone."""
    events = [charge("succeeded", 1), charge("refunded", 2)]
    await record(db, events, "processed = true, processed_at = now()")
    name = "tests.processor.operations.shop.Shop.give_points"
    diff = await stage.rehearse([one.stripe_event_id for one in events], handler=name)
    assert [(one.state, one.outcome) for one in diff.webhooks] == [("processed", "applied")] * 2
    assert (diff.rows, list(diff.tables)) == (
        [],
        [TableCount("counter", 0, 2, 0), TableCount("customer_point", 2, 0, 0)],
    )
    await record(db, [a_webhook("shop.waits")], "processed = true, processed_at = now()")
    waiting = await stage.rehearse(["evt_shop_waits"], handler="tests.processor.operations.shop.Shop.wait")
    [webhook] = waiting.webhooks
    assert webhook.state == "processed"
    assert str(webhook.problem).startswith("Waiting: waits for row 7")
    assert waiting.is_empty


async def test_a_row_that_no_payment_is_about_is_told_too(stage: Stage, db: Any) -> None:
    """A handler may write to any row of events; people know it by its name."""
    await db.execute("UPDATE events SET name = 'Harbour' WHERE id::text = $1", HARBOUR)
    await record(db, [a_webhook("shop.renames")])
    diff = await stage.rehearse(["evt_shop_renames"])
    assert list(diff.rows) == [
        RowChange("events", [HARBOUR], Change.UPDATED, [ColumnChange("payment_status", "pending", "mine")], "Harbour")
    ]
    assert list(diff.tables) == []


async def test_a_webhook_in_another_state_is_left_as_it_is(stage: Stage, db: Any) -> None:
    """A retry takes none that is dead."""
    await record(db, [charge("succeeded", 1)])
    [key] = await states(db)
    [webhook] = (await stage.rehearse([key], verb=Verb.RETRY)).webhooks
    assert (webhook.state_before, webhook.state) == ("dead", "dead")
    assert "left as it is" in str(webhook.problem)


async def test_of_a_large_table_of_events_what_is_not_known_is_counted(
    stage: Stage, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To compare all of its rows would take too long."""
    monkeypatch.setattr(rehearse, "MOST_EVENTS_ROWS", -1)
    await db.execute("UPDATE events SET name = 'Harbour' WHERE id::text = $1", HARBOUR)
    await record(db, [a_webhook("shop.renames")])
    diff = await stage.rehearse(["evt_shop_renames"])
    assert (diff.rows, list(diff.tables)) == ([], [TableCount("events", 0, 1, 0)])
    diff = await tells_what_follows(stage, db, [], [intent("succeeded", 1, metadata=names(CELLAR))], Verb.RETRY)
    assert ("events", (CELLAR,)) in told(diff.rows)


async def test_a_webhook_whose_run_alone_did_not_end_runs_alone(stage: Stage, db: Any) -> None:
    """As in a processor; its neighbours run together."""
    events = [charge("succeeded", 1), charge("succeeded", 2)]
    await record(db, events, "next_attempt_at = now()")
    await db.execute("UPDATE webhook_logs SET solo_starts = 1 WHERE stripe_event_id = $1", events[0].stripe_event_id)
    diff = await stage.rehearse([one.stripe_event_id for one in events], verb=Verb.RETRY)
    assert [one.state for one in diff.webhooks] == ["processed", "processed"]


async def test_a_rehearsal_that_takes_too_long_ends(stage: Stage, db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its locks are held for no longer."""
    monkeypatch.setattr(rehearse, "SECONDS", 0.3)
    await record(db, [a_webhook("shop.hangs")])
    with pytest.raises(TimeoutError):
        await stage.rehearse(["evt_shop_hangs"])
    stage.shop.hangs_at = "none"
    assert await db.fetchval("SELECT count(*) FROM customer_point") == 0


async def tells_what_follows(
    stage: Stage, db: Any, done: Sequence[StripeEvent], waiting: Sequence[StripeEvent], verb: Verb = Verb.REPLAY
) -> Diff:
    """Process some, rehearse the others, then carry them out: it changes what was told, and the rehearsal nothing."""
    await record(db, done, "next_attempt_at = now()")
    await execute(stage, db, Verb.RETRY)
    known = await states(db)
    fresh = [one for one in waiting if one.stripe_event_id not in known]
    await record(db, fresh, "dead_at = now(), outcome = 'failed'" if verb is Verb.REPLAY else "next_attempt_at = now()")
    taken = ("dead", "processed") if verb is Verb.REPLAY else [str(state) for state in WAITING]
    items = [event_id for event_id, (state, _) in (await states(db)).items() if state in taken]
    before = await snapshot(db)
    counted = await counts(db)
    diff = await stage.rehearse(items, verb=verb)
    assert (await snapshot(db), await counts(db)) == (before, counted)
    await execute(stage, db, verb)
    after = await states(db)
    assert told(diff.rows) == differences(before, await snapshot(db))
    assert {one.stripe_event_id: one.state for one in diff.webhooks} == {one: after[one][0] for one in items}
    grown = {table: count - counted[table] for table, count in (await counts(db)).items()}
    assert {one.table: one.inserted or one.updated for one in diff.tables} == {t: c for t, c in grown.items() if c}
    return diff


async def counts(db: Any) -> Mapping[str, int]:
    """Rows of the shop's tables; of the one that is updated, how often."""
    found = {table: await db.fetchval(f"SELECT count(*) FROM {table}") for table in OTHERS}  # noqa: S608
    return {**found, "counter": await db.fetchval("SELECT count FROM counter")}


def a_webhook(event_type: str, event_id: str | None = None) -> StripeEvent:
    """One of the shop's own types."""
    return small_event(event_type, event_id=event_id or f"evt_{event_type}".replace(".", "_"))
