"""The programs that only a watched system needs: Debian's package ``prometheus`` has both."""

import os
import shutil

import pytest


def program(name: str) -> str:
    """The path of ``prometheus`` or ``promtool``; without it the test is skipped by name, and in CI it fails."""
    found = shutil.which(name)
    if found is not None:
        return found
    reason = f"no {name} on the path: apt-get install --no-install-recommends prometheus"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
