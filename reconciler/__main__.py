"""``python -m reconciler``, also ``sluice-reconciler``: ask Stripe what never arrived."""

import os

from reconciler.app import NAME, serve
from reconciler.settings import KEY_NAME, ReconcilerSettings, key_faults
from sluice.runtime import output
from sluice.runtime.settings import load
from sluice.service.command_line import explain
from sluice.service.service import run

_PURPOSE = "Ask Stripe for webhooks that never arrived, and record them."
_KEY = "restricted key that may read events and webhook endpoints; of each mode one, with a comma"


def main() -> None:
    """Run the reconciler until SIGTERM or SIGINT."""
    output.protect(NAME)
    explain("sluice-reconciler", _PURPOSE, ReconcilerSettings, besides={KEY_NAME: _KEY})
    run(NAME, load(ReconcilerSettings, besides=key_faults(os.environ)), serve)


if __name__ == "__main__":
    main()
