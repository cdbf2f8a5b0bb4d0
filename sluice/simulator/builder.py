"""Build a scenario's events: the buyer, the clock, and the events that Stripe has sent so far."""

from dataclasses import dataclass, field

import orjson

from sluice.contract.document import Json, JsonObject
from sluice.simulator.identity import Ids
from sluice.simulator.objects import API_VERSION, fill, shape

SECONDS_PER_HOUR = 3600
_BUYERS = (
    ("Amélie Laurent", "amelie.laurent@example.com"),
    ("Jonas Weber", "jonas.weber@example.com"),
    ("Siobhán Ní Dhomhnaill", "siobhan@example.com"),
    ("Priya Raman", "priya.raman@example.com"),
    ("Łukasz Żak", "lukasz.zak@example.com"),
    ("中村 葵", "aoi.nakamura@example.com"),
)
_PRICES = (1_500, 2_400, 3_500, 4_900, 8_000, 12_000)
_CURRENCIES = ("eur", "eur", "usd", "gbp")


@dataclass(frozen=True, slots=True)
class SimulatedEvent:
    """One event, as the bytes that Stripe would sign and send."""

    stripe_event_id: str
    type: str
    created: int
    """Whole seconds since the Unix epoch."""
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Subject:
    """The buyer's purchase: what is paid, and in which Stripe account."""

    title: str
    events_id: str | None = None
    """The ``events`` row that the objects name; None: they name none."""
    account: str | None = None
    """The connected account; None: the account that the endpoint belongs to."""
    livemode: bool = False


class ScenarioBuilder:
    """Builds the events of one payment in the order in which they happen at Stripe."""

    def __init__(self, subject: Subject, *, seed: str, begins_between: tuple[int, int]) -> None:
        self.subject = subject
        self.events: list[SimulatedEvent] = []
        self._ids = Ids(seed)
        self.now = self._ids.random.randint(*begins_between)
        self.buyer_name, self.buyer_email = self._ids.random.choice(_BUYERS)
        self.amount = self._ids.random.choice(_PRICES)
        self.currency = self._ids.random.choice(_CURRENCIES)

    @property
    def metadata(self) -> JsonObject:
        """The metadata that the application writes on its objects, so that a webhook finds its row."""
        return {"event_id": self.subject.events_id} if self.subject.events_id else {}

    def new_id(self, kind: str) -> str:
        """A fresh Stripe id; ``cs`` carries the mode, as at Stripe."""
        if kind == "cs":
            kind = "cs_live" if self.subject.livemode else "cs_test"
        return self._ids.make(kind)

    def later(self, seconds: int) -> None:
        """Let time pass; at least a second, so that the ledger can tell before from after."""
        self.now += max(1, seconds)

    def make(self, name: str, /, **fields: Json) -> JsonObject:
        """A new API object of this moment, in this mode and currency."""
        fields = {"created": self.now, "currency": self.currency, **fields}
        if name != "refund":
            fields = {"livemode": self.subject.livemode, **fields}
        return shape(name, **fields)

    def emit(
        self, event_type: str, about: JsonObject, *, before: JsonObject | None = None, by_request: bool = True
    ) -> None:
        """
        Have Stripe send an event.

        Args:
            before: ``previous_attributes`` of an update.
            by_request: whether an API call caused it, rather than time, a bank or a buyer.
        """
        event_id = self.new_id("evt")
        request = {"id": self._ids.make("req"), "idempotency_key": self._ids.idempotency_key()} if by_request else None
        envelope: JsonObject = {
            "id": event_id,
            "object": "event",
            **({"account": self.subject.account} if self.subject.account else {}),
            "api_version": API_VERSION,
            "created": self.now,
            "data": {"object": about, **({"previous_attributes": before} if before is not None else {})},
            "livemode": self.subject.livemode,
            "pending_webhooks": 1,
            "request": request or {"id": None, "idempotency_key": None},
            "type": event_type,
        }
        body = orjson.dumps(envelope, option=orjson.OPT_INDENT_2)
        self.events.append(SimulatedEvent(event_id, event_type, self.now, body))

    def changed(self, event_type: str, old: JsonObject, **fields: Json) -> JsonObject:
        """Change an object, have Stripe send the event of it, and give back the new one."""
        new = fill(old, fields)
        before = {name: old[name] for name in fields} if event_type.endswith(".updated") else None
        self.emit(event_type, new, before=before)
        return new
