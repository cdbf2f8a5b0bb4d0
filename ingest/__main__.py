"""``python -m ingest``, also ``sluice-ingest``: receive Stripe's webhooks."""

import os

from ingest.app import serve
from ingest.settings import SECRET_NAME, IngestSettings, secret_faults
from sluice.runtime import output
from sluice.runtime.settings import load
from sluice.service.command_line import explain
from sluice.service.service import run

_PURPOSE = "Receive Stripe's webhooks, record each in PostgreSQL, answer 200, and publish it to JetStream."
_SECRET = "secrets that sign platform webhooks, with commas (without one they are answered 503)"  # noqa: S105  says what it is


def main() -> None:
    """Run ingest until SIGTERM or SIGINT."""
    output.protect("ingest")
    explain("sluice-ingest", _PURPOSE, IngestSettings, besides={SECRET_NAME: _SECRET})
    run("ingest", load(IngestSettings, besides=secret_faults(os.environ)), serve)


if __name__ == "__main__":
    main()
