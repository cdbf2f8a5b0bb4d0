"""The chart's values, and the sentences for what cannot work."""

import json
from typing import Any

import pytest

from tests.chart.helm import CHART, Refused, Values, merge, notes, of_kind, read, render, values_files
from tests.chart.readme import README, render_readme, rows

MINIMAL: Values = {"secrets": {"name": "sluice"}}
PUBLIC = {"ingress": {"enabled": True, "hosts": ["a.example"], "tls": [{"hosts": ["a.example"]}]}}


def refusal(values: Values) -> str:
    """Why these values, over the least ones, are refused."""
    with pytest.raises(Refused) as refused:
        render(merge(MINIMAL, values))
    return str(refused.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"secrets": {"name": ""}}, ["No Secret is named for stripeWebhookSecret", "for ingestDatabaseUrl"]),
        ({"secrets": {"name": "", "databaseCa": {"key": "ca"}}}, ["secrets.databaseCa.key"]),
        ({"ingest": {"minReplicas": 9}}, ["ingest.minReplicas (9) is above ingest.maxReplicas (6)"]),
        ({"processor": {"autoscaling": True, "fallbackReplicas": 7}}, ["processor.fallbackReplicas (7)"]),
        ({"ingest": {"maxReplicas": 20}}, ["ingest may open 105", "together 129", "leaves 95"]),
        ({"ingress": {"enabled": True, "hosts": ["a.example"]}}, ["https alone"]),
        ({"ingress": {"enabled": True}}, ["ingress.hosts"]),
        ({"gateway": {"enabled": True}}, ["gateway.parentRefs"]),
        (merge(PUBLIC, {"networkPolicy": {"ingressFrom": []}}), ["networkPolicy.ingressFrom is empty"]),
        (merge(PUBLIC, {"healthd": {"details": True}}), ["tell the world"]),
        ({"liveUpdate": True}, ["writable"]),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(values: Values, words: list[str]) -> None:
    """The sentence names the value and the way out."""
    told = refusal(values)
    assert all(word in told for word in words), told


def test_all_faults_are_told_at_once() -> None:
    """All faults are told at once."""
    told = refusal({"liveUpdate": True, "ingest": {"minReplicas": 9}, "gateway": {"enabled": True}})
    assert told.count("\n- ") == 3


@pytest.mark.parametrize(
    ("values", "connections"),
    [
        # (6 + 1) replicas of 4 + 1 connections, (2 + 1) x 5, (2 + 1) x 2, migration 2, helm test 1
        ({}, 35 + 15 + 6 + 2 + 1),
        ({"ingest": {"autoscaling": False, "minReplicas": 3, "poolSize": 9}}, 40 + 15 + 6 + 2 + 1),
        ({"processor": {"autoscaling": True, "maxReplicas": 5, "poolSize": 2}}, 35 + 18 + 6 + 2 + 1 + 2),
        ({"healthd": {"replicas": 4}}, 35 + 15 + 10 + 2 + 1),
    ],
)
def test_the_connections_that_are_needed_are_added_up(values: Values, connections: int) -> None:
    """Rendering works with exactly that many beside the reserved ones, and not with one fewer."""
    enough = merge(values, {"database": {"maxConnections": connections + 5, "reservedConnections": 5}})
    assert render(merge(MINIMAL, enough))
    scarce = merge(values, {"database": {"maxConnections": connections + 4, "reservedConnections": 5}})
    assert f"together {connections}" in refusal(scarce)


def _paths(schema: Any, at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where the schema has an object of fixed fields."""
    here = [at] if schema.get("additionalProperties") is False else []
    return here + [path for name, inner in schema.get("properties", {}).items() for path in _paths(inner, (*at, name))]


SCHEMA = json.loads((CHART / "values.schema.json").read_text())


@pytest.mark.parametrize("path", _paths(SCHEMA), ids=lambda path: ".".join(path) or "top")
def test_a_value_that_does_not_exist_is_refused(path: tuple[str, ...]) -> None:
    """A typing error never passes silently, at whatever depth."""
    values: Values = {"mistyped": True}
    for name in reversed(path):
        values = {name: values}
    assert "mistyped" in refusal(values)


@pytest.mark.parametrize(
    "values",
    [
        {"processor": {"minReplicas": 0}},
        {"ingest": {"poolSize": "4"}},
        {"ingest": {"env": {"BODY_SECONDS": 5}}},
        {"ingest": {"env": {"DATABASE_URL": "postgresql://secret"}}},
        {"ingest": {"env": {"STRIPE_WEBHOOK_SECRET": "whsec"}}},
        {"image": {"digest": "sha256:short"}},
        {"logLevel": "loud"},
        {"secrets": {"natsUrl": {"key": ""}}},
        {"networkPolicy": {"dnsTo": []}},
        {"gateway": {"parentRefs": [{"name": "public", "sectionname": "https"}]}},
        {"gateway": {"parentRefs": [{"namespace": "gateways"}]}},
        {"appEnv": ""},
    ],
    ids=str,
)
def test_a_value_of_the_wrong_kind_is_refused(values: Values) -> None:
    """By the schema, before anything is rendered."""
    assert "schema" in refusal(values).lower()


def test_every_value_has_a_comment_and_a_schema() -> None:
    """The README's table has a row for each, in the order of the file."""
    described = {row.name for row in rows()}
    assert all(row.comment for row in rows())
    assert described >= {f"ingest.{name}" for name in read(CHART / "values.yaml")["ingest"]}
    assert set(read(CHART / "values.yaml")) | {"global"} == set(SCHEMA["properties"])


def test_the_readme_is_what_the_values_say() -> None:
    """`make chart` writes it."""
    assert README.read_text() == render_readme()


def test_notes_say_what_to_do_next(everything: Values) -> None:
    """The test to run, the address for Stripe, and what has to be borne."""
    told = notes(everything)
    assert "helm test shop -n payments" in told
    assert "https://hooks.example.com/api/stripe-webhook" in told
    assert "port-forward service/shop-sluice-ingest" in notes(MINIMAL)


@pytest.mark.parametrize("release", ["s", "sluice", "a" * 53, "a-very-long-release-name-for-the-sluice-of-a-team-ab"])
def test_names_fit_whatever_the_release_is_called(release: str) -> None:
    """63 characters for what becomes a label or a host name, KEDA's own prefix included; all different."""
    manifests = render(
        merge(values_files()["everything-values"], {"ingress": {"hosts": ["b.example"]}}), release=release
    )
    names = [(one["kind"], one["metadata"]["name"]) for one in manifests]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 63 for kind, name in names if kind != "ConfigMap")  # whose name becomes neither
    assert not any(name.startswith("-") or len(name) > 253 for _, name in names)
    assert all(len(f"keda-hpa-{name}") <= 63 for kind, name in names if kind == "ScaledObject")


def test_long_releases_that_begin_alike_do_not_collide() -> None:
    """A hash tells apart what is cut off."""
    one, other = ("x" * 50 + ending for ending in ("-a", "-b"))
    first, second = (
        {(manifest["kind"], manifest["metadata"]["name"]) for manifest in render(MINIMAL, release=release)}
        for release in (one, other)
    )
    assert not first & second


def test_names_agree_across_objects(everything: Values) -> None:
    """Scalers, routes and test reach the Deployments and Services that exist, whatever name was wanted."""
    manifests = render(merge(everything, {"fullnameOverride": "tills"}))
    deployments = {one["metadata"]["name"] for one in of_kind(manifests, "Deployment").values()}
    assert deployments == {"tills-ingest", "tills-processor", "tills-healthd", "tills-reconciler", "tills-console"}
    for kind in ("HorizontalPodAutoscaler", "ScaledObject"):
        for one in of_kind(manifests, kind).values():
            assert one["spec"]["scaleTargetRef"]["name"] in deployments


def _nats_secrets(values: Values) -> dict[str, tuple[str, str]]:
    """For each service, the Secret and the key that its address of NATS is mounted from."""
    found = {}
    for pod in of_kind(render(values), "Deployment").values():
        [volume] = [one for one in pod["spec"]["template"]["spec"]["volumes"] if one["name"] == "secrets"]
        [source] = [
            one["secret"] for one in volume["projected"]["sources"] if one["secret"]["items"][0]["path"] == "nats-url"
        ]
        found[pod["metadata"]["labels"]["app.kubernetes.io/component"]] = source["name"], source["items"][0]["key"]
    return found


def test_each_service_has_its_own_address_of_nats_or_the_common_one() -> None:
    """One Secret with a user for each, some of them in Secrets of their own, or one address for all as before."""
    assert _nats_secrets(MINIMAL) == dict.fromkeys(("ingest", "processor", "healthd"), ("sluice", "nats-url"))
    one_of_its_own = {"secrets": {"healthdNatsUrl": {"name": "nats-of-healthd", "key": "url"}}}
    assert _nats_secrets(merge(MINIMAL, one_of_its_own)) == {
        "ingest": ("sluice", "nats-url"),
        "processor": ("sluice", "nats-url"),
        "healthd": ("nats-of-healthd", "url"),
    }
    assert _nats_secrets(values_files()["production"]) == {
        name: ("sluice", f"{name}-nats-url") for name in ("ingest", "processor", "healthd")
    }


def test_an_address_of_nats_without_a_secret_is_refused() -> None:
    """The common one only where a service needs it."""
    own = {f"{name}NatsUrl": {"name": "nats", "key": name} for name in ("ingest", "processor", "healthd")}
    assert "for natsUrl" in refusal({"secrets": {"name": ""}})
    assert "for natsUrl" not in refusal({"secrets": {"name": "", **own}})
    assert "secrets.ingestNatsUrl.key empty" in refusal({"secrets": {"name": "", "ingestNatsUrl": {"key": "a"}}})
