"""The screen shows what runs, and the hint about a wrong signature once."""

import io

from rich.console import Console

from devstack.screen import Screen
from devstack.signature_hint import HINT, SignatureHint
from sluice.simulator.client import FORGERY_HEADER

REFUSED = b'{"error": {"code": "invalid_signature", "message": "..."}}'


class Clock:
    """Time that passes when told to."""

    now = 0.0

    def __call__(self) -> float:
        """Seconds since some moment."""
        return self.now


def test_without_a_terminal_there_are_plain_lines_and_not_too_many() -> None:
    """A log of a run is readable: no control codes, a status line only when it says something new."""
    clock, out = Clock(), io.StringIO()
    screen = Screen(Console(file=out, width=100), clock)
    with screen.open():
        screen.step("Starting")
        for second, line in enumerate(["1 row", "2 rows", "2 rows", "3 rows"]):
            clock.now = float(second * 6)
            screen.status(line)
    assert out.getvalue() == "Starting\n1 row\n2 rows\n"


def test_a_message_is_printed_as_it_is() -> None:
    """Brackets in a message are no markup, and a long line stays one line."""
    out = io.StringIO()
    Screen(Console(file=out, width=20)).say("[red]x[/red] is a file name that is rather long")
    assert out.getvalue() == "[red]x[/red] is a file name that is rather long\n"


def test_a_refused_signature_is_explained_at_most_once_a_minute() -> None:
    """The hint helps once; it does not bury everything else."""
    said: list[str] = []
    clock = Clock()
    hint = SignatureHint(said.append, clock)
    for second in (0, 1, 59, 61):
        clock.now = float(second)
        hint.on_refused("ingest", 400, REFUSED, {})
    assert said == [HINT, HINT]
    assert "stripe listen --print-secret" in HINT


def test_other_refusals_and_expected_forgeries_are_not_explained() -> None:
    """Only an unknown signature, and not the simulator's own forgery."""
    said: list[str] = []
    hint = SignatureHint(said.append)
    hint.on_refused("ingest", 413, b'{"error": {"code": "body_too_large"}}', {})
    hint.on_refused("healthd", 400, REFUSED, {})
    hint.on_refused("ingest", 400, REFUSED, {FORGERY_HEADER: "1"})
    assert said == []
