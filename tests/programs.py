"""Programs that a distribution has and pip has not."""

import os
import shutil

import pytest


def program(name: str, package: str) -> str:
    """The path of a program of this Debian package; without it the test is skipped by name, and in CI it fails."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is not None:
        return found
    return missing(f"no {name} on the path: apt-get install --no-install-recommends {package}")


def missing(reason: str) -> str:
    """Skip the test, for a reason that CI takes for a failure; never returns."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
