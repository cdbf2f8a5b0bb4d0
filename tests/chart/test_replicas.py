"""How many replicas a Deployment asks for, with what a cluster has standing in the place of Helm's ``lookup``."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from helm_python import Chart

from tests.chart.helm import CHART, Values, merge, of_kind

AUTOSCALED: Values = {
    "secrets": {"name": "sluice"},
    "processor": {"autoscaling": True, "minReplicas": 2, "maxReplicas": 12},
    "database": {"maxConnections": 200},
}


def _replicas(folder: Path, values: Values, live: int | None) -> Mapping[str, int | None]:
    """In a cluster where each Deployment has that many replicas; None: there is none yet."""
    chart = shutil.copytree(CHART, folder / "sluice")
    template = chart / "templates" / "_deployment.tpl"
    deployment = {} if live is None else {"spec": {"replicas": live}}
    text, accounts = re.subn(
        r'lookup "v1" "ServiceAccount" \S+ "default"', 'dict "kind" "ServiceAccount"', template.read_text()
    )
    answer = f"(fromJson `{json.dumps(deployment)}`)"
    text, deployments = re.subn(r'lookup "apps/v1" "Deployment" \S+ \(printf [^)]*\)[^)]*\)', answer, text)
    assert (accounts, deployments) == (1, 1)
    template.write_text(text)
    with Chart.load(chart) as loaded:
        files = loaded.render(dict(values), name="shop", namespace="payments")
    documents = [
        one
        for path, text in files.items()
        if path.endswith("deployment.yaml")
        for one in yaml.safe_load_all(text)
        if isinstance(one, dict)
    ]
    return {name: one["spec"].get("replicas") for name, one in of_kind(documents, "Deployment").items()}


@pytest.mark.parametrize(
    ("live", "asked"),
    [(None, 2), (1, 2), (3, 3), (9, 9)],
    ids=["first install", "fewer than the least", "autoscaling is switched on", "a scaler has scaled"],
)
def test_what_scales_keeps_the_replicas_that_it_has(tmp_path: Path, live: int | None, asked: int) -> None:
    """Left out, the number would fall to one until the scaler comes; said anew, it would undo what the scaler did."""
    assert _replicas(tmp_path, AUTOSCALED, live) == {"ingest": asked, "processor": asked, "healthd": 2}


def test_what_does_not_scale_has_the_number_of_its_values(tmp_path: Path) -> None:
    """Whatever is there."""
    fixed = merge(AUTOSCALED, {"processor": {"autoscaling": False}, "ingest": {"autoscaling": False, "minReplicas": 3}})
    assert _replicas(tmp_path, fixed, 9) == {"ingest": 3, "processor": 2, "healthd": 2}
