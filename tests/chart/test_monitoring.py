"""The chart turns the files under alerts/ and dashboards/, whatever they are, into resources."""

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from helm_python import Chart

from tests.chart.helm import CHART, Manifest, Values, merge, of_kind, render

RULES = """
groups:
  - name: one
    rules:
      - alert: Late
        expr: oldest > 300
        annotations: {summary: "{{ $labels.service }} is {{ $value }} s late"}
"""


@pytest.fixture
def monitored(tmp_path: Path, everything: Values) -> Sequence[Manifest]:
    """The chart with two files of alerts and one dashboard, all flags on."""
    chart = shutil.copytree(CHART, tmp_path / "sluice")
    for folder in ("alerts", "dashboards"):
        shutil.rmtree(chart / folder)
        (chart / folder).mkdir()
    (chart / "alerts" / "a.yaml").write_text(RULES)
    (chart / "alerts" / "b.yaml").write_text(RULES.replace("name: one", "name: two"))
    (chart / "alerts" / "README.md").write_text("not rules")
    (chart / "dashboards" / "money.json").write_text(json.dumps({"title": "{{instance}}", "panels": []}, indent=2))
    with Chart.load(chart) as loaded:
        files = loaded.render(dict(everything), name="shop", namespace="payments")
    documents = yaml.safe_load_all("\n---\n".join(text for path, text in files.items() if path.endswith(".yaml")))
    return [one for one in documents if one]


def test_the_groups_of_all_files_become_one_rule(monitored: Sequence[Manifest]) -> None:
    """Prometheus' own templates stay as they are; promtool can read the files themselves."""
    (rule,) = of_kind(monitored, "PrometheusRule").values()
    groups = rule["spec"]["groups"]
    assert [group["name"] for group in groups] == ["one", "two"]
    assert groups[0] == yaml.safe_load(RULES)["groups"][0]
    assert rule["metadata"]["labels"]["release"] == "prometheus"


def test_each_dashboard_becomes_a_config_map(monitored: Sequence[Manifest]) -> None:
    """With the label that Grafana's sidecar looks for, and byte for byte what the file says."""
    dashboard = of_kind(monitored, "ConfigMap")["dashboard-money"]
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"]["money.json"]) == {"title": "{{instance}}", "panels": []}


def test_the_charts_own_dashboards_arrive_as_their_files_say(everything: Values) -> None:
    """Helm leaves Grafana's legends and variables alone; only the runbook's place is put in, for every panel's link."""
    runbook = "https://wiki.example/sluice/runbook"
    values = merge(everything, {"monitoring": {"alerts": {"runbookUrl": runbook}}})
    files = {file.name: file.read_text(encoding="utf-8") for file in (CHART / "dashboards").glob("*.json")}
    maps = [one for one in of_kind(render(values), "ConfigMap").values() if set(one["data"]) & set(files)]
    assert {name: text for one in maps for name, text in one["data"].items()} == {
        name: text.replace("docs/runbook.md", runbook) for name, text in files.items()
    }
    assert all(json.loads(text)["panels"] and re.search(r"\{\{\w+\}\}", text) for text in files.values())


def test_a_dashboard_fits_into_a_config_map(everything: Values) -> None:
    """Kubernetes takes a mebibyte, and `kubectl apply` a quarter of it; the key is a file's name."""
    for one in of_kind(render(everything), "ConfigMap").values():
        assert all(re.fullmatch(r"[-._a-zA-Z0-9]+", key) for key in one["data"])
        assert len(json.dumps(one).encode()) < 256 * 1024


def test_every_service_is_scraped_on_its_admin_port(everything: Values) -> None:
    """Pods themselves, not through healthd, which may be away."""
    manifests = render(everything)
    (monitor,) = of_kind(manifests, "PodMonitor").values()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("admin", "/metrics")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    for deployment in of_kind(manifests, "Deployment").values():
        assert wanted <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_nothing_of_it_is_made_unless_asked_for() -> None:
    """A cluster without the Prometheus Operator knows none of these kinds."""
    kinds = {one["kind"] for one in render({"secrets": {"name": "sluice"}})}
    assert not kinds & {"PodMonitor", "PrometheusRule", "ScaledObject", "TriggerAuthentication", "HTTPRoute", "Ingress"}
