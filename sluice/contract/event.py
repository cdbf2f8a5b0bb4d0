"""A Stripe event as it travels through Sluice."""

from dataclasses import dataclass, field
from functools import cached_property

from sluice.contract.document import JsonObject, decode_object

PLATFORM = "platform"
THIN_OBJECT = "v2.core.event"


@dataclass(frozen=True)
class StripeEvent:
    """
    One verified Stripe event: the envelope's fields, and the bytes that Stripe signed.

    The body is decoded when ``payload`` or ``object`` is read for the first time.
    """

    stripe_event_id: str
    """Key in ``webhook_logs``: ``evt_…``, or ``evt_…@{events.id}`` when it came through an organiser's URL."""
    type: str
    created: int
    """Whole seconds since the Unix epoch, by Stripe's clock."""
    livemode: bool
    account: str | None
    """The connected account, ``acct_…``; None for the platform's own. Of an organiser's event, the organiser's word."""
    api_version: str | None
    object_id: str | None
    tenant: str | None
    """``events.id`` of the organiser whose URL received the webhook; None for the platform's URL."""
    body: bytes = field(repr=False)

    @property
    def scope(self) -> str:
        """Within which ids of payments are unique: the organiser's row, or mode and account."""
        if self.tenant is not None:
            return f"tenant:{self.tenant}"
        return f"{self.mode}:{self.account or PLATFORM}"

    @property
    def mode(self) -> str:
        """``live`` or ``test``."""
        return "live" if self.livemode else "test"

    @property
    def verb(self) -> str:
        """The last word of the type: ``payment_intent.succeeded`` says ``succeeded``."""
        return self.type.rpartition(".")[2]

    @cached_property
    def payload(self) -> JsonObject:
        """
        The decoded body.

        Raises:
            MalformedEvent: the bytes are not a JSON object.
        """
        return decode_object(self.body)

    @property
    def is_thin(self) -> bool:
        """Whether this is an event notification of Stripe's API v2, which carries no object."""
        return self.payload.get("object") == THIN_OBJECT

    @cached_property
    def object(self) -> JsonObject:
        """The API object that the event is about (``data.object``); empty where there is none."""
        data = self.payload.get("data")
        found = data.get("object") if isinstance(data, dict) else None
        return found if isinstance(found, dict) else {}
