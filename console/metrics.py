"""Metrics of the console; labels are names of ours, never an id or a person."""

from sluice.runtime import metrics

PAGES = metrics.counter("console_pages_total", "Pages served, by page and status.", ("page", "status"))
PAGE_SECONDS = metrics.histogram("console_page_seconds", "Time to make a page.", ("page",))
REFUSALS = metrics.counter("console_refusals_total", "Requests that were turned away, by why.", ("reason",))
RUNS = metrics.gauge("console_operations_running", "Operations that this console carries out now.")
