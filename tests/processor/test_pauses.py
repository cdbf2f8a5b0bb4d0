"""A covered webhook waits in its row, whichever way it came; the end of the pause lets it go, and nothing counted."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from processor.bulkhead.side_worker import SideWorker
from processor.failures.classify import Blame
from processor.outcome import Locked, Work
from processor.queue.deferral import Deferral
from processor.queue.direct import Direct
from processor.queue.leases import Leases
from processor.queue.pauses import FRESH_SECONDS, KnownPauses, Resumption
from processor.worker.pause_gate import PauseGate
from sluice.contract.thin import PING
from sluice.inbox.pauses import Kind, Pause, Traits, matches
from sluice.inbox.states import State
from sluice.operations.pauses import Target
from sluice.postgres.pool import Database, Record
from sluice.registry import Registry, handles
from tests.postgres.pgbouncer import pgbouncer
from tests.processor.harness import Harness, Message, event, thin_event, with_effects
from tests.processor.pausing import A_HANDLER, A_TYPE, AN_ACCOUNT, EVERYTHING, Pausing

WAITING = "SELECT stripe_event_id, pause_id FROM paused_webhook ORDER BY position"


@pytest.fixture
def pausing(harness: Harness) -> Pausing:
    """A processor that heeds pauses."""
    return Pausing(harness)


@pytest.mark.parametrize("target", [EVERYTHING, A_TYPE, AN_ACCOUNT, A_HANDLER], ids=str)
async def test_what_is_covered_waits_and_has_its_effect_after_the_end(target: Target, pausing: Pausing) -> None:
    """Its message is acknowledged, no attempt is counted, and one effect comes of it at last."""
    of = replace(event(), account="acct_1")
    [message] = await pausing.harness.recorded(of)
    pause_id = await pausing.pause(target)
    await pausing.harness.take(message)
    assert message.is_acknowledged
    assert await pausing.states(of) == [State.PAUSED]
    assert await pausing.harness.effects() == {}
    await pausing.resume(pause_id)
    await pausing.let_go()
    assert await pausing.states(of) == [State.QUEUED]
    await pausing.take_due(of)
    row = await pausing.harness.row(of)
    assert (row["processed"], row["outcome"], row["processing_attempts"]) == (True, "applied", 0)
    assert await pausing.harness.effects() == {of.stripe_event_id: 1}
    assert await pausing.harness.database.fetch(WAITING) == []


@pytest.mark.parametrize("target", [Target(Kind.TYPE, "test.other"), Target(Kind.ACCOUNT, "acct_2")], ids=str)
async def test_what_is_not_covered_runs(target: Target, pausing: Pausing) -> None:
    """Beside what waits, in the same fetch."""
    free, covered = event(), replace(event("test.other"), account="acct_2")
    await pausing.pause(target)
    await pausing.harness.take(*await pausing.harness.recorded(covered, free))
    assert await pausing.states(covered, free) == [State.PAUSED, State.PROCESSED]
    assert await pausing.harness.effects() == {free.stripe_event_id: 1}


async def test_without_nats_what_is_due_waits_as_well(pausing: Pausing) -> None:
    """It is taken from PostgreSQL once, and not again while the pause lasts."""
    events = [event() for _ in range(5)]
    await pausing.harness.record(*events)
    await pausing.pause(EVERYTHING)
    assert await pausing.take_directly() == 5
    assert await pausing.take_directly() == 0
    assert set(await pausing.states(*events)) == {State.PAUSED}


async def test_a_retry_that_falls_due_waits_and_keeps_its_attempts(pausing: Pausing) -> None:
    """Until its time has come it is as it was; what failed goes on failing afterwards, not from the start."""
    of = event()
    await pausing.harness.record(of, attempts=3)
    await pausing.harness.set_row(
        of, "published_at = NULL, outcome = 'failed', next_attempt_at = now() + interval '1 h'"
    )
    pause_id = await pausing.pause(EVERYTHING)
    assert await pausing.take_due(of) == []
    assert await pausing.states(of) == [State.FAILED]
    await pausing.harness.set_row(of, "next_attempt_at = now()")
    await pausing.take_due(of)
    assert await pausing.states(of) == [State.PAUSED]
    await pausing.resume(pause_id)
    await pausing.let_go()
    assert await pausing.states(of) == [State.FAILED]
    assert (await pausing.harness.row(of))["processing_attempts"] == 3


async def test_the_time_of_a_pause_counts_against_no_patience(pausing: Pausing) -> None:
    """A parked one looks for its row for as long as if there had been none; so does one that waits for a lock."""
    of = event()
    await pausing.harness.record(of)
    await pausing.harness.set_row(of, "parked_at = now() - interval '1 h', postponed_at = now() - interval '2 h'")
    pause_id = await pausing.pause(EVERYTHING)
    await pausing.harness.take(Message(of))
    await pausing.harness.database.execute("UPDATE paused_webhook SET paused_at = now() - interval '8 days'")
    await pausing.harness.set_row(
        of, "parked_at = parked_at - interval '8 d', postponed_at = postponed_at - interval '8 d'"
    )
    await pausing.resume(pause_id)
    await pausing.let_go()
    [row] = await pausing.harness.database.fetch(
        "SELECT now() - parked_at AS a, now() - postponed_at AS b FROM webhook_logs"
    )
    assert timedelta(minutes=59) < row["a"] < timedelta(minutes=61)
    assert timedelta(minutes=119) < row["b"] < timedelta(minutes=121)


async def test_the_time_of_a_pause_is_no_delay(pausing: Pausing) -> None:
    """Or the end of a pause would break the promise about effects."""
    of = event()
    await pausing.harness.record(of)
    await pausing.harness.set_row(of, "created_at = now() - interval '1 day'")
    pause_id = await pausing.pause(EVERYTHING)
    await pausing.harness.take(Message(of))
    await pausing.resume(pause_id)
    await pausing.let_go()
    assert (await pausing.harness.row(of))["resumed_at"] is not None
    async with pausing.harness.database.acquire() as tx, tx.transaction():
        delay = await tx.fetchval(
            "SELECT delay_seconds"
            " FROM sluice_settle_batch(ARRAY[$1::text], ARRAY['applied'], pg_current_xact_id()::text)",
            of.stripe_event_id,
        )
    assert delay < 60


async def test_a_thin_event_waits_as_its_twin_would(pausing: Pausing) -> None:
    """It is not fetched from Stripe either; after the end it goes its way."""
    of = thin_event("evt_thin_1")
    [message] = await pausing.harness.recorded(of)
    pause_id = await pausing.pause(A_HANDLER)
    await pausing.harness.take(message)
    assert await pausing.states(of) == [State.PAUSED]
    await pausing.resume(pause_id)
    await pausing.let_go()
    await pausing.take_due(of)
    assert await pausing.states(of) == [State.FETCHING]


async def test_a_ping_passes(pausing: Pausing) -> None:
    """It has no effect, and tells that all else is on its way."""
    ping = thin_event("evt_ping_1", PING)
    [message] = await pausing.harness.recorded(ping)
    await pausing.pause(EVERYTHING)
    await pausing.harness.take(message)
    assert (await pausing.harness.row(ping))["outcome"] == "ping"


async def test_a_handlers_pause_lets_those_organisers_pass_whose_events_it_does_not_take(pausing: Pausing) -> None:
    """An organiser's event goes to those handlers alone that ask for it."""
    of = replace(event(), tenant="7", stripe_event_id="evt_1@7")
    [message] = await pausing.harness.recorded(of)
    await pausing.pause(A_HANDLER)
    await pausing.harness.take(message)
    assert (await pausing.harness.row(of))["outcome"] == "ignored"


async def test_what_waits_in_a_side_worker_does_not_run(pausing: Pausing) -> None:
    """It was fetched before the pause began."""
    of = event()
    [message] = await pausing.harness.recorded(of)
    harness = pausing.harness
    side = SideWorker(harness.worker(), Deferral(harness.database), harness.stop, Leases(Direct(harness.database), 30))
    await side.put([Work(of, 0, message.incoming())])
    await pausing.pause(EVERYTHING)
    await side.run_once()
    assert message.is_acknowledged
    assert await pausing.states(of) == [State.PAUSED]
    assert await harness.effects() == {}


async def test_one_that_may_kill_its_process_is_not_begun(pausing: Pausing) -> None:
    """A start that would count stays uncounted, and those of before are kept."""
    of = event()
    [message] = await pausing.harness.recorded(of)
    await pausing.harness.set_row(of, "solo_starts = 2")
    await pausing.pause(EVERYTHING)
    again = replace(message, deliveries=2)
    await pausing.harness.take(again)
    assert again.is_acknowledged
    assert await pausing.states(of) == [State.PAUSED]
    assert (await pausing.harness.row(of))["solo_starts"] == 2


async def test_batches_of_one_second_share_one_look(pausing: Pausing) -> None:
    """While nothing is paused, that is all a pause costs: no statement for a batch, none for a webhook."""
    now = 1_000.0
    pausing.known.clock = lambda: now
    asked = _asked_of(pausing.harness.database)
    for message in await pausing.harness.recorded(*(event() for _ in range(30))):
        await pausing.harness.take(message)
    assert sum("FROM pause" in query for query in asked) == 1
    now += 2 * FRESH_SECONDS
    await pausing.harness.take(*await pausing.harness.recorded(event()))
    assert sum("FROM pause" in query for query in asked) == 2


def _asked_of(database: Database) -> Sequence[str]:
    """Every query that it is asked from now on."""
    asked: list[str] = []
    fetch = database.fetch

    async def noted(query: str, *arguments: object, **options: float) -> Sequence[Record]:
        asked.append(query)
        return await fetch(query, *arguments, **options)

    vars(database)["fetch"] = noted
    return asked


async def test_all_of_a_fetch_come_to_wait_by_one_statement(pausing: Pausing) -> None:
    """And the next look at them finds none that could be taken."""
    events = [event() for _ in range(30)]
    messages = await pausing.harness.recorded(*events)
    await pausing.pause(EVERYTHING)
    await pausing.harness.take(*messages)
    [row] = await pausing.harness.database.fetch("SELECT count(DISTINCT xmin::text) FROM paused_webhook")
    assert row[0] == 1
    [row] = await pausing.harness.database.fetch("SELECT sluice_count_due(10)")
    assert row[0] == 0


async def test_a_late_message_of_what_waits_changes_nothing(pausing: Pausing) -> None:
    """JetStream may bring it again; it is acknowledged, and counts no attempt."""
    of = event()
    [message] = await pausing.harness.recorded(of)
    await pausing.pause(EVERYTHING)
    await pausing.harness.take(message)
    again = message.again()
    await pausing.harness.worker().take([again.incoming()])
    assert again.is_acknowledged
    assert await pausing.states(of) == [State.PAUSED]


async def test_a_failure_of_before_the_pause_that_is_told_late_counts_nothing(pausing: Pausing) -> None:
    """The row waits already, and stays where it is."""
    of = event()
    [message] = await pausing.harness.recorded(of)
    await pausing.pause(EVERYTHING)
    await pausing.harness.take(message)
    store = pausing.harness.worker().failure_store
    await store.record(Work(of, 0, message.incoming()), ValueError("late"), Blame.EVENT)
    assert await pausing.states(of) == [State.PAUSED]
    assert (await pausing.harness.row(of))["processing_attempts"] == 0


async def test_a_forged_message_moves_no_row(pausing: Pausing) -> None:
    """It says a type that is paused, and its row has another: publishing rights hold nothing up."""
    of = event("test.effect")
    await pausing.harness.record(of)
    await pausing.pause(Target(Kind.TYPE, "test.other"))
    forged = Message(replace(of, type="test.other"))
    await pausing.harness.take(forged)
    assert forged.is_acknowledged
    assert await pausing.states(of) == [State.PUBLISHED]


async def test_a_row_in_other_hands_is_neither_run_nor_moved(pausing: Pausing) -> None:
    """Its message comes again."""
    of = event()
    [message] = await pausing.harness.recorded(of)
    await pausing.pause(EVERYTHING)
    async with pausing.harness.database.acquire() as other, other.transaction():
        await other.execute("SELECT FROM webhook_logs FOR UPDATE")
        gate = PauseGate(pausing.harness.database, pausing.known)
        told = await gate.set_aside([Work(of, 0, message.incoming())])
        assert told == {of.stripe_event_id: Locked()}  # nor is it tried again to claim it, should it be free by then
        await pausing.harness.take(message)
        assert not message.is_acknowledged
    assert await pausing.harness.effects() == {}
    await pausing.harness.take(again := message.again())
    assert again.is_acknowledged
    assert await pausing.states(of) == [State.PAUSED]


async def test_what_a_pause_covered_that_has_just_ended_runs_at_once(pausing: Pausing) -> None:
    """The process has not heard of the end yet; nothing is left to wait for nothing."""
    of = event()
    [message] = await pausing.harness.recorded(of)
    pause_id = await pausing.pause(EVERYTHING)
    pausing.known.clock = lambda: 5_000.0  # no look is ever stale
    await pausing.known.in_force()
    await pausing.resume(pause_id)
    await pausing.harness.take(message)
    assert await pausing.harness.effects() == {of.stripe_event_id: 1}


async def test_the_end_of_a_pause_waits_for_what_is_being_set_aside(pausing: Pausing) -> None:
    """Nothing comes to wait for a pause after its end, so that what has let all go is empty for good."""
    of = event()
    await pausing.harness.record(of)
    pause_id = await pausing.pause(EVERYTHING)
    async with pausing.harness.database.acquire() as setting_aside:
        transaction = setting_aside.transaction()
        await transaction.start()
        await setting_aside.fetch(
            "SELECT * FROM sluice_pause_webhooks("
            "ARRAY[$1::text], ARRAY[0], ARRAY['test.effect'], '{}', '{}', ARRAY[$2::bigint])",
            of.stripe_event_id,
            pause_id,
        )
        ending = asyncio.create_task(pausing.resume(pause_id))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await asyncio.shield(ending)
        await transaction.commit()
    await ending
    await pausing.let_go()
    assert await pausing.states(of) == [State.QUEUED]


async def test_the_end_of_one_pause_leaves_what_another_covers(pausing: Pausing) -> None:
    """It waits on, for the other one, without having been tried."""
    both, one = event("test.effect"), event("test.other")
    handles("test.other", registry=pausing.harness.registry)(_take_nothing)
    messages = await pausing.harness.recorded(both, one)
    first = await pausing.pause(EVERYTHING)
    second = await pausing.pause(A_TYPE)
    await pausing.harness.take(*messages)
    await pausing.resume(first)
    await pausing.let_go()
    assert await pausing.states(both, one) == [State.PAUSED, State.QUEUED]
    assert [tuple(row) for row in await pausing.harness.database.fetch(WAITING)] == [(both.stripe_event_id, second)]
    await pausing.resume(second)
    await pausing.let_go()
    assert await pausing.states(both) == [State.QUEUED]


async def test_webhooks_are_let_go_in_their_order_and_in_steps(
    pausing: Pausing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest first, so many at a time."""
    monkeypatch.setattr("processor.queue.pauses._TOGETHER", 2)
    events = [event() for _ in range(5)]
    pause_id = await pausing.pause(EVERYTHING)
    for message in await pausing.harness.recorded(*events):
        await pausing.harness.take(message)
    await pausing.resume(pause_id)
    resumption = Resumption(pausing.harness.database, pausing.known, pausing.harness.stop)
    seen = []
    while await resumption.run_once():
        seen.append((await pausing.states(*events)).count(State.QUEUED))
    assert seen[:3] == [2, 4, 5]
    [row] = await pausing.harness.database.fetch("SELECT emptied_at IS NOT NULL AS is_empty FROM pause")
    assert row["is_empty"]


async def test_one_processor_lets_go_at_a_time(pausing: Pausing) -> None:
    """Another one leaves it to the first, and looks again."""
    of = event()
    pause_id = await pausing.pause(EVERYTHING)
    await pausing.harness.take(*await pausing.harness.recorded(of))
    await pausing.resume(pause_id)
    resumption = Resumption(pausing.harness.database, pausing.known, pausing.harness.stop)
    async with pausing.harness.database.acquire() as other, other.transaction():
        await other.execute("SELECT pg_advisory_xact_lock(hashtextextended('sluice resume', 0))")
        assert await resumption.run_once()
        assert await pausing.states(of) == [State.PAUSED]
    assert await resumption.run_once()
    assert await pausing.states(of) == [State.QUEUED]


async def test_the_processors_own_role_suffices(pausing: Pausing, role_url: Callable[[str], str]) -> None:
    """Looking, setting aside, letting go."""
    of = event()
    [message] = await pausing.harness.recorded(of)
    pause_id = await pausing.pause(EVERYTHING)
    async with Database.connect(role_url("processor"), application_name="sluice-processor") as database:
        known = KnownPauses(database, pausing.harness.registry)
        gate = PauseGate(database, known)
        assert list(await gate.set_aside([Work(of, 0, message.incoming())])) == [of.stripe_event_id]
        await pausing.resume(pause_id)
        known.forget()
        resumption = Resumption(database, known, pausing.harness.stop)
        while await resumption.run_once():
            pass
    assert await pausing.states(of) == [State.QUEUED]


async def test_behind_a_pooler_in_transaction_mode_pauses_work(pausing: Pausing, database_url: str) -> None:
    """There is no session to be told anything in; what excludes is held by transactions."""
    of = event()
    [message] = await pausing.harness.recorded(of)
    pause_id = await pausing.pause(EVERYTHING)
    async with (
        pgbouncer(database_url, "transaction") as url,
        Database.connect(url, application_name="sluice-processor", statement_cache=False) as database,
    ):
        known = KnownPauses(database, pausing.harness.registry)
        gate = PauseGate(database, known)
        assert list(await gate.set_aside([Work(of, 0, message.incoming())])) == [of.stripe_event_id]
        await pausing.resume(pause_id)
        known.forget()
        resumption = Resumption(database, known, pausing.harness.stop)
        while await resumption.run_once():
            pass
    assert await pausing.states(of) == [State.QUEUED]


async def test_nothing_runs_while_the_pauses_cannot_be_known(pausing: Pausing) -> None:
    """An event waits for the answer as in an outage, and has its effect then."""
    [message] = await pausing.harness.recorded(event())
    await pausing.harness.database.execute("ALTER TABLE pause RENAME TO gone")
    taking = asyncio.create_task(pausing.harness.take(message))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await asyncio.shield(taking)
    assert await pausing.harness.effects() == {}
    await pausing.harness.database.execute("ALTER TABLE gone RENAME TO pause")
    await taking
    assert await pausing.harness.effects() == {message.event.stripe_event_id: 1}


@pytest.mark.parametrize(
    ("glob", "text", "is_such"),
    [
        ("charge.*", "charge.failed", True),
        ("charge.*", "charge_failed", False),
        ("charge.fail?d", "charge.failed", True),
        ("*", "", True),
        ("[a-z]*", "charge", False),
        ("CHARGE.*", "charge.failed", False),
    ],
)
def test_a_glob_is_what_people_expect(glob: str, text: str, is_such: bool) -> None:
    """As the same option of ``sluice ls``."""
    assert matches(glob, text) is is_such


def test_the_oldest_pause_that_covers_is_the_one_that_is_waited_for(harness: Harness) -> None:
    """So that all processors agree."""
    known = KnownPauses(harness.database, with_effects(Registry()))
    pauses = [Pause(1, Kind.TYPE, "other.*"), Pause(2, Kind.ALL, None), Pause(3, Kind.TYPE, "test.*")]
    covering = known.covering(pauses, Traits("test.effect", None, None))
    assert covering is not None
    assert covering.id == 2


async def _take_nothing(*_: object) -> None:
    """A handler."""
