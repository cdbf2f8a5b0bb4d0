"""
One Stripe platform in memory: its keys, accounts, events of both kinds, objects and endpoints.

A test puts in what happened; ``server`` answers from it. Nothing is delivered without a ping.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sluice.contract.document import Json, JsonObject, decode_object
from sluice.simulator.stripe_api.answers import expired, unauthorized, without_access, without_right
from sluice.simulator.stripe_api.faults import Faults
from sluice.simulator.stripe_api.listing import Entry, Listing, StoredListing

KEPT_SECONDS = 30 * 24 * 3600
PLATFORM_ACCOUNT = "acct_1OfflinePlatform"


@dataclass(frozen=True, slots=True)
class Key:
    """A secret or restricted key."""

    text: str = field(repr=False)
    rights: frozenset[str] | None = None
    """Of a restricted key: those it has, such as ``rak_event_read``; None: all."""
    is_revoked: bool = False

    @property
    def livemode(self) -> bool:
        """Which mode it opens."""
        return "_live_" in self.text


@dataclass(frozen=True, slots=True)
class Caller:
    """The account whose data one request is about."""

    key: Key
    account: str | None
    """The connected account; None: the platform itself."""

    @property
    def scope(self) -> tuple[bool, str | None]:
        """Under which everything is kept."""
        return self.key.livemode, self.account

    def needs(self, right: str) -> None:
        """Raise Refusal unless the key has this right."""
        if self.key.rights is not None and right not in self.key.rights:
            raise without_right(self.key.text, right)


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """The first answer to a request with an idempotency key, for when it comes again."""

    asked: bytes
    """Path and body, by which another request under the same key is told."""
    document: JsonObject = field(repr=False)


class OfflineStripe:
    """
    Everything that Stripe knows.

    Args:
        clock: seconds since the Unix epoch; what is 30 days older is not there any more.
    """

    def __init__(self, keys: Iterable[Key], *, clock: Callable[[], float] = time.time) -> None:
        self.keys = {key.text: key for key in keys}
        self.accounts: set[str] = set()
        self.clock = clock
        self.faults = Faults()
        self.requests: list[str] = []
        """Path and query of every request, in order."""
        self.events: dict[tuple[bool, str | None], Listing] = defaultdict(lambda: StoredListing("event"))
        self.thin_events: dict[tuple[bool, str | None], StoredListing] = defaultdict(lambda: StoredListing("event"))
        self.objects: dict[tuple[bool, str | None], dict[str, StoredListing]] = defaultdict(dict)
        self.endpoints: dict[bool, dict[str, JsonObject]] = {True: {}, False: {}}
        self.destinations: dict[bool, dict[str, JsonObject]] = {True: {}, False: {}}
        self.destination_secrets: dict[str, str] = {}
        self.answers_by_key: dict[tuple[tuple[bool, str | None], str], KeptAnswer] = {}

    def caller(self, authorization: str, account: str | None) -> Caller:
        """Find the account of a request. Raises Refusal."""
        text = authorization.removeprefix("Bearer ")
        key = self.keys.get(text)
        if key is None:
            raise unauthorized(text)
        if key.is_revoked:
            raise expired(text)
        if account in (None, "", PLATFORM_ACCOUNT):
            return Caller(key, None)
        if account not in self.accounts:
            raise without_access(text, str(account))
        return Caller(key, account)

    def oldest(self) -> int:
        """The first second of which events are still there."""
        return int(self.clock()) - KEPT_SECONDS

    def happened(self, body: bytes) -> None:
        """Take in a snapshot event, as its webhook would carry it, and its object as it is from then on."""
        event = decode_object(body)
        account = event.get("account")
        scope = bool(event["livemode"]), account if isinstance(account, str) else None
        if scope[1] is not None:
            self.accounts.add(scope[1])
        listing = self.events[scope]
        if not isinstance(listing, StoredListing):
            raise TypeError("These events are made as they are asked for.")
        without_account = {name: value for name, value in event.items() if name != "account"}
        listing.put(Entry(str(event["id"]), _whole(event["created"]), without_account, str(event["type"])))
        data = event.get("data")
        about = data.get("object") if isinstance(data, Mapping) else None
        if isinstance(about, Mapping) and "id" in about:
            self.put_object(about, scope)

    def happened_thinly(
        self, body: bytes, *, snapshot_event: str | None = None, account: str | None = None, created: int
    ) -> None:
        """Take in a thin event by the body that is delivered; what is fetched says more."""
        event = decode_object(body)
        whole: JsonObject = {**event, "changes": None, "snapshot_event": snapshot_event}
        scope = bool(event["livemode"]), account
        self.thin_events[scope].put(Entry(str(event["id"]), created, whole, str(event["type"])))

    def put_object(self, thing: JsonObject, scope: tuple[bool, str | None]) -> None:
        """Keep an object as it is now."""
        kind = str(thing["object"])
        listing = self.objects[scope].setdefault(kind, StoredListing(kind))
        listing.put(Entry(str(thing["id"]), _whole(thing.get("created", 0)), thing))


def _whole(value: Json) -> int:
    if not isinstance(value, int):
        raise TypeError("a time at Stripe is a whole number of seconds")
    return value
