"""Every panel, asked of a real Prometheus that watches the whole system through a scenario."""

import math
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import pytest
import pytest_asyncio

from devstack.options import Options
from devstack.ports import free_port
from devstack.stack import Stack
from tests.devstack.folders import reachable_folder
from tests.watch import grafana
from tests.watch.fault_scenario import SETTINGS, FaultScenario
from tests.watch.grafana import LabelValues, Read
from tests.watch.programs import program
from tests.watch.prometheus import POD, SCRAPE_SECONDS, Prometheus, Series, scraping

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILES = grafana.dashboards()
DAY_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Watched:
    """The recorded data, and the values of each dashboard's variables."""

    prometheus: Prometheus
    since: float
    until: float
    values: Mapping[str, Mapping[str, str]]

    async def shows(self, dashboard: str, expr: str) -> list[Series]:
        """Series that Grafana would draw."""
        asked = grafana.substituted(expr, self.values[dashboard])
        return list(await self.prometheus.history(asked, since=self.since, until=self.until))


PANELS = [
    pytest.param(name, panel, id=f"{name}: {panel['title']}")
    for name, file in FILES.items()
    for panel in grafana.panels(file)
]


each_file = pytest.mark.parametrize("name", FILES)
each_panel = pytest.mark.parametrize(("name", "panel"), PANELS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched() -> AsyncIterator[Watched]:
    """One series of faults for all panels."""
    program("prometheus")  # before anything is started that it would look at
    began = time.time()
    async with _stack() as stack, _books(stack) as books:
        admin_urls = {name: service.admin_url for name, service in stack.services.items()}
        async with scraping(admin_urls, stack.folder.root) as prometheus:
            await FaultScenario.over(stack, prometheus, books)
            values = {name: await _values(prometheus, file) for name, file in FILES.items()}
            yield Watched(prometheus, began, time.time(), values)


@asynccontextmanager
async def _stack() -> AsyncIterator[Stack]:
    with reachable_folder() as folder:
        async with Stack(Options(folder=folder / "local", port=free_port(), extra=SETTINGS)) as stack:
            yield stack


@asynccontextmanager
async def _books(stack: Stack) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(stack.database_url)
    try:
        yield connection
    finally:
        connection.terminate()


async def _values(prometheus: Prometheus, file: Read) -> Mapping[str, str]:
    """The variables' values when a person opens the page; the last ones are Grafana's own."""
    values: dict[str, str] = {}
    for variable in grafana.variables(file):
        asked = LabelValues.read(grafana.substituted(variable["query"]["query"], values))
        values[variable["name"]] = grafana.chosen(variable, await prometheus.label_values(asked.label, of=asked.of))
    return values | {"__rate_interval": f"{4 * SCRAPE_SECONDS}s"}


@each_panel
async def test_each_query_of_a_panel_shows_something(watched: Watched, name: str, panel: Read) -> None:
    """Not only numbers: whatever it is that a panel counts has happened, so a zero throughout is a wrong query."""
    for target in panel["targets"]:
        shown = [value for series in await watched.shows(name, target["expr"]) for value in series.values]
        assert any(math.isfinite(value) and value != 0 for value in shown), target["expr"]


@each_panel
async def test_each_line_of_a_panel_has_a_name_of_its_own(watched: Watched, name: str, panel: Read) -> None:
    """A legend with a gap in it, or one that says the same twice, is unreadable."""
    names = [
        _legend(target["legendFormat"], series)
        for target in panel["targets"]
        for series in await watched.shows(name, target["expr"])
    ]
    assert all(names)
    assert len(set(names)) == len(names), names


@each_file
async def test_marks_on_the_pages_tell_of_every_start(watched: Watched, name: str) -> None:
    """One of each process."""
    [annotation] = FILES[name]["annotations"]["list"]
    starts = await watched.shows(name, annotation["expr"])
    assert len(starts) == len({series.labels["pod"] for series in starts}) == 5
    assert all(len(set(series.values)) == 1 for series in starts)
    # Grafana takes the value for milliseconds; seconds would be in 1970. A machine that slept is some hours off.
    assert all(abs(series.values[0] / 1000 - watched.until) < DAY_SECONDS for series in starts)


@pytest.mark.parametrize(("name", "panel"), [each for each in PANELS if "$pod" in str(each.values)])
async def test_a_single_replica_can_be_chosen(watched: Watched, name: str, panel: Read) -> None:
    """Then no other replica's lines are left, and nothing is added up over all."""
    chosen = {**watched.values[name], "pod": f"shop-sluice-ingest{POD}"}
    for target in panel["targets"]:
        asked = grafana.substituted(target["expr"], chosen)
        shown = await watched.prometheus.history(asked, since=watched.since, until=watched.until)
        assert {series.labels.get("pod", chosen["pod"]) for series in shown} <= {chosen["pod"]}, asked


def _legend(form: str, series: Series) -> str:
    """A line's name. Raises KeyError for a label that it does not have."""
    return re.sub(r"\{\{(\w+)\}\}", lambda label: series.labels[label[1]], form).strip()
