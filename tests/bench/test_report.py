"""The report of a run."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import goals, plot, report
from bench.backlog import Backlog, Processing
from bench.candidates import CANDIDATES, SLUICE
from bench.compare import Row, Run, medians
from bench.latency import Latency
from bench.noise import Flushes
from bench.start import Start
from bench.through import Through
from bench.together import Together

FLUSHES = Flushes(0.3, 0.5, 1.0)


def _run(candidate: str, connections: int, per_second: float, **other: int) -> Run:
    found = {"acknowledged": 10, "refused": 0, "rows": 10, "processed": 10, "error_rows": 0} | other
    return Run(
        candidate,
        connections,
        acknowledged_per_second=per_second,
        p50_ms=1,
        p99_ms=2,
        stolen_percent=0,
        generator_cores=0.1,
        **found,
    )


def _rows() -> list[Row]:
    return medians(
        [
            _run(candidate.name, connections, 1_000 if candidate is SLUICE else 100)
            for candidate in CANDIDATES
            for connections in candidate.connections
        ]
    )


def _measured(*, processed: int = 5, together_complete: bool = True) -> goals.Measured:
    latency = Latency(200, 5, 5, processed, 1, 2, 3, 4, FLUSHES, 0)
    work = Backlog(10, 1_500, (1_500,) * 10, lost_nothing=True, memory_mebibytes=50)
    alone = Backlog(10, 100, (100,) * 10, lost_nothing=True, memory_mebibytes=50)
    together = Together(10, 2, ingest_per_second=500, processed_per_second=1_000, lost_nothing=together_complete)
    processing, start = Processing(work, alone, work), Start(0.5, {"ingest": 50})
    through = Through(400, lost_nothing=True)
    return goals.Measured(_rows(), latency, through, latency, latency, processing, [together], start)


@pytest.mark.parametrize("loss", [{"rows": 9}, {"processed": 9}, {"refused": 1}, {"error_rows": 1}])
def test_a_run_that_lost_something_is_told_apart(loss: dict[str, int]) -> None:
    """Acknowledged = rows = processed, and no error row."""
    assert _run("sluice", 1, 100).lost_nothing
    assert not _run("sluice", 1, 100, **loss).lost_nothing


def test_the_report_is_keyed_by_candidate_and_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs read it."""
    monkeypatch.setattr(report, "REPORT", tmp_path / "local" / "bench.json")
    measured = _measured()
    judged = goals.judge(measured)
    report.write(measured, report.Machine(1, (0.1,), (FLUSHES,)), [], judged)
    found = json.loads(report.REPORT.read_text())
    assert found["sluice"]["100"]["acknowledged_per_second"] == 1_000
    assert found["sluice"]["100"]["times_textbook"] == 10
    assert {"p50_ms", "p99_ms"} <= found["textbook"]["1"].keys()
    assert found["together"][0]["times_ingest"] == 2
    assert found["lost_nothing"] is True
    assert {goal["text"]: goal["is_met"] for goal in found["goals"]}["ingest at 100 connections, times textbook"]


def test_what_was_sent_and_not_processed_fails_the_run() -> None:
    """The bench ends with 1 then."""
    assert report.lost_nothing(_measured())
    assert not report.lost_nothing(_measured(processed=4))
    assert not report.lost_nothing(_measured(together_complete=False))


def test_the_page_gets_its_figures_between_its_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing else of it changes; twice is as once."""
    page = tmp_path / "performance.md"
    page.write_text("before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n")
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "PLOT", tmp_path / "performance.svg")
    measured = _measured()
    for _ in range(2):
        report.document(measured, report.Machine(1, (0.1,), (FLUSHES,)), goals.judge(measured))
    text = page.read_text()
    assert text.startswith("before\n<!-- figures -->")
    assert text.endswith("<!-- end of figures -->\nafter\n")
    assert "old" not in text
    assert text.count("| sluice | 100 | 1,000 |") == 1


def test_the_page_begins_with_five_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same run as the tables."""
    page = tmp_path / "performance.md"
    page.write_text("before\n<!-- numbers -->\nold\n<!-- end of numbers -->\nafter\n")
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "PLOT", tmp_path / "performance.svg")
    measured = _measured()
    report.document(measured, report.Machine(1, (0.1,), (FLUSHES,)), goals.judge(measured))
    numbers = [line.split("|")[2].strip() for line in page.read_text().splitlines() if line.startswith("|")][2:]
    assert numbers == ["1,000", "10.0", "400", "1,500", "3.0"]


def test_the_plot_is_well_formed() -> None:
    """One bar for each row, and its background."""
    rows = _rows()
    drawn = ET.fromstring(plot.draw(rows))  # noqa: S314 - made by ourselves
    assert len(drawn.findall("{http://www.w3.org/2000/svg}rect")) == len(rows) + 1
