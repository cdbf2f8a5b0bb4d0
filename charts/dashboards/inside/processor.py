"""Panels of the processor: outcomes, attempts, batches."""

from charts.dashboards.panels import (
    PODS,
    Colour,
    Graph,
    Level,
    Query,
    Row,
    State,
    Timeline,
    each_minute,
    half_and_most,
    newest,
    quantile,
    rate,
)

_FAILED = f'{PODS}, outcome="failed"'

PROCESSOR = Row(
    "processor: taking effect",
    (
        Graph(
            title="Messages in one fetch",
            description="Small while there is little to do; full batches (BATCH_SIZE, 100) all the time mean that "
            "processors are the bottleneck.",
            runbook="the-backlog-grows",
            queries=half_and_most("webhook_batch_events", where=PODS),
            unit="short",
        ),
        Graph(
            title="Handler time, p99, by handler",
            description="One call, of one handler, for its share of a batch. All of a batch get 4 s together: the slow "
            "one is named here.",
            runbook="the-backlog-grows",
            queries=(
                Query(quantile(0.99, "webhook_handler_duration_seconds", where=PODS, by="handler"), "{{handler}}"),
            ),
            unit="s",
            levels=(Level(1, Colour.LOOK), Level(4, Colour.BAD)),
        ),
        Graph(
            title="Failures, by type of event",
            description="Attempts of which a handler made nothing. They are tried again for three days; last_error in "
            "webhook_logs names handler and line. Mend it, deploy, and they come back by themselves.",
            runbook="the-backlog-grows",
            queries=(
                Query(each_minute("webhook_events_processed_total", where=_FAILED), "all"),
                Query(
                    f"{each_minute('webhook_events_processed_total', where=_FAILED, by='event_type')} > 0",
                    "{{event_type}}",
                ),
            ),
            unit="epm",
            colours={"all": Colour.NEUTRAL},
        ),
        Graph(
            title="Transactions rolled back, by whose fault",
            description="Event and hopeless: its own. Collision and contention: others hold locks on your tables; find "
            "them. Outage: PostgreSQL.",
            runbook="the-backlog-grows",
            queries=(Query(each_minute("webhook_transaction_failures_total", where=PODS, by="blame"), "{{blame}}"),),
            unit="epm",
        ),
        Graph(
            title="Given up, by last outcome",
            description="Each left a critical row in error_logs. Mend the cause before you replay them.",
            runbook="dead-rows",
            queries=(Query(each_minute("webhook_events_dead_total", where=PODS, by="outcome"), "{{outcome}}"),),
            unit="epm",
        ),
        Graph(
            title="Lost, unreadable and forged",
            description="Lost: the stream has a webhook that PostgreSQL has not, as after a failover to a standby that "
            "was behind; restore it within 72 hours. Unreadable, forged: another client publishes on stripe.>; no such "
            "message is run.",
            runbook="postgresql-lost-webhooks",
            queries=(
                Query(each_minute("webhook_events_missing_total", where=PODS), "lost by PostgreSQL"),
                Query(each_minute("webhook_messages_unreadable_total", where=PODS), "unreadable"),
                Query(each_minute("webhook_messages_forged_total", where=PODS), "forged"),
            ),
            unit="epm",
            colours={"lost by PostgreSQL": Colour.BAD, "unreadable": Colour.LOOK, "forged": Colour.BAD},
        ),
        Graph(
            title="Messages processed, by replica",
            description="Whatever became of them. Replicas share the stream; one that does nothing while others work "
            "does not fetch: see whether it waits or is stuck.",
            runbook="the-backlog-grows",
            queries=(Query(rate("webhook_events_processed_total", where=PODS, by="pod"), "{{pod}}"),),
            unit="eps",
        ),
        Timeline(
            title="Waiting for PostgreSQL, by replica",
            description="Whether a processor has stopped fetching until PostgreSQL answers. One alone: its network or "
            "its pool; all of them: PostgreSQL.",
            runbook="postgresql-is-down",
            queries=(Query(newest("processor_outage", where=PODS, by="pod"), "{{pod}}"),),
            unit="none",
            states=(State(0, "working", Colour.GOOD), State(1, "waiting", Colour.BAD)),
        ),
        Graph(
            title="Since the last turn, by replica",
            description="The loop turns every few seconds, also when idle. Minutes: a handler blocks it; look at its "
            "log, and restart it.",
            runbook="the-backlog-grows",
            queries=(
                Query(f"time() - {newest('processor_last_turn_timestamp_seconds', where=PODS, by='pod')}", "{{pod}}"),
            ),
            unit="s",
            levels=(Level(30, Colour.LOOK), Level(120, Colour.BAD)),
        ),
    ),
)
