"""The states of a row of ``webhook_logs``, and the transitions between them: pure values, no I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final, TypeAlias

_OPEN = "NOT processed AND dead_at IS NULL"
_WAITING = f"{_OPEN} AND published_at IS NULL AND next_attempt_at < 'infinity'"
_DEAD = "NOT processed AND dead_at IS NOT NULL"


class State(Enum):
    """
    State of a row, told by its columns alone.

    Each row is in one state. Locks, leases and ``solo_starts`` are no states: they say who works on a row, not what
    became of it.
    """

    UNFILLED = (
        f"{_OPEN} AND published_at IS NULL AND next_attempt_at IS NULL AND outcome IS DISTINCT FROM 'fetching'",
        "Left unprocessed and without a body by an earlier application. Nothing publishes it.",
    )
    PUBLISHED = (
        f"{_OPEN} AND published_at IS NOT NULL",
        "A message is on its way, and no attempt has ended since. `outcome` tells of the attempt before.",
    )
    QUEUED = (
        f"{_WAITING} AND postponed_at IS NULL AND coalesce(outcome, '') NOT IN ('failed', 'parked')",
        "Waits for its publication, with no attempt behind it.",
    )
    FAILED = (
        f"{_WAITING} AND postponed_at IS NULL AND outcome = 'failed'",
        "Waits for its next attempt after one that failed.",
    )
    PARKED = (
        f"{_WAITING} AND postponed_at IS NULL AND outcome = 'parked'",
        "Waits for a row of `events` that it names and that does not exist yet.",
    )
    POSTPONED = (
        f"{_WAITING} AND postponed_at IS NOT NULL",
        "Waits because others held a lock that it needs. No attempt was counted.",
    )
    PAUSED = (
        f"{_OPEN} AND published_at IS NULL AND next_attempt_at = 'infinity'",
        "Waits for the end of a pause; `paused_webhook` says since when. `outcome` tells of the attempt before.",
    )
    FETCHING = (
        f"{_OPEN} AND published_at IS NULL AND next_attempt_at IS NULL AND outcome = 'fetching'",
        "A thin event that waits until the reconciler has asked Stripe what happened; `thin_fetch` says since when.",
    )
    DEAD = (
        f"{_DEAD} AND outcome IS DISTINCT FROM 'unsupported'",
        "Given up, with the reason in `last_error`. The same delivery from Stripe revives it.",
    )
    UNSUPPORTED = (
        f"{_DEAD} AND outcome = 'unsupported'",
        "Given up, because this release cannot apply such an event. A delivery changes nothing.",
    )
    PROCESSED = (
        "processed IS NOT FALSE AND dead_at IS NULL AND outcome IS DISTINCT FROM 'unfetchable'",
        "Has its effect: `applied`, `ignored`, `unmatched`, `ping`, `fetched`; NULL: an earlier application's.",
    )
    UNFETCHABLE = (
        "processed IS NOT FALSE AND dead_at IS NULL AND outcome = 'unfetchable'",
        "A thin event of which Stripe cannot or may not tell us more; `last_error` says why.",
    )
    WRITTEN_OFF = (
        "processed IS NOT FALSE AND dead_at IS NOT NULL",
        "Died, and an operator decided that it needs no effect.",
    )

    def __init__(self, condition: str, meaning: str) -> None:
        self.condition = condition
        """SQL over the row's columns; true for rows in this state alone."""
        self.meaning = meaning

    def __str__(self) -> str:
        """The word that people read."""
        return self.name.lower()

    def __repr__(self) -> str:
        """The name alone; the condition would fill a screen."""
        return f"State.{self.name}"


def state_expression(states: Iterable[State] = State) -> str:
    """SQL that gives the state's word for the row in scope."""
    cases = "\n".join(f"    WHEN {state.condition} THEN '{state}'" for state in states)
    return f"CASE\n{cases}\nEND"


class Actor(StrEnum):
    """The service or person that makes a transition."""

    INGEST = "ingest"
    RELAY = "relay"
    PROCESSOR = "processor"
    RECONCILER = "reconciler"
    OPERATOR = "operator"

    @property
    def role(self) -> str:
        """Database role that has the rights for it."""
        return f"sluice_{Actor.INGEST if self is Actor.RELAY else self}"


WAITING: Final = (State.QUEUED, State.FAILED, State.PARKED, State.POSTPONED)
OPEN: Final = (State.PUBLISHED, *WAITING)
"""States in which a processor may run the event."""

Arrows: TypeAlias = Mapping[State | None, frozenset[State]]
"""States that a transition may lead to, by the state it starts from; None: there is no row yet."""


@dataclass(frozen=True)
class Transition:
    """
    One change of a row, and the only query that makes it.

    Args:
        query: file and name of the query in this package.
        function: SQL function that does the writing for the query; its text is in ``sluice/migrations/functions/``.
        guard: what must hold besides the state.
    """

    name: str
    actor: Actor
    query: str
    arrows: Arrows
    meaning: str
    guard: str = ""
    function: str | None = None

    def leads(self, source: State | None, target: State) -> bool:
        """Whether it may bring a row from the one state to the other."""
        return target in self.arrows.get(source, frozenset())


def _arrows(sources: Iterable[State | None], *targets: State) -> Arrows:
    return {source: frozenset(targets) for source in sources}


def _loops(sources: Iterable[State]) -> Arrows:
    return {source: frozenset({source}) for source in sources}


_DUE = "it is published or due"
_ATTEMPT = "the attempt is the row's own"
_CLAIMED = f"claimed in the same transaction ({_ATTEMPT}; {_DUE}; no other transaction holds it)"

_ITEM = "it is an item of the operation"

TRANSITIONS: Final = (
    Transition(
        "record",
        Actor.INGEST,
        "recorder.record_new",
        _arrows([None], State.PUBLISHED),
        "Keep a webhook; its first publication follows the commit.",
        "its id is not in the log",
        "sluice_record_webhooks",
    ),
    Transition(
        "record among repeats",
        Actor.INGEST,
        "recorder.record",
        _arrows([None], State.PUBLISHED),
        "Keep a webhook that came together with repeats of others.",
        "its id is not in the log",
    ),
    Transition(
        "record what is listed",
        Actor.RECONCILER,
        "recorder.record_new",
        _arrows([None], State.QUEUED),
        "Keep an event that Stripe's API gave and no webhook had brought.",
        "its id is not in the log",
        "sluice_record_webhooks",
    ),
    Transition(
        "fill",
        Actor.INGEST,
        "recorder.fill",
        _arrows([State.UNFILLED], State.QUEUED),
        "Give an earlier application's row the body that Stripe delivers again.",
        "the row has no body",
        "sluice_fill_webhooks",
    ),
    Transition(
        "revive",
        Actor.INGEST,
        "recorder.record",
        _arrows([State.DEAD], State.QUEUED),
        "Begin another life with all attempts, because Stripe delivers the same bytes again.",
        "the body is the same",
        "sluice_revive_webhook",
    ),
    Transition(
        "publish",
        Actor.RELAY,
        "publications.claim_due",
        _arrows(WAITING, State.PUBLISHED),
        "Publish a row whose time has come.",
        "it is due",
    ),
    Transition(
        "publish again",
        Actor.RELAY,
        "publications.claim_untried",
        _loops([State.PUBLISHED]),
        "Publish a row whose message is lost.",
        "it is due and was published before the moment that the consumer has passed, or five minutes ago",
    ),
    Transition(
        "publish after all",
        Actor.RELAY,
        "publications.claim_unpublished",
        _arrows(OPEN, State.PUBLISHED),
        "Publish a new row whose first publication failed.",
        "it is due and was published once",
    ),
    Transition(
        "begin an isolated run",
        Actor.PROCESSOR,
        "claims.begin_isolated_run",
        _loops(OPEN),
        "Commit the start of a run that may end its process.",
        f"{_ATTEMPT}; {_DUE}; the message holds what the row holds",
    ),
    Transition(
        "end isolated runs",
        Actor.PROCESSOR,
        "claims.end_isolated_runs",
        _loops([*OPEN, State.PAUSED]),
        "Note that the process outlived these runs.",
        "a run has begun and not ended",
    ),
    Transition(
        "process",
        Actor.PROCESSOR,
        "claims.settle_processed",
        _arrows(OPEN, State.PROCESSED),
        "Commit the effect and its outcome together.",
        _CLAIMED,
        "sluice_settle_batch",
    ),
    Transition(
        "park",
        Actor.PROCESSOR,
        "claims.settle_parked",
        _arrows(OPEN, State.PARKED),
        "Wait for the row of `events` that the webhook names.",
        _CLAIMED,
    ),
    Transition(
        "give up as unsupported",
        Actor.PROCESSOR,
        "claims.settle_unsupported",
        _arrows(OPEN, State.UNSUPPORTED),
        "End an event that this release cannot apply.",
        _CLAIMED,
    ),
    Transition(
        "wait for the fetch",
        Actor.PROCESSOR,
        "claims.settle_fetching",
        _arrows(OPEN, State.FETCHING),
        "Let a thin event wait for the reconciler, which finds it in `thin_fetch`.",
        _CLAIMED,
    ),
    Transition(
        "end the fetch",
        Actor.RECONCILER,
        "thin_events.end_fetch",
        _arrows([State.FETCHING], State.PROCESSED, State.UNFETCHABLE),
        "End a thin event: its fact is in the log, or can never be had.",
        "it stands in `thin_fetch`",
        "sluice_settle_thin",
    ),
    Transition(
        "fail",
        Actor.PROCESSOR,
        "failures.record_failure",
        _arrows(OPEN, State.FAILED, State.DEAD),
        "Count a failed attempt; schedule the next, or give up after the last.",
        _ATTEMPT,
    ),
    Transition(
        "give up",
        Actor.PROCESSOR,
        "failures.dead_letter",
        _arrows(OPEN, State.DEAD),
        "End an event for which no attempt can succeed.",
        _ATTEMPT,
    ),
    Transition(
        "postpone",
        Actor.PROCESSOR,
        "failures.postpone",
        {
            **_arrows(WAITING, State.POSTPONED),
            **_arrows([State.PUBLISHED, State.POSTPONED], State.POSTPONED, State.DEAD),
        },
        "Wait for a lock that others hold; give up when they hold it for as long as all attempts may take.",
        _ATTEMPT,
        "sluice_postpone_webhook",
    ),
    Transition(
        "defer",
        Actor.PROCESSOR,
        "failures.defer",
        {State.PUBLISHED: frozenset(WAITING), **_loops(WAITING)},
        "Give the place in the consumer to others. From published it goes back to where it waited before.",
        f"{_ATTEMPT}; {_DUE}",
    ),
    Transition(
        "pause",
        Actor.PROCESSOR,
        "pauses.set_aside",
        _arrows(OPEN, State.PAUSED),
        "Let a webhook wait that a pause covers; no attempt is counted.",
        f"{_ATTEMPT}; {_DUE}; the message holds what the row holds; the pause is in force",
        "sluice_pause_webhooks",
    ),
    Transition(
        "resume",
        Actor.PROCESSOR,
        "pauses.let_go",
        _arrows([State.PAUSED], *WAITING),
        "Make a webhook due whose pause has ended; it waits where it waited before.",
        "its pause has ended, and no other covers it",
        "sluice_resume_webhooks",
    ),
    Transition(
        "retry",
        Actor.OPERATOR,
        "operations.carry_out",
        _loops(WAITING),
        "Make a waiting row due now.",
        _ITEM,
        "sluice_retry_webhooks",
    ),
    Transition(
        "replay",
        Actor.OPERATOR,
        "operations.carry_out",
        _arrows([State.DEAD, State.UNSUPPORTED], State.QUEUED),
        "Begin another life with all attempts, because an operator says so.",
        _ITEM,
        "sluice_replay_webhooks",
    ),
    Transition(
        "replay after its end",
        Actor.OPERATOR,
        "operations.carry_out",
        _arrows([State.PROCESSED, State.UNFETCHABLE, State.WRITTEN_OFF], State.QUEUED),
        "Run the handlers again for a webhook that has its effect, or was written off, because an operator says so.",
        f"{_ITEM}; it has a body",
        "sluice_replay_ended_webhooks",
    ),
    Transition(
        "write off",
        Actor.OPERATOR,
        "operations.carry_out",
        _arrows([State.DEAD, State.UNSUPPORTED], State.WRITTEN_OFF),
        "Let a dead row rest: it counts as a death, and no longer as dead.",
        _ITEM,
        "sluice_write_off_webhooks",
    ),
    Transition(
        "undo the write-off",
        Actor.OPERATOR,
        "operations.carry_out",
        _arrows([State.WRITTEN_OFF], State.DEAD, State.UNSUPPORTED),
        "Make a row dead again that an operator let rest, with the outcome that it had.",
        f"{_ITEM}, and no operation changed the row since",
        "sluice_reopen_webhooks",
    ),
)

RETENTION: Final = frozenset({"sluice_keep_bodies", "sluice_forget_bodies", "sluice_delete_webhooks"})
"""Functions of ``sluice maintain`` that move or take bodies, and delete rows that are over; none changes a state."""


def between(source: State | None, target: State) -> tuple[Transition, ...]:
    """Transitions that may bring a row from the one state to the other."""
    return tuple(transition for transition in TRANSITIONS if transition.leads(source, target))
