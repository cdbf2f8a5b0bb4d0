"""The dashboard "what is wrong inside?": from the outside in, and then the processes themselves."""

from charts.dashboards.inside.connections import CONNECTIONS
from charts.dashboards.inside.ingest import INGEST
from charts.dashboards.inside.processes import PROCESSES
from charts.dashboards.inside.processor import PROCESSOR
from charts.dashboards.inside.stream import STREAM
from charts.dashboards.inside.stripe import STRIPE
from charts.dashboards.panels import Dashboard

INSIDE = Dashboard(
    name="inside",
    title="Sluice: what is wrong inside?",
    description="Where time and work get stuck, replica by replica.",
    rows=(CONNECTIONS, INGEST, STREAM, PROCESSOR, STRIPE, PROCESSES),
    chooses_pods=True,
    shows_hours=1,
)
