"""The alerts: each fires and stays quiet as promised, speaks to a tired person, and leads to its section."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.watch import runbook
from tests.watch.programs import program
from tests.watch.shown import shown_metrics

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "charts/sluice/alerts").glob("*.yaml"))
CASES = sorted(Path(__file__).parent.glob("*.test.yaml"))
LONGEST_SUMMARY = 80


def _rules(kind: str) -> Mapping[str, Mapping[str, Any]]:
    groups = [group for file in FILES for group in yaml.safe_load(file.read_text())["groups"]]
    return {rule[kind]: rule for group in groups for rule in group["rules"] if kind in rule}


RULES = _rules("alert")
RECORDED = _rules("record")


def test_prometheus_takes_the_rules() -> None:
    """As they lie there, without the chart."""
    _promtool("check", "rules", *map(str, FILES))


def test_each_alert_fires_and_stays_quiet_as_the_cases_say() -> None:
    """Promtool plays recorded figures to the rules."""
    _promtool("test", "rules", *map(str, CASES))


@pytest.mark.parametrize("alert", RULES)
def test_each_alert_is_seen_firing_and_quiet(alert: str) -> None:
    """There is a case of either kind for every alert."""
    tests = [test for file in CASES for test in yaml.safe_load(file.read_text())["tests"]]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    assert {bool(case.get("exp_alerts")) for case in cases if case["alertname"] == alert} == {True, False}


@pytest.mark.parametrize("alert", RULES)
def test_each_alert_speaks_to_a_tired_person(alert: str) -> None:
    """A short summary without jargon, a description, and whether to get up."""
    rule = RULES[alert]
    said = rule["annotations"]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert 0 < len(said["summary"]) <= LONGEST_SUMMARY
    assert "_" not in re.sub(r"\{\{.*?\}\}", "", said["summary"]), "names of metrics belong into the description"
    assert said["description"].endswith(".")


@pytest.mark.parametrize("alert", RULES)
def test_each_alert_leads_to_its_section_of_the_runbook(alert: str) -> None:
    """The section exists, and names the alert."""
    page, _, anchor = RULES[alert]["annotations"]["runbook_url"].partition("#")
    assert page == runbook.PAGE
    assert f"`{alert}`" in runbook.sections()[anchor]


def test_the_runbook_names_no_alert_that_is_gone() -> None:
    """A renamed alert is renamed there too."""
    assert set(re.findall(r"`(Sluice\w+)`", runbook.TEXT)) == set(RULES)


@pytest.mark.parametrize("alert", RULES)
def test_each_alert_asks_for_metrics_that_exist(alert: str) -> None:
    """An alert on a name that is not exported is quiet for ever."""
    asked = re.sub(r'"[^"]*"', "", _in_full(RULES[alert]["expr"]))
    names = re.findall(
        r"\b(?:webhook|healthd|postgres|relay|nats|processor|process|http|secret|reconcile|endpoint)_\w+", asked
    )
    assert names
    assert {re.sub(r"_(bucket|count)$", "", name) for name in names} <= shown_metrics()


def _in_full(expr: str) -> str:
    """An expression with those that were recorded in place of their names."""
    for name, rule in RECORDED.items():
        expr = expr.replace(name, rule["expr"])
    return expr


def _promtool(*arguments: str) -> None:
    done = subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
