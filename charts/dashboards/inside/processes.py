"""The processes themselves."""

from charts.dashboards.panels import ONE, PODS, Colour, Graph, Level, Query, Row, each_minute, newest, quantile, rate

PROCESSES = Row(
    "The processes",
    (
        Graph(
            title="Event loop lag, p99, by replica",
            description="How late a timer woke; what blocks the loop makes every answer late. Seen together with a "
            "throttled CPU: raise its limit. Alone: something computes for too long in one go.",
            runbook="answers-are-slow",
            queries=(Query(quantile(0.99, "event_loop_lag_seconds", where=PODS, by="pod"), "{{pod}}"),),
            unit="s",
            levels=(Level(0.25, Colour.LOOK), Level(1, Colour.BAD)),
        ),
        Graph(
            title="Memory, by replica",
            description="Resident memory. At the container's limit the process is killed (exit code 137): compare.",
            runbook="a-service-is-gone",
            queries=(Query(newest("process_resident_memory_bytes", where=PODS, by="pod"), "{{pod}}"),),
            unit="bytes",
        ),
        Graph(
            title="CPU, by replica",
            description="Cores in use. One process uses one core at most: near 1, let more replicas share the load.",
            runbook="answers-are-slow",
            queries=(Query(rate("process_cpu_seconds_total", where=PODS, by="pod"), "{{pod}}"),),
            unit="short",
            levels=(Level(0.8, Colour.LOOK), Level(1, Colour.BAD)),
        ),
        Graph(
            title="Running for, by replica",
            description="Falls to zero with each start. Again and again: it crashes, and the last lines of its log "
            "before that say why.",
            runbook="a-service-is-gone",
            queries=(Query(f"time() - {newest('process_start_time_seconds', where=PODS, by='pod')}", "{{pod}}"),),
            unit="s",
        ),
        Graph(
            title="Replicas that answer, by service",
            description="As healthd sees them; below the Deployment's number one hangs, or cannot be reached.",
            runbook="a-service-is-gone",
            queries=(Query(newest("healthd_service_live_replicas", by="service"), "{{service}}"),),
            unit="short",
        ),
        Graph(
            title="Client connections, by replica",
            description="Open connections of Stripe, or of the proxy before us; at 2,000 each the next is closed. "
            "Uneven ones: the proxy keeps to one replica.",
            runbook="webhooks-are-refused",
            queries=(Query(newest("http_connections", where=PODS, by="pod"), "{{pod}}"),),
            unit="short",
        ),
        Graph(
            title="Errors reported, by severity",
            description="Each is a row in error_logs, which says what, where and of which event.",
            runbook="health-is-not-green",
            queries=(Query(each_minute("error_log_entries_total", where=PODS, by="severity"), "{{severity}}"),),
            unit="epm",
            colours={"critical": Colour.BAD, "high": Colour.UNCLEAR, "error": Colour.LOOK},
        ),
        Graph(
            title="Our clock and Stripe's, by replica",
            description="The difference at the newest webhook, its way here included. Beyond 30 s set the node's "
            "clock; at five minutes every signature is refused.",
            runbook="clocks-differ",
            queries=(Query(f"max by (pod) (abs(webhook_clock_skew_seconds{{{PODS}}}))", "{{pod}}"),),
            unit="s",
            levels=(Level(30, Colour.LOOK), Level(300, Colour.BAD)),
        ),
        Graph(
            title="Age of healthd's looks",
            description="Beyond a minute its figures on these pages are gone or old, and its alerts are silent.",
            runbook="healthd-is-blind",
            queries=(Query(f"min by (source) (healthd_poll_age_seconds{{{ONE}}})", "{{source}}"),),
            unit="s",
            levels=(Level(15, Colour.LOOK), Level(60, Colour.BAD)),
        ),
    ),
)
