"""A hint for the most common first fault: a webhook refused for its signature."""

import time
from collections.abc import Callable, Mapping

from sluice.simulator.client import FORGERY_HEADER

HINT = (
    "A webhook was refused: no secret that ingest knows has signed it. With the Stripe CLI, put what "
    "`stripe listen --print-secret` prints into .env as STRIPE_WEBHOOK_SECRET=whsec_… and start again. "
    "An organiser's own URL goes by webhook_secret of that row of events."
)
QUIET_SECONDS = 60.0


class SignatureHint:
    """Says it at most once a minute, and not of what the simulator forged on purpose."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._quiet_until = float("-inf")

    def on_refused(self, service: str, status: int, body_start: bytes, headers: Mapping[str, str]) -> None:
        """Hear of a refusal, with the start of its answer and the request's headers."""
        if service != "ingest" or status != 400 or b"signature" not in body_start.lower():  # noqa: PLR2004
            return
        if FORGERY_HEADER in headers:
            return
        if self._clock() >= self._quiet_until:
            self._quiet_until = self._clock() + QUIET_SECONDS
            self._say(HINT)
