"""Panels of what Stripe has and the log has not."""

from charts.dashboards.panels import PODS, Graph, Query, Row, each_minute, newest

STRIPE = Row(
    "What never arrived",
    (
        Graph(
            title="Seconds since each account was complete",
            description="Everything that Stripe created before that moment is in the log. It grows while the "
            "reconciler or Stripe is away, and while a long gap is filled.",
            runbook="the-log-is-not-known-to-be-complete",
            queries=(
                Query(
                    f"time() - {newest('reconcile_complete_until_timestamp_seconds', where=PODS, by='mode, account')}",
                    "{{mode}} {{account}}",
                ),
            ),
            unit="s",
        ),
        Graph(
            title="Webhooks that never arrived",
            description="Filled: found in Stripe's list and recorded. Refused: could not be recorded. Gap: missing "
            "while a pass goes on.",
            runbook="webhooks-never-arrived",
            queries=(
                Query(
                    each_minute("reconcile_events_total", where=f'{PODS},outcome="filled"', by="mode"),
                    "filled {{mode}}",
                ),
                Query(
                    each_minute("reconcile_events_total", where=f'{PODS},outcome="refused"', by="mode"),
                    "refused {{mode}}",
                ),
                Query(newest("reconcile_gap_events", where=PODS, by="mode, account"), "gap {{mode}} {{account}}"),
            ),
            unit="short",
        ),
        Graph(
            title="Requests to Stripe, by what came of them",
            description="One a minute for each account while nothing is missing. A refused key and a missing right "
            "have names of their own here.",
            runbook="stripe-refuses-our-key",
            queries=(Query(each_minute("reconcile_requests_total", where=PODS, by="outcome"), "{{outcome}}"),),
            unit="epm",
        ),
        Graph(
            title="Our endpoint at Stripe is enabled",
            description="1 while Stripe sends here. At 0 nothing comes, and nothing of it is sent later.",
            runbook="our-endpoint-at-stripe-has-a-fault",
            queries=(Query(newest("endpoint_enabled", where=PODS, by="mode"), "{{mode}}"),),
            unit="short",
            width=12,
        ),
        Graph(
            title="Findings about our endpoint",
            description="Each line is a fault or a warning: `sluice doctor` says more, and the cure.",
            runbook="our-endpoint-at-stripe-has-a-fault",
            queries=(
                Query(f"{newest('endpoint_findings', where=PODS, by='finding, weight')} > 0", "{{weight}} {{finding}}"),
            ),
            unit="short",
            width=12,
        ),
    ),
)
