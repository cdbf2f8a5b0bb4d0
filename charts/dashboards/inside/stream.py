"""Panels of JetStream and of the relay that fills it."""

from charts.dashboards.panels import PODS, Colour, Graph, Query, Row, State, Timeline, each_minute, newest, rate

STREAM = Row(
    "JetStream and the relay",
    (
        Graph(
            title="JetStream's lag",
            description="Pending: no processor was given it yet; add processors, or see why they do not fetch. "
            "Unacknowledged: given, and not done with; a processor is slow or died.",
            runbook="the-backlog-grows",
            queries=(
                Query(newest("healthd_stream_pending"), "pending"),
                Query(newest("healthd_stream_ack_pending"), "unacknowledged"),
            ),
            unit="short",
        ),
        Graph(
            title="Beside the stream, by replica",
            description="Again: a processor held these messages before and never answered: it died, or met a locked "
            "row. Taken: from PostgreSQL, as the stream brought none. While all is well neither; without NATS all.",
            runbook="nats-is-down-or-lost-its-store",
            queries=(
                Query(each_minute("webhook_messages_redelivered_total", where=PODS, by="pod"), "again {{pod}}"),
                Query(each_minute("webhook_events_taken_directly_total", where=PODS, by="pod"), "taken {{pod}}"),
            ),
            unit="epm",
        ),
        Graph(
            title="Messages published, by reason",
            description="Fresh ones come from the requests, due ones are retries; the rest are repairs.",
            runbook="nats-is-down-or-lost-its-store",
            queries=(Query(rate("relay_published_total", where=PODS, by="reason"), "{{reason}}"),),
            unit="eps",
            stacked=True,
            colours={"fresh": Colour.GOOD, "due": Colour.NEUTRAL},
        ),
        Graph(
            title="The relay's repairs",
            description="Webhooks published again because their message was never stored (unsent), was lost (passed) "
            "or is overdue. With nothing restarted, NATS loses messages: see STREAM_MAX_BYTES.",
            runbook="nats-is-down-or-lost-its-store",
            queries=(Query(each_minute("relay_repairs_total", where=PODS, by="reason"), "{{reason}}"),),
            unit="epm",
        ),
        Graph(
            title="Not published, by cause",
            description="The sweep brings them within seconds. Away and dropped: NATS; too late: it is slow; refused: "
            "its log says why.",
            runbook="nats-is-down-or-lost-its-store",
            queries=(Query(each_minute("relay_unpublished_total", where=PODS, by="cause"), "{{cause}}"),),
            unit="epm",
        ),
        Timeline(
            title="Connected to NATS, by replica",
            description="Whether stream and consumer are known to be there. One replica alone without: its network or "
            "its credentials; all of them: NATS.",
            runbook="nats-is-down-or-lost-its-store",
            queries=(Query(newest("nats_connected", where=PODS, by="pod"), "{{pod}}"),),
            unit="none",
            states=(State(0, "away", Colour.BAD), State(1, "connected", Colour.GOOD)),
        ),
    ),
)
