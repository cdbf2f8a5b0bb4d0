"""Panels of ingest: webhooks received, written and refused."""

from charts.dashboards.panels import PODS, Colour, Graph, Level, Query, Row, each_minute, half_and_most, newest, rate

INGEST = Row(
    "ingest: taking in",
    (
        Graph(
            title="Webhooks in one write",
            description="All requests that wait share a write, so large batches with steady times mean load, no fault.",
            runbook="answers-are-slow",
            queries=half_and_most("journal_batch_rows", where=PODS),
            unit="short",
        ),
        Graph(
            title="Time per write",
            description="From taking a connection to the commit. It grows: a slow or full disk, a checkpoint, a "
            "synchronous standby that lags.",
            runbook="answers-are-slow",
            queries=half_and_most("journal_write_seconds", where=PODS),
            unit="s",
            levels=(Level(1, Colour.BAD),),
        ),
        Graph(
            title="Waiting to be written, by replica",
            description="Webhooks in memory, not yet answered. At 10,000 more are refused with 503: writes are "
            "too slow.",
            runbook="answers-are-slow",
            queries=(Query(newest("journal_queue_rows", where=PODS, by="pod"), "{{pod}}"),),
            unit="short",
        ),
        Graph(
            title="Writes that failed, by what followed",
            description="Repeated and halved ones cost time only. A refusal was answered 503: look for PostgreSQL's "
            "error in the log of ingest.",
            runbook="webhooks-are-refused",
            queries=(Query(each_minute("journal_failures_total", where=PODS, by="followed_by"), "{{followed_by}}"),),
            unit="epm",
            colours={"refusal": Colour.BAD},
        ),
        Graph(
            title="Refused, by code",
            description="The code is the one in the answer. The runbook says of each where to look.",
            runbook="webhooks-are-refused",
            queries=(
                Query(each_minute("webhook_requests_refused_total", where=PODS), "all"),
                Query(f"{each_minute('webhook_requests_refused_total', where=PODS, by='code')} > 0", "{{code}}"),
            ),
            unit="epm",
            colours={"all": Colour.NEUTRAL},
        ),
        Graph(
            title="Acknowledged, by type",
            description="The ten types that come most. One that is missing: it is not chosen at Stripe's endpoint.",
            runbook="no-webhooks-arrive",
            queries=(
                Query(rate("webhook_events_received_total", where=PODS), "all"),
                Query(
                    f"topk(10, {rate('webhook_events_received_total', where=PODS, by='event_type')} > 0)",
                    "{{event_type}}",
                ),
            ),
            unit="reqps",
            colours={"all": Colour.NEUTRAL},
        ),
    ),
)
