"""A type of Stripe's events; each family's module lists its own in ``TYPES``, by name."""

from typing import NamedTuple


class EventType(NamedTuple):
    """One event type: its meaning, and which accounts get it."""

    effect: str
    """What its event says of a payment, in the words of docs/event-types.md."""
    is_preview: bool = False
    """True where Stripe lets only the accounts of a preview subscribe to it."""
