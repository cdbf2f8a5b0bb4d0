"""The pages for operators are as true as the code: their SQL runs and does what they say, their lists are complete."""

import importlib
import re
from pathlib import Path

import pytest

from healthd.rules import Reason
from sluice.postgres.pool import Database
from sluice.runtime.metrics import render

PAGES = {name: Path("docs", name).read_text(encoding="utf-8") for name in ("operations.md", "runbook.md")}
PAGE = "".join(PAGES.values())
BLOCKS: list[str] = re.findall(r"^ *```sql\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)
STATEMENTS = [part.strip() for block in BLOCKS for part in block.split(";") if part.strip()]

# What the application that Sluice replaces told its operators to run.
EARLIER_QUERIES = [
    "SELECT * FROM webhook_logs ORDER BY created_at DESC LIMIT 10",
    "SELECT * FROM webhook_logs WHERE processed = false ORDER BY created_at DESC",
    (
        "SELECT stripe_event_id, webhook_type, processing_attempts, last_error FROM webhook_logs "
        "WHERE processing_attempts > 0 ORDER BY created_at DESC"
    ),
    "SELECT * FROM error_logs ORDER BY created_at DESC LIMIT 20",
    "SELECT * FROM error_logs WHERE severity = 'critical' ORDER BY created_at DESC",
    "SELECT * FROM error_logs WHERE resolved = false ORDER BY created_at DESC",
    "SELECT id, name, payment_status, last_webhook_received FROM events ORDER BY created_at DESC",
    "SELECT * FROM events WHERE payment_status = 'failed'",
]
CHASSIS = (
    "sluice.postgres.pool",
    "sluice.nats.jetstream",
    "sluice.error_log.error_log",
    "sluice.runtime.secrets",
    "sluice.runtime.loop_lag",
    "sluice.runtime.output",
)
MEASURED = ("ingest.metrics", "processor.metrics", "healthd.metrics", "reconciler.endpoint.metrics", *CHASSIS)


@pytest.mark.parametrize("query", EARLIER_QUERIES)
def test_the_earlier_queries_are_there_word_for_word(query: str) -> None:
    """The queries of the design still work."""
    without_comments = [re.sub(r"--.*", "", statement) for statement in STATEMENTS]
    assert query in [" ".join(statement.split()) for statement in without_comments]


async def test_every_statement_runs(database: Database) -> None:
    """On a migrated database each of them is accepted as it stands."""
    assert len(STATEMENTS) > len(EARLIER_QUERIES)
    for statement in STATEMENTS:
        await database.fetch(statement)


@pytest.mark.parametrize("module", MEASURED)
def test_every_metric_is_explained(module: str) -> None:
    """Every metric is explained on the page."""
    importlib.import_module(module)
    names = re.findall(r"^# TYPE (\S+) ", render().decode(), re.MULTILINE)
    ours = [name for name in names if not name.startswith(("python_", "process_", "test_"))]  # test_: other tests' own
    assert not [name for name in ours if f"`{name}" not in PAGE]


def test_every_reason_is_explained() -> None:
    """Health gives no reason that the page does not know."""
    assert not [reason.value for reason in Reason if f"`{reason.value}`" not in PAGE]


@pytest.mark.parametrize("name", PAGES)
def test_links_to_sections_lead_somewhere(name: str) -> None:
    """Every anchor is a heading, on this page or on the other."""
    links = re.findall(r"\]\((operations\.md|runbook\.md)?#([^)]+)\)", PAGES[name])
    assert links
    assert not [(page, anchor) for page, anchor in links if anchor not in _anchors(PAGES[page or name])]


def _anchors(page: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
