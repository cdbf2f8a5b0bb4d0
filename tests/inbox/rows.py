"""Rows of ``webhook_logs`` in each state, and every transition, to be tried on them."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import orjson

from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.inbox import claims, failures, operations, pauses, publications, recorder, thin_events
from sluice.inbox.claims import Parking, TransactionLimits
from sluice.inbox.failures import NextAttempt
from sluice.inbox.operations import AnyConnection, Decision
from sluice.inbox.pauses import Held
from sluice.inbox.states import State
from sluice.postgres.pool import Connection, Database

EVENT = read_event(
    b'{"id": "evt_1", "object": "event", "type": "test.effect", "created": 1790000000, "livemode": true,'
    b' "api_version": "2026-10-28.endive", "data": {"object": {"id": "ch_1", "object": "charge"}}}'
)
COMPANION = "evt_companion"
"""Key of a second row, always published: a transaction that claims it may settle."""
ATTEMPT = 1
IN_FORCE, OVER = 1, 2
"""Pauses."""
LATER = "now() + interval '1 hour'"
_LONG_AGO = "now() - interval '1 hour'"
_OVERDUE = timedelta(minutes=5)

Columns: TypeAlias = Mapping[str, str]
"""SQL for columns of a row, by name."""


def columns_of(event: StripeEvent) -> Columns:
    """A row that was published once, tried once, and is due."""
    return {
        "stripe_event_id": f"'{event.stripe_event_id}'",
        "webhook_type": f"'{event.type}'",
        "livemode": str(event.livemode),
        "stripe_created_at": f"to_timestamp({event.created})",
        "api_version": f"'{event.api_version}'",
        "object_id": f"'{event.object_id}'",
        "body": f"'\\x{event.body.hex()}'",
        "processing_attempts": str(ATTEMPT),
        "publications": "1",
        "published_at": "NULL",
        "next_attempt_at": _LONG_AGO,
    }


_HISTORIES: Mapping[State, Columns] = MappingProxyType(
    {
        State.QUEUED: {},
        State.FAILED: {"outcome": "'failed'"},
        State.PARKED: {"outcome": "'parked'", "parked_at": _LONG_AGO},
        State.POSTPONED: {"postponed_at": _LONG_AGO},
    }
)
_FETCHING = {"outcome": "'fetching'", "next_attempt_at": "NULL"}
_LEFT = {"body": "NULL", "next_attempt_at": "NULL", "publications": "0"}

ROWS: Mapping[State, Sequence[Columns]] = MappingProxyType(
    {
        **{state: [columns] for state, columns in _HISTORIES.items()},
        State.UNFILLED: [_LEFT],
        State.PAUSED: [{**columns, "next_attempt_at": "'infinity'"} for columns in _HISTORIES.values()],
        State.PUBLISHED: [{**columns, "published_at": _LONG_AGO} for columns in _HISTORIES.values()],
        State.DEAD: [{"dead_at": "now()", "outcome": "'failed'"}, {"dead_at": "now()"}],
        State.UNSUPPORTED: [{"dead_at": "now()", "outcome": "'unsupported'"}],
        State.PROCESSED: [{"processed": "true", "outcome": "'applied'"}, {"processed": "true", **_LEFT}],
        State.FETCHING: [_FETCHING],
        State.UNFETCHABLE: [{**_FETCHING, "processed": "true", "outcome": "'unfetchable'"}],
        State.WRITTEN_OFF: [{"processed": "true", "dead_at": "now()", "outcome": "'written_off'"}],
    }
)
"""What makes a row one of each state, in each way that differs for a transition."""


class Delivered(NamedTuple):
    """A delivery as ingest has it."""

    event: StripeEvent
    verified_by: str = "platform:0a1b2c3d"


Writer: TypeAlias = tuple[str, str]
"""A query and the login that runs it."""

Run: TypeAlias = Callable[[Database, int], Awaitable[object]]
"""Makes a transition of ``EVENT`` as far as it is legal; takes the attempt that the caller believes in."""

Prepare: TypeAlias = Callable[[Connection], Awaitable[object]]


@dataclass(frozen=True)
class Trial:
    """One way to call a query."""

    run: Run
    columns: Columns = field(default_factory=dict)
    """What the row must be besides its state."""
    prepare: Prepare | None = None
    """What must be on record of the row."""


async def put(connection: Connection, columns: Columns) -> None:
    """Leave one row of ``EVENT`` with these columns, and its companion, in the log."""
    await connection.execute("DELETE FROM webhook_logs")
    await connection.execute("TRUNCATE thin_fetch")
    await connection.execute("INSERT INTO thin_fetch (stripe_event_id) VALUES ($1)", EVENT.stripe_event_id)
    await _put_pauses(connection)
    await insert(connection, columns)
    await insert(connection, {"stripe_event_id": f"'{COMPANION}'", "published_at": _LONG_AGO})


async def _put_pauses(connection: Connection) -> None:
    """One pause in force, and one that has ended, for which the row waits if it is paused at all."""
    await connection.execute(
        "TRUNCATE paused_webhook;"
        "INSERT INTO operation (verb, filter, reason, person) SELECT 'pause', '{}', 'why', 'ada'"
        " WHERE NOT EXISTS (SELECT FROM operation);"
        "INSERT INTO pause (kind, began_by) SELECT 'all', 1 WHERE NOT EXISTS (SELECT FROM pause);"
        "INSERT INTO pause (kind, began_by, ended_at, ended_by) SELECT 'all', 1, now(), 1"
        " WHERE (SELECT count(*) FROM pause) < 2"
    )
    await connection.execute(
        "INSERT INTO paused_webhook (stripe_event_id, pause_id, paused_at) VALUES ($1, $2, now() - interval '1 hour')",
        EVENT.stripe_event_id,
        OVER,
    )


async def insert(connection: Connection, columns: Columns) -> None:
    """One row of ``EVENT`` with these columns."""
    row = {**columns_of(EVENT), **columns}
    await connection.execute(
        f"INSERT INTO webhook_logs ({', '.join(row)}) VALUES ({', '.join(row.values())})"  # noqa: S608
    )


async def _record_new(database: Database, attempt: int) -> None:
    async with database.acquire() as connection:
        await recorder.record_new(connection, [Delivered(EVENT)], within_seconds=5)


async def _record_listed(database: Database, attempt: int) -> None:
    async with database.acquire() as connection:
        await recorder.record_listed(connection, [Delivered(EVENT, "api")], within_seconds=5)


async def _record(database: Database, attempt: int) -> None:
    async with database.acquire() as connection:
        await recorder.record(connection, [Delivered(EVENT)], [None], within_seconds=5)


async def _fill(database: Database, attempt: int) -> None:
    async with database.acquire() as connection:
        await recorder.fill(connection, [Delivered(EVENT)], within_seconds=5)


async def _claim_due(database: Database, attempt: int) -> None:
    await publications.claim_due(database, 100, is_whole=True, within_seconds=5)


async def _claim_untried(database: Database, attempt: int) -> None:
    before = datetime.now(UTC) - _OVERDUE
    await publications.claim_untried(database, 100, before, is_whole=True, within_seconds=5)


async def _claim_unpublished(database: Database, attempt: int) -> None:
    await publications.claim_unpublished(database, [EVENT.stripe_event_id], within_seconds=5)


async def _begin(database: Database, attempt: int) -> None:
    await claims.begin_isolated_run(database, EVENT, attempt)


async def _end(database: Database, attempt: int) -> None:
    await claims.end_isolated_runs(database, [EVENT.stripe_event_id])


async def claim(tx: Connection, attempt: int) -> tuple[bool, str]:
    """Whether the row could be claimed together with its companion, and the transaction that did it."""
    rows = await claims.claim(
        tx,
        {EVENT.stripe_event_id: attempt, COMPANION: ATTEMPT},
        [None, None],
        is_isolated=False,
        patience_seconds=60,
        limits=TransactionLimits(statement="5000", lock="2000", idle="5000"),
    )
    return len(rows) > 1, rows[0]["claimed_in"]


async def _settle_processed(tx: Connection, claimed_in: str) -> None:
    await claims.settle_processed(tx, {EVENT.stripe_event_id: "applied"}, claimed_in)


async def _settle_parked(tx: Connection, claimed_in: str) -> None:
    await claims.settle_parked(tx, {EVENT.stripe_event_id: Parking("waits for a row", 5)}, claimed_in)


async def _settle_unsupported(tx: Connection, claimed_in: str) -> None:
    await claims.settle_unsupported(tx, {EVENT.stripe_event_id: "a thin event"}, claimed_in)


async def _settle_fetching(tx: Connection, claimed_in: str) -> None:
    await claims.settle_fetching(tx, [EVENT.stripe_event_id], claimed_in)


def _settling(settle: Callable[[Connection, str], Awaitable[None]]) -> Run:
    """In a transaction that claimed the companion at least, settle the row whether it could be claimed or not."""

    async def run(database: Database, attempt: int) -> None:
        async with database.acquire() as tx, tx.transaction():
            _, claimed_in = await claim(tx, attempt)
            await settle(tx, claimed_in)

    return run


def _failing(*, is_last: bool, patience_seconds: float = 86_400) -> Run:
    async def run(database: Database, attempt: int) -> None:
        following = NextAttempt(delay_seconds=60, is_last=is_last, patience_seconds=patience_seconds)
        await failures.record_failure(database, EVENT.stripe_event_id, attempt, "it failed", following)

    return run


async def _dead_letter(database: Database, attempt: int) -> None:
    await failures.dead_letter(database, EVENT.stripe_event_id, attempt, "no JSON object")


def _postponing(patience_seconds: float) -> Run:
    async def run(database: Database, attempt: int) -> None:
        await failures.postpone(database, EVENT.stripe_event_id, attempt, "a lock", patience_seconds=patience_seconds)

    return run


async def _defer(database: Database, attempt: int) -> None:
    await failures.defer(database, {EVENT.stripe_event_id: attempt})


async def _end_fetched(database: Database, attempt: int) -> None:
    async with database.acquire() as tx:
        await thin_events.end_fetched(tx, EVENT.stripe_event_id)


async def _end_unfetchable(database: Database, attempt: int) -> None:
    async with database.acquire() as tx:
        await thin_events.end_unfetchable(tx, EVENT.stripe_event_id, "the object is gone")


async def _set_aside(database: Database, attempt: int) -> None:
    async with database.acquire() as connection:
        await pauses.set_aside(connection, [Held(EVENT, attempt, IN_FORCE)])


async def _let_go(database: Database, attempt: int) -> None:
    async with database.acquire() as connection:
        await pauses.let_go(connection, {EVENT.stripe_event_id: None})


BY_ADA = Decision("ada", "the handler is mended")
_ON_RECORD = """
WITH off AS (
    INSERT INTO operation (verb, filter, reason, person, ended_at) VALUES ('write-off', '{}', 'why', 'ada', now())
    RETURNING id
)
INSERT INTO operation_item (operation_id, position, item_id, done_at, result, before)
SELECT id, 1, $1, now(), 'changed', jsonb_build_object('outcome', $2::text) FROM off
"""


async def operate(
    session: AnyConnection,
    verb: str,
    ids: Sequence[str],
    decision: Decision = BY_ADA,
    *,
    states: Sequence[State] = (),
    undoes: int | None = None,
) -> Collection[str]:
    """Carry out an operation on these webhooks, whatever state they are in; the ids of those that it changed."""
    asked = orjson.dumps({"states": [str(state) for state in states]} if states else {}).decode()
    async with session.transaction():
        operation_id = await session.fetchval(
            "INSERT INTO operation (verb, filter, reason, person, undoes)"
            " VALUES ($1, $2::text::jsonb, $3, $4, $5) RETURNING id",
            *(verb, asked, decision.reason, decision.actor, undoes),
        )
        await session.execute(
            "INSERT INTO operation_item (operation_id, position, item_id)"
            " SELECT $1, place, id FROM unnest($2::text[]) WITH ORDINALITY AS item (id, place)",
            *(operation_id, list(ids)),
        )
    await operations.carry_out(session, operation_id, after=0, at_most=100, gives_up=True)
    changed = "SELECT item_id FROM operation_item WHERE operation_id = $1 AND result = 'changed'"
    return {row["item_id"] for row in await session.fetch(changed, operation_id)}


def _operating(verb: str, *states: State) -> Run:
    async def run(database: Database, attempt: int) -> None:
        async with database.acquire() as session:
            await operate(session, verb, [EVENT.stripe_event_id], states=states)

    return run


async def _undo(database: Database, attempt: int) -> None:
    """Undo the newest write-off, if there is one."""
    async with database.acquire() as session:
        newest = await session.fetchval("SELECT max(id) FROM operation WHERE verb = 'write-off'")
        if newest is not None:
            await operate(session, "undo", [EVENT.stripe_event_id], undoes=newest)


def _written_off(outcome: str) -> Prepare:
    async def prepare(owner: Connection) -> None:
        await owner.execute(_ON_RECORD, EVENT.stripe_event_id, outcome)

    return prepare


TRIALS: Mapping[Writer, Sequence[Trial]] = MappingProxyType(
    {
        ("recorder.record_new", "ingest"): [Trial(_record_new)],
        ("recorder.record_new", "reconciler"): [Trial(_record_listed)],
        ("recorder.record", "ingest"): [Trial(_record)],
        ("recorder.fill", "ingest"): [Trial(_fill)],
        ("publications.claim_due", "ingest"): [Trial(_claim_due)],
        ("publications.claim_untried", "ingest"): [Trial(_claim_untried)],
        ("publications.claim_unpublished", "ingest"): [Trial(_claim_unpublished)],
        ("claims.begin_isolated_run", "processor"): [Trial(_begin)],
        ("claims.end_isolated_runs", "processor"): [Trial(_end, {"solo_starts": "1"})],
        ("claims.settle_processed", "processor"): [Trial(_settling(_settle_processed))],
        ("claims.settle_parked", "processor"): [Trial(_settling(_settle_parked))],
        ("claims.settle_unsupported", "processor"): [Trial(_settling(_settle_unsupported))],
        ("claims.settle_fetching", "processor"): [Trial(_settling(_settle_fetching))],
        ("thin_events.end_fetch", "reconciler"): [Trial(_end_fetched), Trial(_end_unfetchable)],
        ("failures.record_failure", "processor"): [
            Trial(_failing(is_last=False)),
            Trial(_failing(is_last=True, patience_seconds=60)),
        ],
        ("failures.dead_letter", "processor"): [Trial(_dead_letter)],
        ("failures.postpone", "processor"): [Trial(_postponing(86_400)), Trial(_postponing(60))],
        ("failures.defer", "processor"): [Trial(_defer)],
        ("pauses.set_aside", "processor"): [Trial(_set_aside)],
        ("pauses.let_go", "processor"): [Trial(_let_go)],
        ("operations.carry_out", "operator"): [
            Trial(_operating("retry"), {"next_attempt_at": "now() + interval '1 hour'"}),
            Trial(_operating("replay")),
            Trial(_operating("replay", State.PROCESSED, State.UNFETCHABLE, State.WRITTEN_OFF)),
            Trial(_operating("write-off")),
            Trial(_undo, prepare=_written_off("failed")),
            Trial(_undo, prepare=_written_off("unsupported")),
        ],
    }
)
"""How each query is tried, by its name in ``states.py`` and the login of the service that runs it."""
