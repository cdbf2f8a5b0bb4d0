"""The NetworkPolicies allow the arrows of the design and not one more."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.chart.helm import RELEASE, Manifest, Values, merge, of_kind, pod_specs, render

PARTS = ("ingest", "processor", "healthd", "reconciler", "console", "migrate", "test")
SERVICES = PARTS[:5]
MINIMAL: Values = {"secrets": {"name": "sluice"}, "reconciler": {"enabled": True}, "console": {"enabled": True}}
NAMESPACES = {
    "envoy-gateway-system": "the world",
    "ingress-nginx": "the world",
    "monitoring": "monitoring",
    "kube-system": "dns",
}
PORTS = {5432: "PostgreSQL", 4222: "NATS", 443: "Stripe"}

# Who may open a connection to whom, and on which port.
ARROWS = {
    ("the world", "ingest", "http"),
    ("the world", "healthd", "http"),
    ("test", "ingest", "http"),
    *{("monitoring", part, "admin") for part in SERVICES},
    *{("healthd", part, "admin") for part in SERVICES if part != "healthd"},
    *{("console", part, "admin") for part in SERVICES if part != "console"},
}
DEPARTURES = {
    *{(part, "dns", 53) for part in PARTS},
    *{(part, "PostgreSQL", 5432) for part in PARTS},
    *{(part, "NATS", 4222) for part in ("ingest", "processor", "healthd")},
    ("processor", "Stripe", 443),
    ("reconciler", "Stripe", 443),
    *{("healthd", part, "admin") for part in SERVICES if part != "healthd"},
    *{("console", part, "admin") for part in SERVICES},
    ("test", "ingest", "http"),
}


@pytest.fixture
def policies() -> Mapping[str, Manifest]:
    """Those of the default values."""
    return of_kind(render(MINIMAL), "NetworkPolicy")


def test_nothing_is_allowed_by_default(policies: Mapping[str, Manifest]) -> None:
    """For every pod of the release, both ways; the migration's and the test's too."""
    spec = policies["default-deny"]["spec"]
    assert spec == {
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "sluice", "app.kubernetes.io/instance": RELEASE}},
        "policyTypes": ["Ingress", "Egress"],
    }
    for labels in _labels_of_pods(render(MINIMAL)).values():
        assert spec["podSelector"]["matchLabels"].items() <= labels.items()


def test_each_policy_is_for_one_part_alone(policies: Mapping[str, Manifest]) -> None:
    """Its selector fits the pods of that part and no others."""
    labels = _labels_of_pods(render(MINIMAL))
    for part in PARTS:
        wanted = policies[part]["spec"]["podSelector"]["matchLabels"].items()
        assert [name for name, has in labels.items() if wanted <= has.items()] == [part]
    assert set(policies) == {"default-deny", *PARTS}


def test_arrivals_are_those_of_the_design(policies: Mapping[str, Manifest]) -> None:
    """The public ports for the ingress controller and the test, the admin ports for healthd and Prometheus."""
    assert {(peer, part, port) for part in PARTS for peer, port in _rules(policies[part], "ingress", "from")} == ARROWS


def test_departures_are_those_of_the_design(policies: Mapping[str, Manifest]) -> None:
    """DNS, PostgreSQL and NATS; Stripe for the processor; the admin ports for healthd; nothing else."""
    found = {(part, peer, port) for part in PARTS for peer, port in _rules(policies[part], "egress", "to")}
    assert found == DEPARTURES


def test_an_external_database_can_be_pinned_to_addresses() -> None:
    """A policy knows no host names; a user with fixed addresses sets them."""
    pinned = {"networkPolicy": {"databaseTo": [{"ipBlock": {"cidr": "203.0.113.0/24"}}], "databasePort": 6543}}
    policies = of_kind(render(merge(MINIMAL, pinned)), "NetworkPolicy")
    for part in PARTS:
        rule = next(one for one in policies[part]["spec"]["egress"] if one["ports"][0]["port"] == 6543)
        assert rule["to"] == [{"ipBlock": {"cidr": "203.0.113.0/24"}}]


def test_no_peers_means_no_client() -> None:
    """A rule without peers would let every client in; so there is none."""
    nobody: Values = {"networkPolicy": {"ingressFrom": [], "monitoringFrom": []}}
    policies = of_kind(render(merge(MINIMAL, nobody)), "NetworkPolicy")
    found = {(peer, part, port) for part in PARTS for peer, port in _rules(policies[part], "ingress", "from")}
    assert found == {arrow for arrow in ARROWS if arrow[0] in PARTS}


def test_handlers_of_ones_own_can_be_let_out(everything: Values) -> None:
    """The processor's extra rules are added as they are, for it alone."""
    policies = of_kind(render(everything), "NetworkPolicy")
    having = [name for name, one in policies.items() if "198.51.100.7/32" in str(one)]
    assert having == ["processor"]


def _rules(policy: Manifest, direction: str, peers: str) -> set[tuple[str, Any]]:
    return {
        (name, port["port"])
        for rule in policy["spec"].get(direction) or []
        for port in rule["ports"]
        for name in _names(rule.get(peers), port["port"])
    }


def _names(peers: Sequence[Manifest] | None, port: object) -> Sequence[str]:
    """Name the peers: a part of ours, a namespace we know, or, at any address, the owner of that port."""
    if peers is None:
        return [PORTS[port]] if isinstance(port, int) else ["anybody"]
    return [_name(peer, port) for peer in peers]


def _name(peer: Manifest, port: object) -> str:
    if "podSelector" in peer and "namespaceSelector" not in peer:
        return str(peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"])
    if "namespaceSelector" in peer:
        return NAMESPACES[peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]]
    return "dns" if port == 53 else PORTS[port] if isinstance(port, int) else "anybody"


def _labels_of_pods(manifests: Sequence[Manifest]) -> Mapping[str, Mapping[str, str]]:
    assert len(pod_specs(manifests)) == len(PARTS)
    found = {}
    for one in manifests:
        if one["kind"] in ("Deployment", "Job", "Pod"):
            template = one if one["kind"] == "Pod" else one["spec"]["template"]
            found[template["metadata"]["labels"]["app.kubernetes.io/component"]] = template["metadata"]["labels"]
    return found
