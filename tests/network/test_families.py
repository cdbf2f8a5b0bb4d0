"""The services where there is IPv4 alone, IPv6 alone, and both: each in network namespaces of Linux."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from devstack.postgres import SERVICE_LOGINS
from tests.devstack.folders import reachable_folder
from tests.network.families import FAMILIES, ROOT
from tests.programs import missing, program

pytestmark = pytest.mark.timeout(240)  # PostgreSQL, NATS, and the services three times
ALL = sorted([*(f"{name} admin" for name in SERVICE_LOGINS), "healthd"])


@pytest.fixture(scope="module")
def found() -> Mapping[str, Any]:
    """The results of each family."""
    unshare = program("unshare", "util-linux")
    program("ip", "iproute2")
    if os.geteuid() != 0:
        missing("a network namespace is made by root alone")
    with reachable_folder() as folder:
        command = [unshare, "--net", sys.executable, "-m", "tests.network.families", str(folder)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=220)
        logs = "\n".join(path.read_text()[-2000:] for path in Path(folder).glob("*.log"))
    assert done.returncode == 0, f"{done.stderr}\n{logs}"
    answer: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_port_answers_wherever_there_is_an_address(found: Mapping[str, Any], family: str) -> None:
    """By default, with no setting for it; a machine without an address of a family works too."""
    answers = {host: ALL if host in FAMILIES[family] else [] for host in FAMILIES["both"]}
    assert found[family]["answers"] == answers


@pytest.mark.parametrize("family", list(FAMILIES))
def test_webhooks_have_their_effect(found: Mapping[str, Any], family: str) -> None:
    """Sent to each address, with PostgreSQL, NATS and the admin ports named by addresses of that family."""
    assert found[family]["sent"] == [0] * len(FAMILIES[family])
