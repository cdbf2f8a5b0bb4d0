"""A handler that takes its whole process down, as a bug in a C library would; ``make recovery`` installs it."""

import os
from pathlib import Path

from sluice.contract.event import StripeEvent
from sluice.registry import Transaction, handles

EVENT_TYPE = "recovery.kills"
_METADATA = "Metadata-Version: 2.1\nName: recovery-killer\nVersion: 0\n"
_ENTRY_POINTS = f"[sluice.handlers]\nkiller = {__name__}\n"


@handles(EVENT_TYPE)
async def kill(of: StripeEvent, _: Transaction) -> None:
    """End the process in the middle of its transaction."""
    os._exit(137 if of.stripe_event_id else 0)


def install(folder: Path) -> str:
    """Make this module one of the handlers of services whose ``PYTHONPATH`` is what this returns."""
    about = folder / "recovery_killer-0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(_METADATA)
    (about / "entry_points.txt").write_text(_ENTRY_POINTS)
    return str(folder)
