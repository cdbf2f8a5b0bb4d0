"""`tilt up` without Tilt: what the Tiltfile names exists, and every resource can be reached."""

import re
from graphlib import TopologicalSorter

import pytest

from tests.chart.helm import ROOT, pod_specs
from tests.tilt.tilt import NAMESPACE, TILTFILE, Asked, evaluate

SERVICES = ("ingest", "processor", "healthd")


@pytest.fixture(scope="module")
def asked() -> Asked:
    """As a person without options has it."""
    return evaluate()


@pytest.fixture(scope="module")
def asked_with_stripe() -> Asked:
    """With the optional resource."""
    return evaluate(stripe=True)


def test_every_file_exists(asked: Asked) -> None:
    """Manifests, charts, values, sources of the image, programs of local resources and what they depend on."""
    named = [source if isinstance(source, str) else source["chart"] for source in asked.yaml]
    for source in asked.yaml:
        if not isinstance(source, str):
            named += source["values"]
    for image in asked.images:
        named += image["only"]
        for step in image["live_update"]:
            named += step.get("fall_back_on", []) + ([step["sync"]] if "sync" in step else [])
    for one in asked.locals:
        named += one.get("deps", [])
        named += [word for word in one.get("serve_cmd", []) if word.endswith(".py")]
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_resource_is_made_of_objects_that_exist(asked: Asked) -> None:
    """A workload by its name, other objects as name:kind, each port one of the pod's."""
    objects = asked.objects()
    workloads = {one["metadata"]["name"] for one in objects if one["kind"] in ("Deployment", "Job")}
    others = {f"{one['metadata']['name']}:{one['kind'].lower()}" for one in objects}
    assert {one["workload"] for one in asked.workloads if one["workload"]} == workloads
    for one in asked.workloads:
        assert set(one.get("objects", [])) <= others
        for port in one.get("port_forwards", []):
            assert int(port.split(":")[-1]) in _ports(objects, one["workload"])


def _ports(objects: object, workload: str) -> set[int]:
    assert isinstance(objects, list)
    spec = next(
        one["spec"]["template"]["spec"]
        for one in objects
        if one["metadata"]["name"] == workload and "template" in one["spec"]
    )
    return {port["containerPort"] for container in spec["containers"] for port in container["ports"]}


def test_every_resource_is_reachable(asked_with_stripe: Asked) -> None:
    """Names are unique, those waited for exist, and none waits for itself in a circle."""
    names = asked_with_stripe.names
    assert len(set(names)) == len(names)
    order = list(TopologicalSorter(asked_with_stripe.waits).static_order())
    assert sorted(order) == sorted(names)


def test_services_wait_for_the_migration(asked: Asked) -> None:
    """`helm()` knows no hooks; the Job is a resource, and the database comes before it."""
    for name in SERVICES:
        assert {"migrate", "nats", "secrets"} <= set(asked.waits[name])
    assert {"postgres", "secrets"} <= set(asked.waits["migrate"])
    job = next(one for one in asked.objects() if one["kind"] == "Job")
    assert "annotations" not in job["metadata"]


def test_everything_goes_into_the_namespace_of_the_context(asked: Asked) -> None:
    """The plain manifests name none, and the chart gets it."""
    assert {one["metadata"].get("namespace", NAMESPACE) for one in asked.objects()} == {NAMESPACE}


def test_ports_on_the_laptop_are_used_once(asked: Asked) -> None:
    """And the gateway is on 3000 as ever."""
    taken = [port.split(":")[0] for one in asked.workloads for port in one.get("port_forwards", [])] + ["3000"]
    assert len(set(taken)) == len(taken)
    gateway = next(one for one in asked.locals if one["name"] == "gateway")
    assert gateway["serve_cmd"][2:] == ["3000", "ingest=8080", "healthd=8081"]


def test_live_update_copies_what_the_image_is_made_of(asked: Asked) -> None:
    """Each source of the `dev` target is synced to where the Dockerfile put it; a changed lock makes a new image."""
    (image,) = asked.images
    dockerfile = (ROOT / "Dockerfile").read_text()
    target = dockerfile.split(f" AS {image['target']}\n")[1].split("\nFROM ")[0]
    copied = set(re.findall(r"^COPY --chown=65532:65532 (\S+) (/app/\S+)$", target, re.MULTILINE))
    synced = {(step["sync"], step["to"]) for step in image["live_update"] if "sync" in step}
    assert synced == copied
    assert "requirements/run.txt" in image["live_update"][0]["fall_back_on"]
    for path in re.findall(
        r"^COPY (?:--chown=\S+ )?([a-z]\S*)", dockerfile.split("\nFROM ${BASE} AS run")[0], re.MULTILINE
    ):
        assert any(path == only or path.startswith(f"{only}/") for only in image["only"]), path


def test_pods_run_the_image_that_is_built(asked: Asked) -> None:
    """Under the name that Tilt replaces, with the program that restarts them."""
    (image,) = asked.images
    specs = pod_specs([one for one in asked.objects() if "sluice" in one["metadata"]["name"]])
    assert len(specs) == 4
    for name, spec in specs.items():
        (container,) = spec["containers"]
        assert container["image"].split(":")[0] == image["ref"]
        restarts = container["command"][:3] == ["python", "/docker/restart_on_change.py", "/app"]
        assert restarts == name.startswith("Deployment/")


def test_stripe_is_asked_for(asked: Asked, asked_with_stripe: Asked) -> None:
    """`tilt up` needs no Stripe account; with --stripe its events come to the gateway."""
    assert "stripe" not in asked.names
    stripe = next(one for one in asked_with_stripe.locals if one["name"] == "stripe")
    assert stripe["serve_cmd"][-1] == "localhost:3000/api/stripe-webhook"


def test_buttons_run_only_when_clicked(asked: Asked) -> None:
    """The simulator, the status and the tests."""
    buttons = [one for one in asked.locals if "cmd" in one]
    assert [one["name"] for one in buttons] == ["a day of payments", "a burst of 100", "status", "test"]
    assert all(one["trigger_mode"] == "manual" and one["auto_init"] is False for one in buttons)


def test_strange_clusters_must_be_named() -> None:
    """Tilt's own list of local clusters is not widened unless a person says so."""
    assert evaluate().contexts == []
    assert evaluate(context="team-dev").contexts == ["team-dev"]
    assert evaluate().versions == [">=0.33.0"]


def test_no_extension_is_loaded() -> None:
    """Nothing is fetched to read the Tiltfile, and each builtin has a word of why."""
    text = TILTFILE.read_text()
    assert "load(" not in text
    assert "ext://" not in text
    for builtin in ("version_settings", "k8s_yaml", "k8s_resource", "docker_build", "helm", "local_resource"):
        assert re.search(rf"^# .*{builtin}\b", text, re.MULTILINE), builtin
