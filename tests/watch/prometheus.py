"""A real Prometheus that scrapes a running stack, with the labels that the chart's PodMonitor gives."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from devstack.child import Child, Command
from devstack.ports import free_port
from tests.chart.helm import NAMESPACE, of_kind, render, values_files
from tests.waiting import until
from tests.watch.programs import program

SCRAPE_SECONDS = 1
POD = "-7d9f6c5b8-x2k4q"
"""What Kubernetes hangs on to the name of a Deployment's pod."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line of an answer: its labels, and the values that are numbers."""

    labels: Mapping[str, str]
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Asks one Prometheus; what it calls an error is an AssertionError here."""

    url: str
    session: aiohttp.ClientSession

    async def history(self, expr: str, *, since: float, until: float) -> Sequence[Series]:
        """Run a query over that time, as a panel does."""
        asked = {"query": expr, "start": str(since), "end": str(until), "step": str(SCRAPE_SECONDS)}
        answer = await self._ask("query_range", asked)
        return [Series(one["metric"], [float(value) for _, value in one["values"]]) for one in answer["result"]]

    async def label_values(self, label: str, *, of: str) -> Sequence[str]:
        """The values of a label of these series, sorted."""
        values: Sequence[str] = await self._ask(f"label/{label}/values", {"match[]": of})
        return values

    async def says(self, condition: str) -> bool:
        """Whether the condition holds for any series now."""
        return bool((await self._ask("query", {"query": condition}))["result"])

    async def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            async with self.session.get(f"{self.url}/-/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def _ask(self, path: str, asked: Mapping[str, str]) -> Any:
        async with self.session.get(f"{self.url}/api/v1/{path}", params=asked) as answer:
            said = await answer.json()
        assert said["status"] == "success", f"{said['error']}: {asked}"
        return said["data"]


@asynccontextmanager
async def scraping(admin_urls: Mapping[str, str], folder: Path) -> AsyncIterator[Prometheus]:
    """A Prometheus that has scraped each of these components; it ends with the block."""
    configuration = folder / "prometheus.yml"
    configuration.write_text(json.dumps(_configuration(admin_urls)))  # JSON is YAML
    port = free_port()
    flags = {
        "config.file": configuration,
        "storage.tsdb.path": folder / "series",
        "web.listen-address": f"127.0.0.1:{port}",
    }
    argv = [program("prometheus"), *(f"--{name}={value}" for name, value in flags.items())]
    child = Child.spawn(Command("prometheus", argv, {}, folder / "prometheus.log"))
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            prometheus = Prometheus(f"http://127.0.0.1:{port}", session)
            await until(prometheus.is_ready, what=f"Prometheus is ready: {folder / 'prometheus.log'}")
            await until(lambda: prometheus.says(f"sum(up) == {len(admin_urls)}"), what="every target is scraped")
            yield prometheus
    finally:
        await asyncio.shield(child.stop(within_seconds=5))


def _configuration(admin_urls: Mapping[str, str]) -> Mapping[str, Any]:
    """Every component is a pod; what the Operator makes of a PodMonitor, and what ours adds to that."""
    [monitor] = of_kind(render(values_files()["everything-values"]), "PodMonitor").values()
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    pods = [
        {
            "targets": [urlsplit(url).netloc],
            "labels": {
                "__meta_kubernetes_namespace": NAMESPACE,
                "__meta_kubernetes_pod_name": f"shop-sluice-{component}{POD}",
                "__meta_kubernetes_pod_container_name": component,
                "__meta_kubernetes_pod_label_app_kubernetes_io_component": component,
            },
        }
        for component, url in admin_urls.items()
    ]
    name = monitor["metadata"]["name"]
    relabelings = [
        _relabeling({"sourceLabels": ["__meta_kubernetes_namespace"], "targetLabel": "namespace"}),
        _relabeling({"sourceLabels": ["__meta_kubernetes_pod_container_name"], "targetLabel": "container"}),
        _relabeling({"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "pod"}),
        {"target_label": "job", "replacement": f"{NAMESPACE}/{name}"},
        {"target_label": "endpoint", "replacement": endpoint["port"]},
        *(_relabeling(one) for one in endpoint["relabelings"]),
    ]
    scrape = {
        "job_name": f"podMonitor/{NAMESPACE}/{name}/0",
        "metrics_path": endpoint["path"],
        "static_configs": pods,
        "relabel_configs": relabelings,
    }
    every = f"{SCRAPE_SECONDS}s"
    return {"global": {"scrape_interval": every, "scrape_timeout": every}, "scrape_configs": [scrape]}


def _relabeling(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """The Operator's spelling in Prometheus' own."""
    assert said.keys() == {"sourceLabels", "targetLabel"}, "teach this test the new relabeling"
    return {"source_labels": said["sourceLabels"], "target_label": said["targetLabel"]}
