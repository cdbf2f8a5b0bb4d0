"""What the commands print is whole in a terminal of 80 columns."""

import io
from dataclasses import replace

from rich.console import Console

from sluice.ops.status.criteria import Criterion, Verdict
from sluice.ops.status.screen import show_criteria
from sluice.simulator.demo import DemoEvent
from sluice.simulator.report import Fate, build_table

EVENT = DemoEvent("1", "Library Late Opening", "partially_refunded", "authorized_then_captured")
FATE = Fate(EVENT, 10, 1, 8, 8, 8, 12, "partially_refunded", answered_well=True)
METRIC = "max_over_time(postgres_pool_waiters_and_a_name_that_is_longer_than_its_column[48h])"


def _console() -> Console:
    return Console(file=io.StringIO(), width=80)


def _printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_of_a_day_shows_statuses_whole_in_80_columns() -> None:
    """The longest status is there to its end, and the verdict beside it, good and bad."""
    console = _console()
    console.print(build_table([FATE, replace(FATE, actual_status="requires_action")]))
    printed = _printed(console)
    assert "…" not in printed
    assert "partially_refunded" in printed
    assert "ok" in printed
    assert "NO" in printed


def test_criteria_show_metric_names_whole_in_80_columns() -> None:
    """A name that is too long for its column goes on in the next line."""
    console = _console()
    show_criteria(console, [Criterion("Pool", Verdict.UNKNOWN, "none", METRIC)], 3600)
    assert "…" not in _printed(console)
    assert "[48h]" in _printed(console)
