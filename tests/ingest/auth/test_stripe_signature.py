"""The ingest service loads only a part of Stripe's library."""

import subprocess
import sys

LOADS = """
import sys
import ingest.app
print(sorted({"requests", "httpx", "anyio"} & sys.modules.keys()))
import requests
print(requests.__name__)
"""


def test_ingest_loads_no_http_client_and_hides_none_from_others() -> None:
    """It never calls Stripe; who wants such a library afterwards finds it."""
    ran = subprocess.run([sys.executable, "-c", LOADS], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["[]", "requests"]
