"""The report: tables for a person, JSON for a program, figures for docs/performance.md."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from bench import plot
from bench.compare import Row, Run
from bench.goals import Goal, Measured
from bench.latency import Latency
from bench.noise import Flushes
from bench.through import Through
from bench.together import Together

REPORT = Path(".local/bench.json")
PAGE = Path("docs/performance.md")
PLOT = Path("docs/performance.svg")
_NUMBERS = re.compile(r"(?<=<!-- numbers -->\n).*?(?=<!-- end of numbers -->)", re.DOTALL)
_FIGURES = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Machine:
    """How noisy the machine was: load average before and after, and what the disk took three times."""

    rounds: int
    load_averages: tuple[float, ...]
    flushes: tuple[Flushes, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table before it has a form: the first column is text, the others are figures."""

    title: str
    columns: Sequence[str]
    lines: Sequence[Sequence[str]]

    def printed(self) -> Table:
        """For a terminal."""
        table = Table(title=self.title)
        for number, name in enumerate(self.columns):
            table.add_column(name, justify="right" if number else "left")
        for line in self.lines:
            table.add_row(*line)
        return table

    def written(self) -> str:
        """For a page."""
        rule = "|---|" + "---:|" * (len(self.columns) - 1)
        rows = ["| " + " | ".join(line) + " |" for line in (self.columns, *self.lines)]
        return "\n".join([f"{self.title}:", "", rows[0], rule, *rows[1:], ""])


def tables(measured: Measured, machine: Machine, goals: Sequence[Goal]) -> list[Table]:
    """For a terminal."""
    return [sheet.printed() for sheet in _sheets(measured, machine, goals)]


def lost_nothing(measured: Measured) -> bool:
    """Whether after every run acknowledged = rows = processed, and no error row."""
    processing = measured.processing
    return (
        all(row.lost_nothing for row in measured.rows)
        and all(latency.lost_nothing for latency in (measured.steady, measured.half_through, measured.half))
        and all(work.lost_nothing for work in (processing.batched, processing.one_by_one, processing.rebuild))
        and measured.through.lost_nothing
        and all(beside.lost_nothing for beside in measured.together)
    )


def write(measured: Measured, machine: Machine, runs: Sequence[Run], goals: Sequence[Goal]) -> None:
    """``.local/bench.json``: candidate, connections, figures; the rest beside the candidates."""
    found: dict[str, object] = {}
    for name in dict.fromkeys(row.candidate for row in measured.rows):
        found[name] = {str(row.connections): _figures(row) for row in measured.rows if row.candidate == name}
    found |= {
        "latency": {
            "at_200_per_second": asdict(measured.steady),
            "at_half_of_what_goes_through": asdict(measured.half_through),
            "at_half_of_the_maximum": asdict(measured.half),
        },
        "through": asdict(measured.through),
        "processing": asdict(measured.processing),
        "together": [{**asdict(beside), "times_ingest": beside.times_ingest} for beside in measured.together],
        "start": asdict(measured.start),
        "goals": [{**asdict(goal), "is_met": goal.is_met} for goal in goals],
        "lost_nothing": lost_nothing(measured),
        "machine": asdict(machine),
        "runs": [asdict(run) for run in runs],
    }
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(found, indent=2) + "\n")


def document(measured: Measured, machine: Machine, goals: Sequence[Goal]) -> None:
    """Put the figures into the page, and draw them."""
    text = "\n".join(sheet.written() for sheet in _sheets(measured, machine, goals))
    page = _NUMBERS.sub(lambda _: f"\n{_numbers(measured)}\n", PAGE.read_text())
    PAGE.write_text(_FIGURES.sub(lambda _: f"\n{text}\n", page))
    PLOT.write_text(plot.draw(measured.rows))


def _numbers(measured: Measured) -> str:
    """Five numbers to begin with."""
    hundred = next(row for row in measured.rows if (row.candidate, row.connections) == ("sluice", 100))
    backlog, steady = measured.processing.rebuild, measured.steady
    lines = [
        ("webhooks that one `ingest` acknowledges a second", f"{hundred.acknowledged_per_second:,.0f}"),
        ("the same, times the textbook's handler", f"{hundred.times_textbook:.1f}"),
        (
            "webhooks a second from POST to effect, `ingest` and processor together",
            f"{measured.through.per_second:,.0f}",
        ),
        ("webhooks a second that one processor works off a backlog", f"{backlog.per_second:,.0f}"),
        ("milliseconds from POST to processed row, median at 200 a second", f"{steady.p50_ms:.1f}"),
    ]
    return "\n".join(["| number | |", "|---|---:|", *(f"| {what} | {figure} |" for what, figure in lines), ""])


def _figures(row: Row) -> dict[str, object]:
    return {name: value for name, value in asdict(row).items() if name not in {"candidate", "connections"}}


def _sheets(measured: Measured, machine: Machine, goals: Sequence[Goal]) -> list[Sheet]:
    return [
        _comparison(measured.rows, machine.rounds),
        _steady(measured.through, measured.steady, measured.half_through, measured.half),
        _processing(measured),
        _together(measured.together),
        _start(measured),
        _goals(goals),
        _machine(machine),
    ]


def _comparison(rows: Sequence[Row], rounds: int) -> Sheet:
    return Sheet(
        f"Acknowledged webhooks per second, medians of {rounds} interleaved round(s)",
        (
            "candidate",
            "connections",
            "per second",
            "min-max",
            "p50 ms",
            "p99 ms",
            "x textbook",
            "generator",
            "steal %",
            "complete",
        ),
        [
            (
                row.candidate,
                str(row.connections),
                f"{row.acknowledged_per_second:,.0f}",
                f"{row.slowest:,.0f}-{row.fastest:,.0f}",
                f"{row.p50_ms:.1f}",
                f"{row.p99_ms:.1f}",
                f"{row.times_textbook:.1f}",
                f"{row.generator_cores:.2f}",
                f"{row.stolen_percent:.1f}",
                "yes" if row.lost_nothing else "NO",
            )
            for row in rows
        ],
    )


def _steady(through: Through, *latencies: Latency) -> Sheet:
    return Sheet(
        "At a steady rate: to the answer, and to the processed row; and a flush of 8 kB just before. "
        f"As fast as they come, {through.per_second:,.0f} a second go through both",
        ("per second", "sent", "answer p50", "p99 ms", "processed p50", "p99 ms", "flush p50", "p99 ms", "complete"),
        [
            (
                f"{each.per_second:,.0f}",
                f"{each.sent:,}",
                f"{each.answer_p50_ms:.1f}",
                f"{each.answer_p99_ms:.1f}",
                f"{each.p50_ms:.1f}",
                f"{each.p99_ms:.1f}",
                f"{each.flushes.p50_ms:.2f}",
                f"{each.flushes.p99_ms:.2f}",
                "yes" if each.lost_nothing else "NO",
            )
            for each in latencies
        ],
    )


def _processing(measured: Measured) -> Sheet:
    processing = measured.processing
    named = {
        "a transaction for each batch": processing.batched,
        "a transaction for each event": processing.one_by_one,
        "a large backlog": processing.rebuild,
    }
    return Sheet(
        "Processing from a backlog, with the payment handlers",
        ("how", "events", "per second", "each tenth", "MiB", "complete"),
        [
            (
                how,
                f"{found.rows:,}",
                f"{found.per_second:,.0f}",
                " ".join(f"{part:,.0f}" for part in found.parts_per_second),
                f"{found.memory_mebibytes:.0f}",
                "yes" if found.lost_nothing else "NO",
            )
            for how, found in named.items()
        ],
    )


def _together(runs: Sequence[Together]) -> Sheet:
    return Sheet(
        "Both at once: a processor on a backlog, ingest under full load at 100 connections, on the same cores",
        ("backlog", "seconds of both", "ingest per second", "processed per second", "x ingest", "complete"),
        [
            (
                f"{run.backlog:,}",
                f"{run.seconds:.1f}",
                f"{run.ingest_per_second:,.0f}",
                f"{run.processed_per_second:,.0f}",
                f"{run.times_ingest:.2f}",
                "yes" if run.lost_nothing else "NO",
            )
            for run in runs
        ],
    )


def _start(measured: Measured) -> Sheet:
    idle = measured.start.idle_mebibytes
    return Sheet(
        "Start and idle memory",
        ("start to first 200, s", *(f"{service}, MiB" for service in idle)),
        [(f"{measured.start.first_accepted_seconds:.2f}", *(f"{mebibytes:.0f}" for mebibytes in idle.values()))],
    )


def _goals(goals: Sequence[Goal]) -> Sheet:
    return Sheet(
        "Goals",
        ("goal", "wanted", "found", "met"),
        [
            (
                goal.text,
                f"{'≥' if goal.at_least else '≤'} {goal.wanted:g}",
                f"{goal.found:.2f}",
                "yes" if goal.is_met else "no",
            )
            for goal in goals
        ],
    )


def _machine(machine: Machine) -> Sheet:
    return Sheet(
        "The machine: load average " + " to ".join(f"{load:.1f}" for load in machine.load_averages),
        ("a flush of 8 kB", "p50 ms", "p99 ms", "most ms"),
        [
            (when, f"{flushes.p50_ms:.2f}", f"{flushes.p99_ms:.2f}", f"{flushes.most_ms:.1f}")
            for when, flushes in zip(("before", "between", "after"), machine.flushes, strict=False)
        ],
    )
