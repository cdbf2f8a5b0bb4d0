"""
Failures, sorted by what the caller must do.

    Failure
    ├── Rejected      never try again    HTTP 400 or 413    dead at once
    ├── Unavailable   try again later    HTTP 503           left unacknowledged
    └── Defect        ours; raise alarm  HTTP 500           tried again, then dead

Each edge (HTTP in ingest, acknowledgement in processor) has one table that translates these.
"""


class Failure(Exception):
    """Something that Sluice expected might go wrong; the docstring of a subclass is its default message."""

    code = "failure"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or " ".join((type(self).__doc__ or self.code).split()))


class Rejected(Failure):
    """This input can never be accepted."""

    code = "rejected"
    stripe_event_id: str | None = None
    """The one event, of many that were handled together, that is meant; None: not known."""


class Unavailable(Failure):
    """Something that this work needs is away; try again later."""

    code = "unavailable"


class Defect(Failure):
    """Sluice itself is at fault."""

    code = "defect"


class MalformedEvent(Rejected):
    """The body is not a Stripe event."""

    code = "malformed_event"


class TooManyFacts(Rejected):
    """The event says more of payments than one event may."""

    code = "too_many_facts"


class UnknownContractVersion(Defect):
    """A message on the stream does not follow the contract that this version of Sluice knows."""

    code = "unknown_contract_version"


class DatabaseUnavailable(Unavailable):
    """PostgreSQL did not answer in time."""

    code = "database_unavailable"


class StreamUnavailable(Unavailable):
    """NATS JetStream did not answer in time."""

    code = "stream_unavailable"
