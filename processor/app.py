"""The processor as it is deployed: with every handler that is installed, and the watch over ``events`` rows."""

import processor.handlers
from processor.assembly import serve_with
from processor.heal import Projection
from processor.ledger import reconsider
from processor.row_watch import RowWatch
from sluice.chassis.service import Service
from sluice.registry import discover


async def serve(service: Service) -> None:
    """Process until the service is told to stop; every handler is found before the first message is fetched."""
    await serve_with(service, discover(processor.handlers), Projection(RowWatch().take, reconsider))
