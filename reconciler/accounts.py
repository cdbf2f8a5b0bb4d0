"""The accounts whose events are listed: the platform's, and each connected one that is known."""

from collections.abc import Collection
from typing import NamedTuple

from sluice.contract.event import PLATFORM


class Account(NamedTuple):
    """One account in one mode."""

    livemode: bool
    account: str | None
    """``acct_…`` of a connected account; None: the platform's own."""

    @property
    def mode(self) -> str:
        """``live`` or ``test``."""
        return "live" if self.livemode else "test"

    @property
    def name(self) -> str:
        """How it is called in tables and metrics: ``platform`` or ``acct_…``."""
        return self.account or PLATFORM


def accounts_to_list(
    modes: Collection[bool], known: Collection[str], *, besides: Collection[str] = (), without: Collection[str] = ()
) -> frozenset[Account]:
    """
    Every account in every mode that a key opens.

    Args:
        modes: ``livemode`` of each key.
        known: connected accounts that the database knows.
        besides: more of them, as the settings name them.
        without: those that the settings leave out; ``platform`` leaves out the platform's own.
    """
    names = ({PLATFORM} | set(known) | set(besides)) - set(without)
    return frozenset(Account(mode, None if name == PLATFORM else name) for mode in modes for name in names)
