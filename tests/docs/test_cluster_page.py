"""docs/kubernetes.md, typed word for word; kubectl and helm are stand-ins, openssl, psql and sluice are themselves."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
import yaml

from devstack.postgres import PostgresServer
from tests.chart.helm import ROOT, merge, of_kind, pod_specs, read, render
from tests.chart.readme import rows
from tests.docs.commands import POSTGRES_PROGRAMS, Block, blocks
from tests.programs import missing, program

pytestmark = pytest.mark.asyncio(loop_scope="module")
VALUES = ROOT / "charts" / "values"
PAGE = ROOT / "docs" / "kubernetes.md"
STAND_INS = ("kubectl", "helm", "docker", "make", "kind", "tilt")
# Files that a person brings along: the certificate of the public name, and Supabase's authority.
BROUGHT = ("hooks.crt", "hooks.key", "prod-ca-2021.crt")


@dataclass(frozen=True)
class Followed:
    """The cluster's state after a person followed the page."""

    calls: Sequence[Sequence[str]]
    secrets: Mapping[str, Mapping[str, str]]
    folder: Path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def followed(session_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Followed]:
    """All commands of the page in one shell, in their order; the first that fails ends it."""
    folder = tmp_path_factory.mktemp("page")
    server = await PostgresServer.start(session_folder / "postgres-of-the-page")
    try:
        script = "set -euo pipefail\n" + "".join(block.text for block in blocks(PAGE))
        environment = _prepare(folder) | {"OWNER_URL": server.url("postgres")}
        _run(["bash"], folder, script=script, environment=environment)
        state = json.loads((folder / "state.json").read_text())
        yield Followed(state["calls"], state["secrets"], folder)
    finally:
        await server.stop()


def _run(command: Sequence[str], folder: Path, *, script: str = "", environment: Mapping[str, str] = os.environ) -> str:
    done = subprocess.run(
        command, input=script, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def _prepare(folder: Path) -> dict[str, str]:
    """A repository's root with stand-ins on the path; the environment for it."""
    programs = folder / "programs"
    programs.mkdir()
    for name in STAND_INS:
        (programs / name).write_text(f"#!{sys.executable}\n{(ROOT / 'tests' / 'docs' / 'stand_in.py').read_text()}")
        (programs / name).chmod(0o755)
    (programs / "psql").symlink_to(POSTGRES_PROGRAMS / "psql")
    for name in ("charts", "migrations"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").symlink_to(sys.prefix)
    for name in BROUGHT:
        (folder / name).write_text(name)
    program("openssl", "openssl")
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(folder),
        "STAND_IN_STATE": str(folder / "state.json"),
    }


def _of_the_chart(*files: Path) -> Iterator[tuple[str, str]]:
    """Each Secret with a key that the pods and KEDA read, as these values files name them."""
    values: Mapping[str, Any] = {}
    for path in files:
        values = merge(values, read(path))
    manifests = render(values)
    for spec in pod_specs(manifests).values():
        yield from ((one["name"], ".dockerconfigjson") for one in spec.get("imagePullSecrets", []))
        for volume in spec["volumes"]:
            for source in volume.get("projected", {}).get("sources", []):
                yield from ((source["secret"]["name"], item["key"]) for item in source["secret"]["items"])
    for trigger in of_kind(manifests, "TriggerAuthentication").values():
        yield from ((one["name"], one["key"]) for one in trigger["spec"]["secretTargetRef"])
    for ingress in of_kind(manifests, "Ingress").values():
        yield from ((one["secretName"], key) for one in ingress["spec"]["tls"] for key in ("tls.crt", "tls.key"))


def _of_manifests() -> Iterator[tuple[str, str]]:
    """Names in the files for the other engines, wherever they stand."""
    for path in VALUES.glob("*.yaml"):
        for document in yaml.safe_load_all(path.read_text()):
            namespace = document.get("metadata", {}).get("namespace") or {"keda.yaml": "keda"}.get(
                path.name, "payments"
            )
            yield from ((f"{namespace}/{name}", key) for name, key in _named(document))


def _named(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for inner in node:
            yield from _named(inner)
    elif isinstance(node, dict):
        yield from _named_here(node)
        for inner in node.values():
            yield from _named(inner)


def _named_here(node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "secretKeyRef" in node:
        yield node["secretKeyRef"]["name"], node["secretKeyRef"]["key"]
    if "passwordSecret" in node:
        yield from ((node["passwordSecret"]["name"], key) for key in ("username", "password"))
    if "secretName" in node and "items" in node:
        yield from ((node["secretName"], item["key"]) for item in node["items"])
    elif "secretName" in node:
        yield from ((node["secretName"], key) for key in ("tls.crt", "tls.key"))
    for reference in node.get("certificateRefs", []):
        yield from ((reference["name"], key) for key in ("tls.crt", "tls.key"))


def _made(followed: Followed) -> set[tuple[str, str]]:
    return {(name, key) for name, held in followed.secrets.items() for key in held}


PRODUCTION = VALUES / "production.yaml"
INSTALLATIONS = {
    "production": [PRODUCTION],
    **{name: [PRODUCTION, VALUES / f"{name}.yaml"] for name in ("supabase", "ingress", "openshift")},
    **{path.stem: [path] for path in (ROOT / "charts" / "sluice" / "ci").glob("*.yaml") if "upgrade" not in path.stem},
}


@pytest.mark.parametrize("files", INSTALLATIONS.values(), ids=list(INSTALLATIONS))
async def test_each_secret_and_key_of_the_values_is_made_by_a_step(followed: Followed, files: Sequence[Path]) -> None:
    """In the namespace of Sluice."""
    wanted = {(f"payments/{name}", key) for name, key in _of_the_chart(*files)}
    assert len(wanted) >= 5
    assert wanted <= _made(followed)


async def test_each_values_file_is_looked_at() -> None:
    """A new one is one more way to install, or belongs to an engine."""
    looked_at = {path.name for files in INSTALLATIONS.values() for path in files if path.parent == VALUES}
    engines = {"cloudnative-pg.yaml", "gateway.yaml", "keda.yaml", "nats.yaml"}
    assert looked_at | engines | {"development.yaml"} == {path.name for path in VALUES.glob("*.yaml")}


async def test_each_secret_of_the_other_engines_files_is_made_by_a_step(followed: Followed) -> None:
    """Logins of PostgreSQL, users and certificate of NATS, the authority for KEDA, the Gateway's certificate."""
    wanted = set(_of_manifests())
    assert {name for name, _ in wanted} >= {"payments/sluice-login-keda", "keda/sluice-postgres-ca"}
    assert wanted <= _made(followed)


async def test_the_addresses_hold_the_passwords_of_their_logins(followed: Followed) -> None:
    """Each as its own user, to a name in PostgreSQL's certificate, never without TLS."""
    held = followed.secrets["payments/sluice"]
    for login in ("ingest", "processor", "healthd", "keda"):
        url = urlsplit(held[f"{login}-database-url"])
        assert (url.username, url.password) == tuple(
            followed.secrets[f"payments/sluice-login-{login}"][key] for key in ("username", "password")
        )
        assert url.hostname == "sluice-postgres-rw.payments.svc"
        assert parse_qs(url.query)["sslmode"] == ["verify-full"]
    assert urlsplit(held["migration-database-url"]).password == "of-owner"
    for user in ("ingest", "processor", "healthd"):
        nats = urlsplit(held[f"{user}-nats-url"])
        assert (nats.username, nats.password) == (user, followed.secrets["payments/sluice-nats-users"][user])


async def test_the_certificate_of_nats_is_signed_by_the_authority_that_the_pods_get(followed: Followed) -> None:
    """And is for the name in the address."""
    command = ["openssl", "verify", "-CAfile", "nats-ca.crt", "-verify_hostname", "nats", "nats.crt"]
    _run(command, followed.folder)


async def test_everything_stands_before_sluice_is_installed(followed: Followed) -> None:
    """Roles, engines, Secrets, then the release; after a failure the same command goes on."""
    done = [" ".join(call) for call in followed.calls]
    install = next(place for place, call in enumerate(done) if "charts/sluice" in call)
    for earlier in (
        "kubectl create secret generic sluice ",
        "helm upgrade --install nats",
        "helm upgrade --install keda",
    ):
        assert any(call.startswith(earlier) for call in done[:install]), earlier
    assert not any(call.startswith("helm install") for call in done)


async def test_the_values_that_the_page_sets_exist(followed: Followed) -> None:
    """Each `--set` for our chart, and each value that a sentence names."""
    known = {row.name for row in rows()}
    known |= {".".join(name.split(".")[:depth]) for name in known for depth in range(1, name.count(".") + 1)}
    ours = [call for call in followed.calls if "charts/sluice" in call]
    values = {call[place + 1].split("=")[0] for call in ours for place, word in enumerate(call) if word == "--set"}
    assert len(values) >= 8
    assert {value for value in values if value not in known and value.rsplit(".", 1)[0] not in known} == set()


async def test_the_development_files_name_only_what_they_make() -> None:
    """Tilt applies them and nothing else."""
    made: set[tuple[str, str]] = set()
    for path in (VALUES / "development").glob("*.yaml"):
        for one in yaml.safe_load_all(path.read_text()):
            if one["kind"] == "Secret":
                made |= {(one["metadata"]["name"], key) for key in one["stringData"]}
    assert set(_of_the_chart(VALUES / "development.yaml")) <= made


FORWARDS = [one for one in blocks(ROOT / "docs" / "runbook.md") if "port-forward" in one.text]


@pytest.mark.parametrize("block", FORWARDS, ids=lambda one: one.name)
async def test_a_port_that_is_forwarded_is_asked_while_it_is(block: Block) -> None:
    """`port-forward` never ends by itself: it runs beside what asks, and is ended after."""
    lines = [line for line in block.text.splitlines() if line]
    (forward,) = (place for place, line in enumerate(lines) if "port-forward" in line)
    assert lines[forward].endswith(" &")
    assert lines[-1] == "kill $!"
    assert lines[forward + 1 : -1]


@pytest.mark.parametrize("block", [one for one in FORWARDS if "curl" in one.text], ids=lambda one: one.name)
async def test_curl_reaches_the_port_that_is_forwarded(block: Block, tmp_path: Path) -> None:
    """It waits until the port is open, and the shell gets its prompt back; in a network where the port is free."""
    environment = _prepare(tmp_path)
    for name in ("readyz", "api/health"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("[+]startup ok")
    script = f"set -euo pipefail\nip link set lo up\n{block.text}"
    if os.geteuid() != 0:
        missing("a network namespace is made by root alone")
    told = _run([program("unshare", "util-linux"), "--net", "bash"], tmp_path, script=script, environment=environment)
    assert told == "[+]startup ok"
