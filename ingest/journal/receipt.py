"""Results of ``Journal.record``."""

from dataclasses import dataclass
from typing import Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class Recorded:
    """The event is in the log, and was not before."""


@dataclass(frozen=True, slots=True)
class AlreadyRecorded:
    """The event was in the log; this delivery of it is recorded beside it."""


Receipt: TypeAlias = Recorded | AlreadyRecorded
RECORDED, ALREADY_RECORDED = Recorded(), AlreadyRecorded()


class ReceiptSink(Protocol):
    """Takes one delivery's receipt; an ``asyncio.Future`` is one. It must not answer before the caller has returned."""

    def done(self) -> bool:
        """Whether no request waits any more."""

    def set_result(self, receipt: Receipt, /) -> None:
        """It is durable."""

    def set_exception(self, failure: BaseException, /) -> None:
        """It is not recorded, as far as we know."""
