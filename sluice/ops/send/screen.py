"""Print what was sent and what was answered."""

import json
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sluice.ops.send.chosen_scenarios import Sent
from sluice.ops.status.evidence import LoadTest
from sluice.simulator.catalog import SCENARIOS
from sluice.simulator.client import Answer
from sluice.simulator.report import build_table

_ALL_SHOWN = 40


def show_sent(console: Console, sent: Sent) -> None:
    """Print each answer when they are few, else those that are not as they must be; then what became of it."""
    few = len(sent.answers) <= _ALL_SHOWN
    shown = sent.answers if few else [answer for answer in sent.answers if not answer.is_as_expected]
    if shown:
        console.print(_answers(shown))
    show_sum(console, sent.answers)
    if sent.fates:
        console.print(build_table(sent.fates))


def show_sum(console: Console, answers: Sequence[Answer]) -> None:
    """Print how many got which answer, and how long it took."""
    counted = Counter(str(answer.last.http_status or "nothing") for answer in answers)
    latencies = sorted(attempt.latency_seconds for answer in answers for attempt in answer.attempts)
    told = ", ".join(f"{count:,} answered {status}" for status, count in sorted(counted.items()))
    median, slowest = latencies[len(latencies) // 2] * 1000, latencies[-1] * 1000
    console.print(f"{len(answers):,} deliveries: {told}; median {median:.0f} ms, slowest {slowest:.0f} ms")


def show_load_test(console: Console, test: LoadTest) -> None:
    """Print what the load test found."""
    well = "[green]passed[/]" if test.accepted == test.sent else "[bold red]failed[/]"
    console.print(
        f"Load test {well}: {test.connections} connections at once, {test.accepted:,} of {test.sent:,} accepted."
    )


def show_effects(console: Console, late: Sequence[str]) -> None:
    """Print whether all of it is processed, and what is not."""
    if late:
        console.print(f"[bold red]Not processed in time:[/] {', '.join(late)}; `sluice why` tells what became of each.")
    else:
        console.print("All of it is processed.")


def show_scenarios(console: Console) -> None:
    """Print every scenario with its sentence."""
    table = Table(box=None, padding=(0, 2), header_style="dim")
    table.add_column("scenario", no_wrap=True)
    table.add_column("what happens")
    table.add_column("ends as", no_wrap=True)
    for scenario in SCENARIOS.values():
        table.add_row(scenario.name, scenario.sentence, scenario.expected_status)
    console.print(table)


def _answers(answers: Sequence[Answer]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for heading in ("answer", "ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("type, event and what was said", overflow="fold")
    table.add_column("sent as", no_wrap=True)
    for answer in answers:
        table.add_row(*_answer(answer))
    return table


def _answer(answer: Answer) -> list[str]:
    delivery, last = answer.delivery, answer.last
    style = "green" if answer.is_as_expected else "bold red"
    tries = f"{len(answer.attempts)} attempts; " if len(answer.attempts) > 1 else ""
    said = f"{tries}{_said(last.explanation)}"
    below = "\n".join([delivery.event.stripe_event_id, *([said] if said else [])])
    return [
        f"[{style}]{last.http_status or 'none'}[/]",
        f"{last.latency_seconds * 1000:.0f}",
        f"{delivery.event.type}\n[dim]{escape(below)}[/]",
        delivery.reason.value,
    ]


def _said(explanation: str) -> str:
    """The sentence of an error in our JSON; what is none, as it is."""
    try:
        return str(json.loads(explanation)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return explanation
