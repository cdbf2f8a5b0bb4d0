"""Is money flowing? The first line answers in five seconds; what is below shows since when, and where it stops."""

from charts.dashboards.panels import (
    ONE,
    Colour,
    Dashboard,
    Figure,
    Graph,
    Level,
    Query,
    Row,
    State,
    Timeline,
    half_and_most,
    newest,
    quantile,
    rate,
)

OURS = (
    "database_unavailable|defect|failure|not_configured|not_recorded|overloaded|secret_unreadable|timeout|unavailable"
)
"""Refusals of what Stripe signed and we could not take: the alert SluiceWebhooksRefused asks for the same."""
FORGED = "future_timestamp|invalid_signature|malformed_signature|missing_signature|stale_timestamp"

_ACKNOWLEDGED = rate("webhook_answer_seconds_count")
_TURNED_AWAY = rate("webhook_requests_refused_total", where=f'{ONE}, code=~"{OURS}"')
_STATUS = " or ".join(
    f'{weight} * healthd_status{{{ONE}, status="{status}"}}'
    for status, weight in (("healthy", 0), ("degraded", 1), ("unknown", 2), ("unhealthy", 3))
)
# What is about no service of its own has no such label, and a legend would show the label's name.
_FINDINGS = f'label_replace({newest("healthd_finding", by="reason, service")}, "service", "all", "service", "")'

AT_A_GLANCE = Row(
    "Is money flowing?",
    (
        Figure(
            title="Health",
            description="What GET /api/health says. Anything but healthy: the reasons are in “What is wrong” below.",
            runbook="health-is-not-green",
            queries=(Query(f"max ({_STATUS})", "status"),),
            unit="none",
            levels=(Level(1, Colour.LOOK), Level(2, Colour.UNCLEAR), Level(3, Colour.BAD)),
            states=(
                State(0, "healthy", Colour.GOOD),
                State(1, "degraded", Colour.LOOK),
                State(2, "unknown", Colour.UNCLEAR),
                State(3, "unhealthy", Colour.BAD),
            ),
            without_data="no healthd",
        ),
        Figure(
            title="Acknowledged",
            description="Webhooks answered 200, each of them committed. 0 in a busy hour: look into Stripe's dashboard "
            "whether it sends, and what it gets.",
            runbook="no-webhooks-arrive",
            queries=(Query(_ACKNOWLEDGED, "acknowledged"),),
            unit="reqps",
            without_data="no ingest",
        ),
        Figure(
            title="Turned away",
            description="The share that was answered 503 or 500 although Stripe had signed it. Stripe comes again for "
            "three days; “Refused, by code” on the other page says why.",
            runbook="webhooks-are-refused",
            queries=(Query(f"{_TURNED_AWAY} / clamp_min({_TURNED_AWAY} + {_ACKNOWLEDGED}, 1e-9)", "turned away"),),
            unit="percentunit",
            levels=(Level(0.001, Colour.LOOK), Level(0.05, Colour.BAD)),
            decimals=1,
            without_data="no ingest",
        ),
        Figure(
            title="Answer, p99",
            description="Ninety-nine of a hundred webhooks are answered faster. Above 1 s: look at the time per write "
            "and the pool on the other page.",
            runbook="answers-are-slow",
            queries=(Query(quantile(0.99, "webhook_answer_seconds"), "p99"),),
            unit="s",
            levels=(Level(1, Colour.LOOK), Level(3, Colour.BAD)),
            without_data="no traffic",
        ),
        Figure(
            title="Oldest unprocessed",
            description="How long the oldest webhook that is not parked has waited for its effect. Minutes: customers "
            "have paid and do not see it.",
            runbook="the-backlog-grows",
            queries=(Query(newest("healthd_oldest_unprocessed_age_seconds"), "oldest"),),
            unit="s",
            levels=(Level(60, Colour.LOOK), Level(300, Colour.BAD)),
            without_data="unknown",
        ),
        Figure(
            title="Backlog",
            description="Webhooks neither processed nor dead, parked ones too; the count stops at 10,000. It may rise "
            "in a rush and must fall again.",
            runbook="the-backlog-grows",
            queries=(Query(newest("healthd_webhooks_backlog"), "backlog"),),
            unit="short",
            levels=(Level(1_000, Colour.LOOK), Level(10_000, Colour.BAD)),
            without_data="unknown",
        ),
        Figure(
            title="Dead",
            description="Webhooks that were given up. Each wants a person: replay it, or write it off.",
            runbook="dead-rows",
            queries=(Query(newest("healthd_webhooks_dead"), "dead"),),
            unit="short",
            levels=(Level(1, Colour.BAD),),
            without_data="unknown",
        ),
        Figure(
            title="Parked",
            description="Webhooks that name a row of events that does not exist yet. Many for long: an application "
            "writes wrong ids into Stripe's metadata.",
            runbook="parked-rows",
            queries=(Query(newest("healthd_webhooks_parked"), "parked"),),
            unit="short",
            levels=(Level(1, Colour.LOOK), Level(21, Colour.BAD)),
            without_data="unknown",
        ),
    ),
)

_EFFECTS = "webhook_processing_delay_seconds"
_IN_TIME = f'sum (rate({_EFFECTS}_bucket{{{ONE}, le="5.0"}}[1h])) / sum (rate({_EFFECTS}_count{{{ONE}}}[1h]))'
_COMPLETE_UNTIL = f"min ({newest('reconcile_complete_until_timestamp_seconds', by='mode, account')})"

TAKING_IN = Row(
    "Taking in",
    (
        Graph(
            title="Acknowledged, by outcome",
            description="Recorded is new, duplicate is known and answered 200 all the same. Nothing but duplicates: "
            "Stripe never gets our answers; look at the way between.",
            runbook="no-webhooks-arrive",
            queries=(Query(rate("webhook_events_received_total", by="outcome"), "{{outcome}}"),),
            unit="reqps",
            stacked=True,
            colours={"recorded": Colour.GOOD, "duplicate": Colour.NEUTRAL},
        ),
        Graph(
            title="Refused",
            description="Ours: 503 or 500, Stripe comes again. Signature: wrong, missing or out of time. Other: no "
            "webhook at all. Ours above 0 is an outage; signatures alone may be a rolled secret.",
            runbook="webhooks-are-refused",
            queries=(
                Query(_TURNED_AWAY, "ours"),
                Query(rate("webhook_requests_refused_total", where=f'{ONE}, code=~"{FORGED}"'), "signature"),
                Query(rate("webhook_requests_refused_total", where=f'{ONE}, code!~"{OURS}|{FORGED}"'), "other"),
            ),
            unit="reqps",
            colours={"ours": Colour.BAD, "signature": Colour.LOOK, "other": Colour.NEUTRAL},
        ),
        Graph(
            title="Answer time",
            description="From the head of a request to its 200. The lines are our promises: durable within 1 s, "
            "answered within 3 s.",
            runbook="answers-are-slow",
            queries=half_and_most("webhook_answer_seconds"),
            unit="s",
            levels=(Level(1, Colour.LOOK), Level(3, Colour.BAD)),
        ),
    ),
)

TAKING_EFFECT = Row(
    "Taking effect",
    (
        Graph(
            title="Oldest unprocessed",
            description="Rises by a second each second while nothing is processed. Is it one event or all? The "
            "runbook's first statement says.",
            runbook="the-backlog-grows",
            queries=(Query(newest("healthd_oldest_unprocessed_age_seconds"), "oldest"),),
            unit="s",
            levels=(Level(60, Colour.LOOK), Level(300, Colour.BAD)),
        ),
        Graph(
            title="What waits",
            description="Of the backlog, failing is retried by itself and parked waits for its row of events; dead "
            "waits for a person, and paused, which is no backlog, for the end of a pause.",
            runbook="the-backlog-grows",
            queries=(
                Query(newest("healthd_webhooks_backlog"), "backlog"),
                Query(newest("healthd_webhooks_paused"), "paused"),
                Query(newest("healthd_webhooks_failing"), "failing"),
                Query(newest("healthd_webhooks_parked"), "parked"),
                Query(newest("healthd_webhooks_dead"), "dead"),
            ),
            unit="short",
            colours={
                "backlog": Colour.NEUTRAL,
                "paused": Colour.LOOK,
                "failing": Colour.UNCLEAR,
                "parked": Colour.LOOK,
                "dead": Colour.BAD,
            },
        ),
        Graph(
            title="Processed, by outcome",
            description="Applied is money; ignored says nothing of a payment. Duplicate and locked are harmless; "
            "failed, parked and missing are not.",
            runbook="the-backlog-grows",
            queries=(Query(rate("webhook_events_processed_total", by="outcome"), "{{outcome}}"),),
            unit="eps",
            stacked=True,
            colours={"applied": Colour.GOOD, "failed": Colour.BAD, "parked": Colour.LOOK, "ignored": Colour.NEUTRAL},
        ),
        Graph(
            title="From receipt to effect",
            description="Our own part of the way. Seconds, while the oldest unprocessed is young: handlers are slow, "
            "or there are too few processors.",
            runbook="the-backlog-grows",
            queries=half_and_most("webhook_processing_delay_seconds"),
            unit="s",
            levels=(Level(60, Colour.LOOK), Level(300, Colour.BAD)),
        ),
        Graph(
            title="From Stripe's created to effect",
            description="The whole way, in whole seconds. Long here and short beside it: Stripe sent late, or again "
            "after it was refused.",
            runbook="webhooks-are-refused",
            queries=half_and_most("webhook_effect_age_seconds"),
            unit="s",
            levels=(Level(60, Colour.LOOK), Level(300, Colour.BAD)),
        ),
        Timeline(
            title="What is wrong",
            description="Each reason that healthd gives, while it holds, and the service that it is about.",
            runbook="health-is-not-green",
            queries=(Query(_FINDINGS, "{{reason}} ({{service}})"),),
            unit="none",
            states=(State(1, "wrong", Colour.BAD),),
        ),
    ),
)

PROMISES = Row(
    "What we promise",
    (
        Graph(
            title="Kept, of the last hour",
            description="The share of webhooks whose effect came within 5 s of their receipt, and of minutes in which "
            "every account was complete until five minutes ago. Below 99.9% the month's share is being used up.",
            runbook="a-promise-is-not-kept",
            queries=(
                Query(_IN_TIME, "effect within 5 s"),
                Query(f"avg_over_time((time() - {_COMPLETE_UNTIL} <= bool 300)[1h:10s])", "reconciled within 5 min"),
            ),
            unit="percentunit",
            levels=(Level(0.999, Colour.GOOD),),
            decimals=2,
            width=12,
        ),
        Graph(
            title="Since a ping came back",
            description="Our destination at Stripe is pinged every few minutes, and each ping takes the way of a "
            "payment. A saw is well; a line that rises is silence. None: no thin destination, or no right to ping it.",
            runbook="the-canary-is-silent",
            queries=(Query(f"time() - {newest('endpoint_ping_echo_timestamp_seconds', by='mode')}", "{{mode}}"),),
            unit="s",
            levels=(Level(600, Colour.BAD),),
            width=12,
        ),
    ),
)

MONEY = Dashboard(
    name="money",
    title="Sluice: is money flowing?",
    description="Whether Stripe's webhooks come in, are answered in time and take effect.",
    rows=(AT_A_GLANCE, TAKING_IN, TAKING_EFFECT, PROMISES),
    chooses_pods=False,
    shows_hours=3,
)
