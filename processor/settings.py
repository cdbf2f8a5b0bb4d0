"""Everything that a person configures about the processor."""

from typing import Self

from pydantic import Field, SecretStr, model_validator

from sluice.runtime.settings import BeyondRollouts, ServiceSettings

HOUR = 3600
DAY = 24 * HOUR
_HANDLING_SHARE = 0.8
"""How much of a transaction's time the handlers get; the rest is for claiming, settling and committing."""


class ProcessorSettings(ServiceSettings):
    """How the processor works; each name is an environment variable in capitals."""

    stripe_secret_key: SecretStr | None = Field(
        None, description="for handlers that ask Stripe; health is degraded if there are any and it is missing"
    )
    ready_without_database_seconds: BeyondRollouts = Field(
        900, description="seconds from the start until ready although PostgreSQL was never reached"
    )
    batch_size: int = Field(500, ge=1, le=1000, description="events in one transaction at most")
    concurrent_batches: int = Field(
        4, ge=1, le=16, description="transactions at once in a backlog; the pool keeps a connection free"
    )
    ack_wait_seconds: float = Field(
        6, ge=1, description="after how long the messages of a processor that died come again"
    )
    max_ack_pending: int = Field(5000, ge=1, description="unacknowledged messages of all processors together")
    stream_grace_seconds: float = Field(
        2, gt=0, le=3600, description="how long NATS may be away before due webhooks are taken from PostgreSQL"
    )
    handler_seconds: float = Field(4, gt=0, description="time budget of all handlers of one transaction")
    lock_seconds: float = Field(2, gt=0, description="how long a statement waits for a locked row")
    attempts: int = Field(16, ge=1, description="failed attempts after which an event is dead")
    attempts_over_seconds: float = Field(72 * HOUR, ge=0, description="over how long the attempts are spread")
    parked_patience_seconds: float = Field(7 * DAY, ge=0, description="how long an event waits for its events row")
    trust_client_reference_id: bool = Field(
        True, description="whether `client_reference_id` names a row; on Payment Links the buyer chooses it"
    )
    solo_starts: int = Field(3, ge=1, description="runs alone that may end with their process before death")
    heal_seconds: float = Field(2, gt=0, description="how often events rows are looked at that appear or change")

    @property
    def transaction_seconds(self) -> float:
        """Time budget of one whole transaction: claim, handle, settle, commit."""
        return self.handler_seconds / _HANDLING_SHARE

    @property
    def batches_at_once(self) -> int:
        """Transactions at once for which the pool has connections, one being left for all else."""
        return max(1, min(self.concurrent_batches, self.database_pool_max_size - 1))

    @property
    def hold_seconds(self) -> float:
        """How long fetched messages may wait for their transaction to begin, before others get them."""
        return 2 * self.transaction_seconds

    @model_validator(mode="after")
    def _a_transaction_ends_before_its_message_comes_again(self) -> Self:
        if self.transaction_seconds > self.ack_wait_seconds:
            raise ValueError("HANDLER_SECONDS must be at most 0.8 of ACK_WAIT_SECONDS; raise the latter")
        if self.lock_seconds >= self.handler_seconds:
            raise ValueError("LOCK_SECONDS must be below HANDLER_SECONDS; lower the former")
        return self
