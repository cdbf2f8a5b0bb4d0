"""The history for people: lines that wrap between words in any terminal of 80 columns or more."""

from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from sluice.ops.operations.pauses import wait_in_words
from sluice.ops.terminal import printable_value
from sluice.ops.why.history import EventsRow, Payment, PaymentHistory, RecordedFact, Webhook

_INHERITED = "inherited:"
_LONGEST_SHOWN = 32
_INDENT = (0, 0, 0, 4)
_BOUND_BY = {
    "tenant": "the organiser's URL that received it",
    "metadata": "metadata.event_id",
    "reference": "client_reference_id",
    "stored": "the payment intent stored in the row",
}
_OUTCOME_STYLES = {
    "applied": "green",
    "ignored": "dim",
    "parked": "yellow",
    "failed": "bold red",
    "unsupported": "bold red",
    "written_off": "dim",
    "fetched": "green",
    "ping": "dim",
}


def show(console: Console, history: PaymentHistory) -> None:
    """Print the whole history: the row, its payments with their ledger, then the webhooks."""
    history = printable_value(history)
    for row in history.events_rows:
        console.print(
            _events_row(row, shown=sum(one.events_id == row.id and one.status is not None for one in history.payments))
        )
    for payment in history.payments:
        console.print(_payment(payment))
    if history.webhooks:
        console.print(_webhooks(history))


def _events_row(row: EventsRow, *, shown: int) -> RenderableType:
    status = escape(row.payment_status or "no status")
    lines = [f"[bold]events row {escape(row.id)}[/] {escape(row.name or '')}: [bold]{status}[/]"]
    if row.payments == 0:
        lines.append("  no payment is bound to it, so it keeps the status it had")
    else:
        decider = escape(row.stripe_payment_intent_id or "none")
        lines.append(
            f"  {decider} decided, of {row.payments:,} payment(s)"
            + (f"; {shown} shown" if shown < row.payments else "")
        )
    lines.append(f"  newest webhook: {_moment(row.last_webhook_received)}")
    if row.stripe_account_id:
        lines.append(f"  belongs to account {escape(row.stripe_account_id)}")
    if row.has_own_secret:
        lines.append("  has a webhook secret of its own")
    return "\n".join([*lines, ""])


def _payment(payment: Payment) -> RenderableType:
    status = escape(payment.status or "a link on the way to a payment")
    title = f"[bold]{escape(payment.payment_id)}[/] ({escape(payment.scope)}): [bold]{status}[/]"
    facts = [_fact(fact) for fact in payment.facts]
    return Group(Text.from_markup(title), Padding(_binding(payment), (0, 0, 0, 2)), *facts, "")


def _binding(payment: Payment) -> str:
    if payment.events_id is None:
        return "bound to no events row: nothing that is known of it names one"
    by = payment.bound_by or "unknown"
    source = f"what {by.removeprefix(_INHERITED)} says" if by.startswith(_INHERITED) else _BOUND_BY.get(by, by)
    row = f"events row {escape(payment.events_id)}"
    if payment.awaits_event:
        return (
            f"[yellow]waits for {row}[/], named by {escape(source)}: "
            "no row that is named exists and belongs to this account"
        )
    preferred = ", ".join((payment.awaits or "").split())
    better = f"; would move to {escape(preferred)} if that row existed in this account" if preferred else ""
    return f"bound to {row} by {escape(source)}{better}"


def _fact(fact: RecordedFact) -> RenderableType:
    """When and what the payment was from then on; below it why, and which event of Stripe's said so."""
    after = escape(fact.status_after or "")
    style = "bold" if fact.decided else "dim"
    about = f" about {escape(_shortened(fact.object_id))}," if fact.object_id else ""
    return Group(
        Text.from_markup(f"  {_moment(fact.said_at)}  [{style}]{after or 'no payment itself'}[/]"),
        Padding(f"{_because(fact)};{about} [dim]said by {escape(fact.stripe_event_id)}[/]", _INDENT),
    )


def _because(fact: RecordedFact) -> str:
    words = [fact.kind, *([fact.status] if fact.status else [])]
    if fact.kind == "charge" and fact.amount:
        words.append(f"({fact.amount} {fact.currency or ''} went back)")
    elif fact.kind != "charge" and fact.amount is not None:
        words.append(f"{fact.amount} {fact.currency or ''}")
    rows = " and ".join(key for key in (fact.names_event, fact.refers_to) if key)
    named = f"; names events row {rows}" if rows else ""
    return escape(" ".join(words).rstrip() + named)


def _shortened(object_id: str) -> str:
    """Ids of Checkout sessions are too long for a screen; their ends tell them apart."""
    return object_id if len(object_id) <= _LONGEST_SHOWN else f"{object_id[:18]}…{object_id[-6:]}"


def _webhooks(history: PaymentHistory) -> RenderableType:
    return Group(Text.from_markup("[bold]webhooks[/], in the order of arrival"), *map(_webhook, history.webhooks))


def _webhook(webhook: Webhook) -> RenderableType:
    style = _OUTCOME_STYLES.get(webhook.outcome or "", "yellow")
    state = "dead, " if webhook.dead_at else ""
    waits = webhook.wait is not None and webhook.wait.since is not None
    outcome = f"[{style}]{state}{escape(webhook.outcome or ('paused' if waits else 'waiting'))}[/]"
    return Group(
        Text.from_markup(f"  {_moment(webhook.created_at)}  {escape(webhook.webhook_type)}  {outcome}"),
        *(Padding(line, _INDENT) for line in (_delivery(webhook), *(f"[dim]{one}[/]" for one in _remarks(webhook)))),
    )


def _delivery(webhook: Webhook) -> str:
    secret = escape(webhook.verified_by or "an unknown secret")
    return f"{escape(webhook.stripe_event_id)}, {_tries(webhook)}, verified by {secret}"


def _tries(webhook: Webhook) -> str:
    """The column counts attempts that failed, or looks that found it parked; a person wants to know of the tries."""
    attempts = webhook.processing_attempts
    if webhook.processed:
        return f"try {attempts + 1}" if attempts else "first try"
    if not attempts:
        return "not tried yet" if webhook.dead_at is None else "never tried to the end"
    return f"{attempts} {'try' if attempts == 1 else 'tries'} so far"


def _fetch(webhook: Webhook) -> str:
    waits = "waits until the reconciler has asked Stripe what happened"
    if not webhook.fetch_tries:
        return f"{waits}; not asked yet"
    return f"{waits}; asked {webhook.fetch_tries} times so far: {escape(webhook.fetch_problem or 'no answer')}"


def _remarks(webhook: Webhook) -> list[str]:
    remarks = [_fetch(webhook)] if webhook.outcome == "fetching" else []
    if webhook.wait:
        remarks.append(f"[yellow]paused[/] {escape(wait_in_words(webhook.wait))}")
    if webhook.processed_at:
        delay = (webhook.processed_at - webhook.created_at).total_seconds()
        remarks.append(f"processed {delay:.3f} s after the receipt")
    for repeat in webhook.repeats:
        differs = ", [yellow]with another body[/]" if repeat.body_differs else ""
        remarks.append(f"came again {_moment(repeat.received_at)} ({escape(repeat.verified_by or 'unknown')}){differs}")
    if webhook.last_error:
        remarks.append(f"last error: {escape(webhook.last_error)}")
    if webhook.dead_at:
        remarks.append(f"given up {_moment(webhook.dead_at)}")
    if webhook.revivals:
        remarks.append(f"revived {webhook.revivals} time(s), last {_moment(webhook.revived_at)}, by coming again")
    if not webhook.dead_at and not webhook.processed and webhook.next_attempt_at:
        remarks.append(
            f"tried again {_moment(webhook.next_attempt_at)}, published {webhook.publications} time(s) so far"
        )
    remarks += [
        f"{escape(error.severity)} {_moment(error.created_at)}: {escape(error.message)}" for error in webhook.errors
    ]
    return remarks


def _moment(moment: datetime | None) -> str:
    if moment is None:
        return "never"
    utc = moment.astimezone(UTC) if moment.tzinfo else moment
    return f"{utc:%Y-%m-%d %H:%M:%S}"
