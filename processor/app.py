"""The processor as it is deployed: with every handler that is installed, and the watch over ``events`` rows."""

from processor.assembly import serve_with
from processor.installed import installed_handlers
from processor.payments.backfill import Projection
from processor.payments.ledger import reconsider
from processor.payments.row_watch import RowWatch
from processor.settings import ProcessorSettings
from sluice.service.service import Service


async def serve(service: Service) -> None:
    """Process until the service is told to stop; every handler is found before the first message is fetched."""
    settings = service.settings
    if not isinstance(settings, ProcessorSettings):
        raise TypeError("the processor is run with ProcessorSettings")
    await serve_with(service, installed_handlers(settings), Projection(RowWatch().take, reconsider))
