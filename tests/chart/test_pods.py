"""Pods are hardened, probed where there is an answer, and ended without dropping a request."""

from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from sluice.runtime.probes import Probes
from sluice.runtime.settings import ServiceSettings
from tests.chart.helm import Manifest, Values, merge, of_kind, pod_specs, render, settings_of

SERVICES = ("ingest", "processor", "healthd")
"""Those that always run; reconciler and console only where they are asked for."""
PUBLIC = ("ingest", "healthd")


def test_every_pod_is_restricted(values: Values) -> None:
    """Pod Security "restricted", and more: no token, no service links, no writable root outside of development."""
    specs = pod_specs(render(values))
    assert len(specs) >= 4
    for name, spec in specs.items():
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security.get("runAsUser", 1) > 0
        assert ("runAsUser" in security) == values.get("pods", {}).get("fixedUser", True), name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert all(set(volume) - {"name"} <= {"emptyDir", "projected", "secret"} for volume in spec["volumes"])
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": not values.get("liveUpdate", False),
                "capabilities": {"drop": ["ALL"]},
            }
            limits, requests = container["resources"]["limits"], container["resources"]["requests"]
            assert limits["memory"] == requests["memory"]
            assert "cpu" not in limits


def test_service_accounts_have_no_token_and_exist(values: Values) -> None:
    """Each part has one of its own, made before what runs as it."""
    manifests = render(values)
    accounts = {one["metadata"]["name"]: one for one in of_kind(manifests, "ServiceAccount").values()}
    assert all(one["automountServiceAccountToken"] is False for one in accounts.values())
    used = [spec["serviceAccountName"] for spec in pod_specs(manifests).values()]
    assert sorted(used) == sorted(accounts)


async def test_probes_ask_what_the_services_answer(values: Values) -> None:
    """Each path of each probe, at the real admin application; liveness is green while readiness is red."""
    probes = Probes("any")
    probes.is_draining = True
    async with probes.serve("127.0.0.1", 0), aiohttp.ClientSession() as session:
        for name, spec in pod_specs(render(values)).items():
            if not name.startswith("Deployment/"):
                continue
            container = spec["containers"][0]
            assert {"name": "admin", "containerPort": 9090, "protocol": "TCP"} in container["ports"]
            assert settings_of(spec)["ADMIN_PORT"] == "9090"
            for probe, status in (("startupProbe", 200), ("livenessProbe", 200), ("readinessProbe", 503)):
                asked = container[probe]
                assert asked["httpGet"]["port"] == "admin"
                assert asked["timeoutSeconds"] >= 2
                async with session.get(f"http://127.0.0.1:{probes.port}{asked['httpGet']['path']}") as response:
                    assert response.status == status, (name, probe)


def test_grace_outlasts_pre_stop_and_drain(values: Values) -> None:
    """A kubelet's SIGKILL never comes before the service's own deadline."""
    for name, spec in _deployed(values).items():
        container = spec["containers"][0]
        pre_stop = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        drain = float(settings_of(spec)["DRAIN_SECONDS"])
        assert spec["terminationGracePeriodSeconds"] >= pre_stop + drain + 5, name


def test_public_pods_wait_for_load_balancers(everything: Values) -> None:
    """The native sleep, so that no shell is needed; the processor needs no such pause."""
    for name, spec in _deployed(everything).items():
        lifecycle = spec["containers"][0].get("lifecycle")
        assert lifecycle == ({"preStop": {"sleep": {"seconds": 5}}} if name in PUBLIC else None)


def test_settings_are_those_that_the_service_knows(values: Values, monkeypatch: pytest.MonkeyPatch) -> None:
    """The services' own settings classes read the environment of the chart, with secrets put where it says."""
    from console.settings import ConsoleSettings  # noqa: PLC0415
    from healthd.settings import Settings as HealthdSettings  # noqa: PLC0415
    from ingest.settings import IngestSettings  # noqa: PLC0415
    from processor.settings import ProcessorSettings  # noqa: PLC0415
    from reconciler.settings import ReconcilerSettings  # noqa: PLC0415

    known: Mapping[str, type[ServiceSettings]] = {
        "ingest": IngestSettings,
        "processor": ProcessorSettings,
        "healthd": HealthdSettings,
        "reconciler": ReconcilerSettings,
        "console": ConsoleSettings,
    }
    outside = {"STRIPE_WEBHOOK_SECRET_FILE", "STRIPE_API_KEY_FILE", "SSL_CERT_FILE"}
    for name, spec in _deployed(values).items():
        settings = settings_of(spec)
        fields = {field.upper() for field in known[name].model_fields}
        fields |= {"HEALTH_TARGETS"} if name == "console" else set()  # for `sluice status` in its pod
        assert {key.removesuffix("_FILE") for key in settings.keys() - outside} <= fields
        with monkeypatch.context() as patch:
            for key, value in settings.items():
                if not key.endswith("_FILE"):
                    patch.setenv(key, value)
            patch.setenv("DATABASE_URL", "postgresql://user@host/database")
            known[name]()  # type: ignore[call-arg]  # the environment has the rest


def test_without_nats_no_service_is_told_of_one(everything: Values) -> None:
    """No address, no credentials, no way there; every service is told that there is none."""
    values = merge(everything, {"nats": {"enabled": False}})
    for spec in _deployed(values).values():
        settings = settings_of(spec)
        assert settings["NATS_URL"] == ""
        assert not {"NATS_URL_FILE", "STREAM_REPLICAS", "STREAM_MAX_BYTES"} & settings.keys()
    rendered = str(render(values))
    assert "4222" not in rendered
    assert "nats-url" not in rendered


def test_ingest_alone_makes_the_stream_and_is_told_how_it_is_wanted(everything: Values) -> None:
    """Whole numbers, however large."""
    deployed = {name: settings_of(spec) for name, spec in _deployed(everything).items()}
    wanted = {"STREAM_REPLICAS": "3", "STREAM_MAX_BYTES": "10737418240", "STREAM_MAX_AGE": "86400"}
    assert wanted.items() <= deployed["ingest"].items()
    assert [name for name in deployed["processor"] if name.startswith("STREAM")] == ["STREAM_GRACE_SECONDS"]
    assert deployed["processor"]["STREAM_GRACE_SECONDS"] == "1.5"
    assert not any(name.startswith("STREAM") for name in deployed["healthd"])


def test_secrets_are_files_of_a_directory_and_go_to_those_with_a_use(everything: Values) -> None:
    """Never in the environment, never by subPath, which no rotation would reach."""
    held = {}
    for name, spec in pod_specs(render(everything)).items():
        assert not any("valueFrom" in one for one in spec["containers"][0]["env"])
        assert not any("subPath" in one for one in spec["containers"][0]["volumeMounts"])
        files = {item["path"] for source in _sources(spec) for item in source["secret"]["items"]}
        pointed = {v.removeprefix("/run/sluice/") for k, v in settings_of(spec).items() if k.endswith("_FILE")}
        assert pointed <= files, name
        held[name.split("/")[1]] = {path for path in files if path.startswith("stripe")}
    assert held == {
        "ingest": {"stripe-webhook-secret"},
        "processor": {"stripe-secret-key"},
        "healthd": set(),
        "reconciler": {"stripe-api-key"},
        "console": set(),
        "migrate": set(),
        "maintain": set(),
        "test": {"stripe-webhook-secret"},
    }


def test_what_scales_has_no_replicas_of_its_own(values: Values) -> None:
    """Or each upgrade would set the number back."""
    manifests = render(values)
    deployments = of_kind(manifests, "Deployment")
    scaled = {
        one["spec"]["scaleTargetRef"]["name"].removeprefix("shop-sluice-")
        for one in manifests
        if one["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")
    }
    assert {name for name, one in deployments.items() if "replicas" not in one["spec"]} == scaled


def test_the_escape_hatch_reaches_everything(everything: Values) -> None:
    """``deployment`` is merged over what the chart makes, and the rest stays."""
    spec = _deployed(everything)["processor"]
    assert spec["priorityClassName"] == "high"
    assert spec["nodeSelector"] == {"pool": "payments"}
    assert spec["containers"][0]["name"] == "processor"
    assert settings_of(spec)["BATCH_SIZE"] == "200"


def test_replicas_are_spread_and_a_drain_is_never_blocked(values: Values) -> None:
    """Budgets let one go at a time; a node's loss takes one replica where there are nodes for all."""
    manifests = render(values)
    assert set(of_kind(manifests, "PodDisruptionBudget")) == set(_services(values))
    for name, spec in _deployed(values).items():
        budget = of_kind(manifests, "PodDisruptionBudget")[name]["spec"]
        assert budget["maxUnavailable"] == 1
        selector = of_kind(manifests, "Deployment")[name]["spec"]["selector"]
        assert budget["selector"] == selector
        spread = {one["topologyKey"]: one for one in spec["topologySpreadConstraints"]}
        assert spread["kubernetes.io/hostname"]["whenUnsatisfiable"] == "DoNotSchedule"
        assert spread["topology.kubernetes.io/zone"]["whenUnsatisfiable"] == "ScheduleAnyway"
        assert all(one["labelSelector"] == selector for one in spread.values())


def test_headless_services_show_replicas_that_are_not_ready(values: Values) -> None:
    """A watcher looks for every replica; the addresses in HEALTH_TARGETS are those Services."""
    services = of_kind(render(values), "Service")
    for name in _services(values):
        spec = services[f"{name}-admin"]["spec"]
        assert spec["clusterIP"] == "None"
        assert spec["publishNotReadyAddresses"] is True
        assert spec["ports"] == [{"name": "admin", "port": 9090, "targetPort": "admin", "protocol": "TCP"}]
    targets = settings_of(_deployed(values)["healthd"])["HEALTH_TARGETS"]
    hosts = [
        f"{name}=http://shop-sluice-{name}-admin.payments.svc:9090" for name in _services(values) if name != "healthd"
    ]
    assert targets == ",".join(hosts)


def test_healthd_knows_how_many_replicas_there_must_be(everything: Values) -> None:
    """A pod that cannot be scheduled has no address, so that nothing but its absence tells of it."""
    changed = merge(everything, {"ingest": {"minReplicas": 5}})
    assert settings_of(_deployed(changed)["healthd"])["HEALTH_REPLICAS"] == "ingest=5,processor=2,reconciler=2"


def test_public_services_lead_to_the_public_port_alone(values: Values) -> None:
    """The admin port is on no Service with an address."""
    services = of_kind(render(values), "Service")
    assert set(services) == {*_public(values), *(f"{name}-admin" for name in _services(values))}
    for name in _public(values):
        assert [port["targetPort"] for port in services[name]["spec"]["ports"]] == ["http"]
        assert not services[name]["spec"].get("publishNotReadyAddresses")


def test_the_migration_runs_before_new_pods_and_may_repeat() -> None:
    """A hook of install and upgrade, whose account and policy come first; without hooks, a plain Job."""
    manifests = render({"secrets": {"name": "sluice"}})
    job = of_kind(manifests, "Job")["migrate"]
    assert _hook(job) == ("pre-install,pre-upgrade", 0)
    for kind in ("ServiceAccount", "NetworkPolicy"):
        events, weight = _hook(of_kind(manifests, kind)["migrate"])
        assert events == "pre-install,pre-upgrade"
        assert weight < 0
    plain = render(merge({"secrets": {"name": "sluice"}}, {"migration": {"hook": False}}))
    (plain_job,) = of_kind(plain, "Job").values()
    assert "annotations" not in plain_job["metadata"]
    assert job["spec"]["template"]["spec"]["containers"][0]["command"] == ["sluice", "migrate"]


def _hook(manifest: Manifest) -> tuple[str, int]:
    annotations = manifest["metadata"]["annotations"]
    return annotations["helm.sh/hook"], int(annotations["helm.sh/hook-weight"])


def _deployed(values: Values) -> dict[str, Any]:
    specs = pod_specs(render(values))
    return {name: specs[f"Deployment/{name}"] for name in _services(values)}


def _services(values: Values) -> tuple[str, ...]:
    asked_for = [name for name in ("reconciler", "console") if values.get(name, {}).get("enabled")]
    return (*SERVICES, *asked_for)


def _public(values: Values) -> tuple[str, ...]:
    """The console's pages have a Service where a proxy is to reach them."""
    return (*PUBLIC, "console") if values.get("console", {}).get("proxy", {}).get("userHeader") else PUBLIC


@pytest.mark.parametrize(
    ("values", "public_url"),
    [
        ({}, None),
        (
            {"ingress": {"enabled": True, "hosts": ["a.example", "b.example"], "tlsTerminatedInFront": True}},
            "https://a.example",
        ),
        ({"ingress": {"enabled": False, "hosts": ["a.example"]}}, None),
        ({"gateway": {"enabled": True, "hosts": ["c.example"], "parentRefs": [{"name": "g"}]}}, "https://c.example"),
        ({"reconciler": {"publicUrl": "https://d.example/shop"}}, "https://d.example/shop"),
    ],
)
def test_the_reconciler_is_told_where_stripe_reaches_ingest(values: Values, public_url: str | None) -> None:
    """By the first public host, unless a value says it; without one it does not look for our endpoint."""
    reconciler = {"enabled": True, **values.get("reconciler", {})}
    pods = pod_specs(render({"secrets": {"name": "sluice"}, **values, "reconciler": reconciler}))
    assert settings_of(pods["Deployment/reconciler"]).get("PUBLIC_URL") == public_url


@pytest.mark.parametrize(
    ("values", "seconds"), [({}, "300"), ({"canarySeconds": 60}, "60"), ({"canarySeconds": 0}, "0")]
)
def test_the_canary_has_its_rhythm(values: Values, seconds: str) -> None:
    """By a value; nought is none."""
    reconciler = {"enabled": True, **values}
    pods = pod_specs(render({"secrets": {"name": "sluice"}, "reconciler": reconciler}))
    assert settings_of(pods["Deployment/reconciler"])["CANARY_SECONDS"] == seconds


def test_the_reconciler_runs_only_where_it_is_asked_for() -> None:
    """An upgrade has no role and no key for it yet."""
    without = render({"secrets": {"name": "sluice"}})
    assert "reconciler" not in {name.split("/")[-1] for name in pod_specs(without)}
    assert "reconciler" not in settings_of(pod_specs(without)["Deployment/healthd"])["HEALTH_TARGETS"]
    pods = pod_specs(render({"secrets": {"name": "sluice"}, "reconciler": {"enabled": True}}))
    settings = settings_of(pods["Deployment/reconciler"])
    assert settings["STRIPE_API_KEY_FILE"] == "/run/sluice/stripe-api-key"
    assert "NATS_URL_FILE" not in settings


def _sources(spec: Manifest) -> Any:
    return next(volume["projected"]["sources"] for volume in spec["volumes"] if volume["name"] == "secrets")


def test_the_console_runs_only_where_it_is_asked_for() -> None:
    """An upgrade has no login for it yet; without a proxy its pages are for its own pod, by a link."""
    without = render({"secrets": {"name": "sluice"}})
    assert "console" not in {name.split("/")[-1] for name in pod_specs(without)}
    asked = render({"secrets": {"name": "sluice"}, "console": {"enabled": True}})
    settings = settings_of(pod_specs(asked)["Deployment/console"])
    assert settings["LISTEN_HOST"] == "127.0.0.1"
    assert settings["CONSOLE_LINK_FILE"] == "/tmp/console.link"
    assert settings["CONSOLE_ACTIONS"] == "false"
    assert "CONSOLE_USER_HEADER" not in settings
    assert "console" not in of_kind(asked, "Service")


def test_the_console_knows_every_admin_port_for_the_command_line(everything: Values) -> None:
    """`kubectl exec deploy/sluice-console -- sluice status` sees every replica, its own too."""
    settings = settings_of(_deployed(everything)["console"])
    named = [target.split("=")[0] for target in settings["HEALTH_TARGETS"].split(",")]
    assert named == list(_services(everything))
    assert settings["DATABASE_URL_FILE"] == "/run/sluice/database-url"
