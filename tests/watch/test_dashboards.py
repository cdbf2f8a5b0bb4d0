"""The dashboards' files: what they show exists, explains itself, and names no data source."""

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import yaml

from charts.dashboards import DASHBOARDS
from charts.dashboards.grafana import COLUMNS, written
from charts.dashboards.money import OURS
from charts.dashboards.panels import ONE, PODS
from tests.watch import grafana, runbook
from tests.watch.grafana import FOLDER, Read
from tests.watch.shown import shown_metrics

FILES = grafana.dashboards()
PANELS = {f"{name}: {panel['title']}": panel for name, file in FILES.items() for panel in grafana.panels(file)}
_SELECTOR = re.compile(r"([a-z_]+)\{([^{}]*)\}")
_SUFFIX = re.compile(r"_(bucket|sum|count)$")

each_file = pytest.mark.parametrize("name", FILES)
each_panel = pytest.mark.parametrize("name", PANELS)


def test_the_files_are_what_their_source_says() -> None:
    """After a change in charts/dashboards, ``make chart`` was run."""
    assert {file.name for file in FOLDER.glob("*.json")} == {f"{dashboard.name}.json" for dashboard in DASHBOARDS}
    for dashboard in DASHBOARDS:
        assert (FOLDER / f"{dashboard.name}.json").read_text(encoding="utf-8") == written(dashboard)


@each_file
def test_no_data_source_is_named(name: str) -> None:
    """Whatever a team calls its Prometheus: it is chosen by a variable, everywhere."""
    variable = FILES[name]["templating"]["list"][0]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    named = [source for source in _values_of("datasource", FILES[name]) if isinstance(source, dict)]
    asking = len(grafana.panels(FILES[name])) + sum(1 for _ in grafana.expressions(FILES[name]))
    assert len(named) == asking + len(grafana.variables(FILES[name]))
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in named)


@each_file
def test_numbers_are_given_once_and_no_panel_covers_another(name: str) -> None:
    """Grafana would move or drop one of the two."""
    shown = FILES[name]["panels"]
    assert len({panel["id"] for panel in shown}) == len(shown)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= COLUMNS for panel in shown)
    assert not [(a["title"], b["title"]) for a, b in itertools.combinations(shown, 2) if _overlap(a, b)]


@each_file
def test_a_row_has_no_holes(name: str) -> None:
    """Every line of panels fills the width, and all in it are of one height."""
    lines: dict[int, list[Read]] = {}
    for panel in FILES[name]["panels"]:
        lines.setdefault(panel["gridPos"]["y"], []).append(panel["gridPos"])
    for line in lines.values():
        assert sum(place["w"] for place in line) == COLUMNS, line
        assert len({place["h"] for place in line}) == 1, line


@each_panel
def test_each_panel_says_what_to_do(name: str) -> None:
    """A sentence or more, a unit, and a link to a section that exists."""
    panel = PANELS[name]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    [link] = panel["links"]
    page, _, anchor = link["url"].partition("#")
    assert page == runbook.PAGE
    assert anchor in runbook.sections()


@each_file
def test_every_title_is_given_once_in_a_row(name: str) -> None:
    """Two panels of one name below each other are taken for one."""
    titles = [panel["title"] for panel in FILES[name]["panels"] if panel["type"] != "stat"]
    assert len(set(titles)) == len(titles)


@each_file
def test_each_query_asks_for_metrics_that_exist(name: str) -> None:
    """A panel on a name that is not exported is empty for ever."""
    asked = [*grafana.expressions(FILES[name]), *(each["query"]["query"] for each in grafana.variables(FILES[name]))]
    names = {_SUFFIX.sub("", metric) for expr in asked for metric in re.findall(r"\b[a-z]+_[a-z_]+(?=[{,])", expr)}
    assert names
    assert names <= shown_metrics()


@each_file
def test_each_query_stays_with_the_sluice_that_is_chosen(name: str) -> None:
    """Another one in the same Prometheus, or another program, is no part of these figures."""
    for expr in grafana.expressions(FILES[name]):
        selectors = _SELECTOR.findall(expr)
        assert len(selectors) == len(re.findall(r"\{", expr)), expr
        assert all(labels.startswith(ONE) for _, labels in selectors), expr


@each_file
def test_figures_of_healthd_are_the_same_from_every_replica_of_it(name: str) -> None:
    """They are never added up, and choosing pods hides none of them."""
    for expr in grafana.expressions(FILES[name]):
        of_healthd = [labels for metric, labels in _SELECTOR.findall(expr) if metric.startswith("healthd_")]
        assert not any(labels.startswith(PODS) for labels in of_healthd)
        assert not of_healthd or re.match(r"(0\.85 \* |label_replace\()?(max|min)\b", expr), expr


def test_refusals_on_the_panel_are_those_that_raise_an_alert() -> None:
    """Panel and alert ask for the same codes."""
    symptoms = yaml.safe_load((FOLDER.parent / "alerts/symptoms.yaml").read_text(encoding="utf-8"))
    [rule] = [rule for rule in symptoms["groups"][0]["rules"] if rule["alert"] == "SluiceWebhooksRefused"]
    assert set(re.findall(r'code=~"([^"]+)"', rule["expr"])) == {OURS}


def _overlap(a: Read, b: Read) -> bool:
    a, b = a["gridPos"], b["gridPos"]
    beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
    below = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
    return not (beside or below)


def _values_of(key: str, within: Any) -> Iterator[Any]:
    """Whatever stands under this key, however deep."""
    if isinstance(within, dict):
        if key in within:
            yield within[key]
        within = list(within.values())
    if isinstance(within, Sequence) and not isinstance(within, str):
        for each in within:
            yield from _values_of(key, each)
