"""The output of each command fits a terminal of 80 columns, and breaks neither a word nor an id."""

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console

from sluice.ops.admin import ServiceSeen
from sluice.ops.send.chosen_scenarios import Sent
from sluice.ops.send.screen import show_scenarios, show_sent
from sluice.ops.status.criteria import Criterion, Judgement
from sluice.ops.status.screen import show as show_status
from sluice.ops.status.screen import show_criteria
from sluice.ops.status.snapshot import Reconciled, Snapshot
from sluice.ops.why.history import EventsRow, LoggedError, Payment, PaymentHistory, RecordedFact, Repeat, Webhook
from sluice.ops.why.screen import show as show_why
from sluice.simulator.builder import SimulatedEvent
from sluice.simulator.catalog import SCENARIOS
from sluice.simulator.client import Answer, Attempt
from sluice.simulator.deliveries import Delivery, Reason
from sluice.simulator.demo import DemoEvent
from sluice.simulator.report import Fate

COLUMNS = 80
ROW = "43e5b255-c863-49f8-8924-8535ec1769c7"
EVENT = "evt_1rwQ0oAXyXir3D62jFlCrIBv"
SESSION = "cs_test_a1KbJimaSDPBW2cBthd2yc3p2OQlvjitIc1ln34jyatdLtO7cXrultDK2mcF"
INTENT = "pi_3Qw9rwQ0oAXyXir3D62jFlCr"
TYPE = "checkout.session.async_payment_succeeded"
LONGEST_STORY = max(SCENARIOS, key=len)
SECRET = "platform:438ec984"
NOW = datetime(2026, 11, 25, 22, 31, 53, tzinfo=UTC)
REFUSAL = '{"error": {"code": "invalid_signature", "message": "No secret of ours has signed this body."}}'

FATE = Fate(
    DemoEvent(ROW, "Library Late Opening", "partially_refunded", LONGEST_STORY),
    100,
    12,
    80,
    80,
    80,
    12,
    80,
    80,
    None,
    True,
)
FACT = RecordedFact(EVENT, NOW, "session", SESSION, "paid", 4200, "usd", None, ROW, "metadata", "gala-24", "paid", True)
WEBHOOK = Webhook(
    stripe_event_id=f"{EVENT}@{ROW}",
    webhook_type=TYPE,
    stripe_account_id=None,
    livemode=False,
    api_version=None,
    object_id=SESSION,
    stripe_created_at=NOW,
    tenant=ROW,
    verified_by=SECRET,
    processed=True,
    processing_attempts=0,
    last_error="InvalidTextRepresentationError 22P02 in sluice_loyalty.handlers.add_points line 23",
    outcome="unsupported",
    next_attempt_at=NOW,
    publications=3,
    parked_at=None,
    processed_at=NOW,
    dead_at=NOW,
    created_at=NOW,
    revivals=0,
    revived_at=None,
    repeats=[Repeat(NOW, SECRET, body_differs=True)],
    errors=[
        LoggedError(NOW, "critical", "processor", f"{EVENT}@{ROW} is dead (unsupported): nobody can", resolved=False)
    ],
)
STORY = PaymentHistory(
    ROW,
    [EventsRow(ROW, "Library Late Opening (Sluice demo)", "partially_refunded", NOW, SESSION, "acct_1", None, 3)],
    [
        Payment("live:acct_1Rk2aB3cD4eF5gH6", SESSION, None, ROW, "inherited:in_1Rk2aB3cD4eF5gH6iJ7kL8mN", "paid",
                False, facts=[FACT, replace(FACT, status_after=None)]),
        Payment("test:platform", INTENT, None, ROW, "metadata", "requires_action", True),
    ],
    [WEBHOOK],
)  # fmt: skip
SNAPSHOT = Snapshot(
    12_345, 3600, 12, 3, 1, 123_456, 123_456, 97, 100, {"critical": 1_234, "warning": 12},
    [
        ServiceSeen("ingest", ready=True, uptime_seconds=9e6,
                    pool={"busy": 10, "idle": 10, "max": 100, "waiters": 1000}),
        ServiceSeen("processor", problem="http://sluice-processor-admin.sluice.svc:9090 does not answer"),
        ServiceSeen("healthd", problem="HEALTHD_ADMIN_URL is not set"),
    ],
    [
        Reconciled("live", "acct_1032D82eZvKYlo2C", NOW, 9e6, 123_456, 123_456,
                   "The key lacks the right rak_event_read: give it to the restricted key in Stripe's Dashboard."),
    ],
    12_345,
)  # fmt: skip
CRITERION = Criterion(
    "Load test passes with 100 concurrent connections",
    Judgement.UNKNOWN,
    "https://tickets.some-organiser.example/api/health answers 503 now; first at 2026-11-25 22:31 UTC",
    "ask again when healthd has recorded all of the time",
)


def _delivery(reason: Reason) -> Delivery:
    event = SimulatedEvent(stripe_event_id=EVENT, type=TYPE, created=0, body=b"{}")
    return Delivery(0, "/api/stripe-webhook", event, ("whsec_a",), LONGEST_STORY, "Library", reason)


ANSWERS = [
    Answer(_delivery(Reason.LATE), (Attempt(200, 0.123),)),
    Answer(_delivery(Reason.FORGERY), (Attempt(503, 10.0), Attempt(400, 9.999, REFUSAL))),
]
SCREENS: dict[str, tuple[Callable[[Console], None], set[str]]] = {
    "why": (
        lambda console: show_why(console, STORY),
        {
            ROW,
            EVENT,
            f"{EVENT}@{ROW},",
            SESSION,
            INTENT,
            TYPE,
            SECRET,
            "partially_refunded",
            "requires_action",
            "first",
        },
    ),
    "status": (
        lambda console: show_status(console, SNAPSHOT),
        {"HEALTHD_ADMIN_URL", "http://sluice-processor-admin.sluice.svc:9090", "10,000", "processor", "processed"},
    ),
    "criteria": (
        lambda console: show_criteria(console, [CRITERION], 172_800),
        {"https://tickets.some-organiser.example/api/health", "concurrent", "connections", "recorded"},
    ),
    "send": (
        lambda console: show_sent(console, Sent(ANSWERS, [FATE, replace(FATE, actual_status="partially_refunded")])),
        {EVENT, TYPE, "late", "redelivery", LONGEST_STORY, "partially_refunded", "NO", "ok", "signed", "body."},
    ),
    "stories": (show_scenarios, {*SCENARIOS, "partially_refunded", "client_reference_id"}),
}


@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_fits_80_columns_with_every_word_whole(name: str) -> None:
    """No line is longer, nothing is cut off, and each id stands in one piece."""
    show, words = SCREENS[name]
    console = Console(file=io.StringIO(), width=COLUMNS, highlight=False)
    show(console)
    assert isinstance(console.file, io.StringIO)
    printed = console.file.getvalue()
    assert max(map(len, printed.splitlines())) <= COLUMNS
    pieces = {piece.strip(":;,.()") for piece in printed.split()}
    assert {word.strip(":;,.()") for word in words} - pieces == set()


def test_a_webhook_of_a_first_try_does_not_read_as_never_tried() -> None:
    """The column counts attempts that failed: 0 of them is the best that can be."""
    console = Console(file=io.StringIO(), width=COLUMNS, highlight=False)
    tries = {
        "first try": replace(WEBHOOK, dead_at=None),
        "try 3": replace(WEBHOOK, dead_at=None, processing_attempts=2),
        "not tried yet": replace(WEBHOOK, dead_at=None, processed=False),
        "1 try so far": replace(WEBHOOK, dead_at=None, processed=False, processing_attempts=1),
        "16 tries so far": replace(WEBHOOK, processed=False, processing_attempts=16),
    }
    show_why(console, PaymentHistory("evt_1", webhooks=list(tries.values())))
    assert isinstance(console.file, io.StringIO)
    printed = " ".join(console.file.getvalue().split())
    for words in tries:
        assert f", {words}, verified by" in printed
