"""The newest state of each invoice and subscription, whatever order their events come in."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from sluice.chassis.sql import load_queries
from sluice.contract.event import StripeEvent
from sluice.outcomes import Applied, Ignored, Outcome
from sluice.payments import invoice, subscription

if TYPE_CHECKING:
    from sluice.registry import Transaction

QUERIES = load_queries(__file__, "billing.sql")
STATELESS = Ignored("shows no state that could be kept")


class _State(Protocol):
    @property
    def status(self) -> str: ...
    @property
    def said_at(self) -> int: ...
    @property
    def stripe_event_id(self) -> str: ...


_Key = tuple[str, str]
_S = TypeVar("_S", bound=_State)


async def keep_invoices(events: Sequence[StripeEvent], tx: "Transaction") -> Mapping[str, Outcome]:
    """Write the newest word on each invoice; within one second the later status of ``invoice.PRECEDENCE`` wins."""
    states = {event.stripe_event_id: invoice.state(event) for event in events}
    shown = [((state.scope, state.invoice_id), state) for state in states.values() if state is not None]
    newest = _newest(shown, invoice.PRECEDENCE)
    if newest:
        await tx.execute(
            QUERIES["keep_invoices"],
            [one.scope for one in newest],
            [one.invoice_id for one in newest],
            [one.status for one in newest],
            [one.subscription_id for one in newest],
            [one.customer_id for one in newest],
            [one.amount_due for one in newest],
            [one.amount_paid for one in newest],
            [one.currency for one in newest],
            [one.said_at for one in newest],
            [one.stripe_event_id for one in newest],
            invoice.PRECEDENCE,
        )
    return _outcomes(states)


async def keep_subscriptions(events: Sequence[StripeEvent], tx: "Transaction") -> Mapping[str, Outcome]:
    """Write the newest word on each subscription; within one second as ``subscription.PRECEDENCE`` says."""
    states = {event.stripe_event_id: subscription.state(event) for event in events}
    shown = [((state.scope, state.subscription_id), state) for state in states.values() if state is not None]
    newest = _newest(shown, subscription.PRECEDENCE)
    if newest:
        await tx.execute(
            QUERIES["keep_subscriptions"],
            [one.scope for one in newest],
            [one.subscription_id for one in newest],
            [one.status for one in newest],
            [one.customer_id for one in newest],
            [one.current_period_end for one in newest],
            [one.cancel_at_period_end for one in newest],
            [one.said_at for one in newest],
            [one.stripe_event_id for one in newest],
            subscription.PRECEDENCE,
        )
    return _outcomes(states)


def _newest(states: Iterable[tuple[_Key, _S]], precedence: Sequence[str]) -> list[_S]:
    """One state for each key, in the same order as the statement's own WHERE."""
    places = {status: place for place, status in enumerate(precedence)}
    oldest_first = sorted(states, key=lambda s: (s[1].said_at, places.get(s[1].status, -1), s[1].stripe_event_id))
    return list(dict(oldest_first).values())


def _outcomes(states: Mapping[str, object]) -> Mapping[str, Outcome]:
    return {event_id: STATELESS if state is None else Applied() for event_id, state in states.items()}
