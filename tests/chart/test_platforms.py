"""Special features of clusters: meshes, clouds' identities, OpenShift, scalers, and Helm's own ways."""

from collections.abc import Mapping
from typing import Any

import yaml

from sluice.ops.migrate import EXIT_LATER
from tests.chart.helm import ROOT, Manifest, Values, merge, of_kind, pod_specs, read, render

MINIMAL: Values = {"secrets": {"name": "sluice"}}
OUTSIDE = {"sidecar.istio.io/inject": "false"}


def _templates(values: Values) -> Mapping[str, Manifest]:
    """Labels and annotations of every pod, by part."""
    found = {}
    for one in render(values):
        if one["kind"] in ("Deployment", "Job", "Pod"):
            meta = one["metadata"] if one["kind"] == "Pod" else one["spec"]["template"]["metadata"]
            found[meta["labels"]["app.kubernetes.io/component"]] = meta
    return found


def test_every_pod_can_be_labelled_for_a_mesh_and_those_that_end_apart(everything: Values) -> None:
    """A sidecar must not keep the Job or the test from ending; what selects our pods cannot be taken away."""
    metas = _templates(merge(everything, {"pods": {"labels": {"app.kubernetes.io/name": "other"}}}))
    assert all(one["labels"]["mesh"] == "outside" for one in metas.values())
    assert all(one["annotations"]["example.com/owner"] == "payments" for one in metas.values())
    assert all(one["labels"]["app.kubernetes.io/name"] == "sluice" for one in metas.values())
    apart = {part for part, one in metas.items() if OUTSIDE.items() <= one["labels"].items()}
    assert apart == {"migrate", "test"}
    assert {part for part, one in metas.items() if "linkerd.io/inject" in one["annotations"]} == apart


def test_service_accounts_carry_a_cloud_s_role(everything: Values) -> None:
    """Beside the hook's own annotations."""
    accounts = of_kind(render(everything), "ServiceAccount")
    assert accounts["processor"]["metadata"]["annotations"] == everything["serviceAccounts"]["processor"]
    assert accounts["migrate"]["metadata"]["annotations"].items() >= everything["serviceAccounts"]["migrate"].items()
    assert "annotations" not in accounts["ingest"]["metadata"]


def test_openshift_chooses_the_user_and_its_dns_is_reached() -> None:
    """The values file for it: no number of ours, and the port that DNS' pods really have."""
    manifests = render(merge(MINIMAL, read(ROOT / "charts" / "values" / "openshift.yaml")))
    for spec in pod_specs(manifests).values():
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & spec["securityContext"].keys()
    for name, policy in of_kind(manifests, "NetworkPolicy").items():
        ports = {
            (port["protocol"], port["port"]) for rule in policy["spec"].get("egress") or [] for port in rule["ports"]
        }
        assert name == "default-deny" or {("UDP", 5353), ("TCP", 5353)} <= ports


def test_a_fault_ends_the_migration_at_once_and_says_why() -> None:
    """Only what waiting may cure gets another pod; the reason is in the pod's status, and Helm prints the log."""
    job = of_kind(render(MINIMAL), "Job")["migrate"]
    evicted, ended = job["spec"]["podFailurePolicy"]["rules"]
    assert ended["action"] == "FailJob"
    assert ended["onExitCodes"] == {"containerName": "migrate", "operator": "NotIn", "values": [EXIT_LATER]}
    assert evicted == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert job["metadata"]["annotations"]["helm.sh/hook-output-log-policy"] == "hook-failed"
    for spec in pod_specs(render(MINIMAL)).values():
        assert spec["containers"][0]["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_an_index_of_hours_is_not_cut_off() -> None:
    """The migration has the longest that a default can reasonably be; what hangs gives up by itself long before."""
    assert of_kind(render(MINIMAL), "Job")["migrate"]["spec"]["activeDeadlineSeconds"] >= 6 * 3600


def test_no_hook_outlives_the_release(everything: Values) -> None:
    """`helm uninstall` knows no hooks: each object that one made is gone when it has succeeded."""
    for one in render(everything):
        annotations = one["metadata"].get("annotations", {})
        if "helm.sh/hook" in annotations:
            assert "hook-succeeded" in annotations["helm.sh/hook-delete-policy"], one["metadata"]["name"]
    assert of_kind(render(everything), "Job")["migrate"]["spec"]["ttlSecondsAfterFinished"]


def test_keda_never_falls_below_the_least(everything: Values) -> None:
    """Nor while it cannot count."""
    spec = of_kind(render(merge(everything, {"processor": {"minReplicas": 5}})), "ScaledObject")["processor"]["spec"]
    assert spec["fallback"]["replicas"] == spec["minReplicaCount"] == 5


def test_labels_of_one_s_own_replace_ours_and_never_stand_twice(everything: Values) -> None:
    """Prometheus and Grafana choose by labels, so that theirs win."""
    label = {"app.kubernetes.io/part-of": "monitoring", "team": "watchers"}
    monitoring = {name: {"enabled": True, "labels": label} for name in ("podMonitor", "alerts", "dashboards")}
    manifests = render(merge(everything, {"monitoring": monitoring, "extraObjects": []}))
    made: list[Any] = [one for one in manifests if one["kind"] in ("PodMonitor", "PrometheusRule", "ConfigMap")]
    assert len(made) >= 4
    for one in made:
        assert label.items() <= one["metadata"]["labels"].items()
        assert yaml.safe_dump(one).count("team: ") == 1


def test_a_gateway_comes_first() -> None:
    """The values for production use it; its namespace may call the public ports."""
    production = read(ROOT / "charts" / "values" / "production.yaml")
    manifests = render(production)
    assert len(of_kind(manifests, "HTTPRoute")) == 1
    assert not of_kind(manifests, "Ingress")
    namespace = production["gateway"]["parentRefs"][0]["namespace"]
    policy = of_kind(manifests, "NetworkPolicy")["ingest"]["spec"]["ingress"][0]
    names = [peer.get("namespaceSelector", {}).get("matchLabels", {}) for peer in policy["from"]]
    assert {"kubernetes.io/metadata.name": namespace} in names
