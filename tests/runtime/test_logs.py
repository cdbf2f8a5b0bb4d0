import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from sluice.runtime import logs

Lines = Callable[[], list[dict[str, object]]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """The lines logged since, as objects."""
    before = logging.root.handlers[:]
    logs.configure("ingest", "info")
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    structlog.reset_defaults()
    logging.root.handlers[:] = before


def test_a_line_is_one_json_object_with_service_time_and_level(lines: Lines) -> None:
    """Machines read it; a newline in a value starts no new line."""
    logs.get_logger().info("event_processed", event_id="evt_1", note="a\nb")
    (line,) = lines()
    assert line["event"] == "event_processed"
    assert (line["service"], line["level"], line["event_id"], line["note"]) == ("ingest", "info", "evt_1", "a\nb")
    assert str(line["timestamp"]).endswith("Z")


def test_less_than_the_level_is_not_logged(lines: Lines) -> None:
    """Debug costs nothing while it is off."""
    logs.get_logger().debug("noise")
    assert lines() == []


def test_secrets_never_reach_a_line(lines: Lines) -> None:
    """In a value, inside a list or a mapping, in an exception."""
    log = logs.get_logger()
    log.warning("odd", url="postgresql://a:hunter2@db/x", many=["whsec_abc123"], map={"k": "sk_live_abc123"})
    log.error("broke", exc_info=ValueError("whsec_abc123"))
    shown = json.dumps(lines())
    assert shown.count("[redacted]") == 4
    for secret in ("hunter2", "whsec_abc123", "sk_live_abc123"):
        assert secret not in shown


def test_an_exception_shows_its_trace_without_local_variables(lines: Lines) -> None:
    """Locals are where bodies and keys are."""

    def handle(body: str) -> None:
        del body
        raise LookupError("nothing there")

    body = "the body " + str(len("of a webhook"))
    try:
        handle(body)
    except LookupError:
        logs.get_logger().exception("broke")
    (line,) = lines()
    assert "in handle" in str(line["exception"])
    assert "LookupError: nothing there" in str(line["exception"])
    assert body not in str(line["exception"])


def test_what_libraries_log_has_the_same_form(lines: Lines) -> None:
    """One stream, one format, also for what asyncpg and aiohttp say."""
    logging.getLogger("asyncpg.pool").warning("lost %s", "nats://a:hunter2@host:1")
    (line,) = lines()
    assert (line["logger"], line["level"]) == ("asyncpg.pool", "warning")
    assert "hunter2" not in str(line["event"])
