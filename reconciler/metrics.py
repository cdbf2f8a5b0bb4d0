"""Metrics of the reconciler; only the replica that works shows an account's figures."""

from sluice.runtime import metrics

REQUESTS = metrics.counter(
    "reconcile_requests_total",
    "Requests to Stripe, by what they ask for and what came of them.",
    ("mode", "of", "outcome"),
)
