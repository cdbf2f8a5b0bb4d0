"""healthd refuses a configuration with which it could only be green by mistake."""

import subprocess
import sys

import pytest
from pydantic import SecretStr

from healthd.settings import Settings
from sluice.runtime.health_targets import Target, parse_targets


def settings(targets: str, *, period_seconds: float = 5) -> Settings:
    """Settings with these targets, and all else that must be there."""
    url = SecretStr("postgresql://u:p@127.0.0.1/x")
    return Settings.model_validate(
        {"database_url": url, "health_targets": targets, "health_period_seconds": period_seconds}
    )


@pytest.mark.parametrize(
    "targets",
    [
        "",
        " , ",
        "ingest=http://i:9090",
        "processor=http://p:9090",
        "ingest=http://i:9090,ingest=http://j:9090,processor=http://p:1",
        "ingest=http://i,processor=http://p:1",
        "ingest=https://i:1,processor=http://p:1",
        "ingest=http://i:0,processor=http://p:1",
        "ingest=http://i:port,processor=http://p:1",
        "ingest=http://user:geheim@i:1,processor=http://p:1",
        "ingest=http://i:1/metrics,processor=http://p:1",
        "Ingest=http://i:1,processor=http://p:1",
        "http://i:1,processor=http://p:1",
        "ingest=http://[::1:1,processor=http://p:1",
    ],
)
def test_targets_that_watch_too_little_are_a_fault(targets: str) -> None:
    """Empty, incomplete, double or unreadable targets are refused, without quoting what was given."""
    with pytest.raises(ValueError, match="HEALTH_TARGETS") as caught:
        settings(targets)
    assert "geheim" not in str(caught.value)


def test_targets_name_hosts_and_ports() -> None:
    """More services than the two that must be there may be named; an IPv6 address is a host."""
    assert parse_targets(" ingest=http://i.svc:9090/ , processor=http://[::1]:1, relay=http://r:2") == (
        Target("ingest", "i.svc", 9090),
        Target("processor", "::1", 1),
        Target("relay", "r", 2),
    )


def test_without_targets_healthd_does_not_start() -> None:
    """The fault is said on stderr, and the exit code is that of a configuration fault."""
    environment = {"DATABASE_URL": "postgresql://u:geheim@127.0.0.1/x", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-m", "healthd"], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 78
    assert "HEALTH_TARGETS" in done.stderr
    assert "geheim" not in done.stderr


def test_help_lists_every_setting() -> None:
    """``--help`` needs no configuration."""
    done = subprocess.run(
        [sys.executable, "-m", "healthd", "--help"],
        env={"PATH": ""},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0
    for name in Settings.model_fields:
        assert name.upper() in done.stdout


def test_no_step_of_a_look_takes_longer_than_the_period() -> None:
    """Three periods without a look must mean that looking stopped, not that it was slow."""
    targets = "ingest=http://i:1,processor=http://p:1"
    quick = settings(targets, period_seconds=0.5)
    assert (quick.look_seconds, quick.limits.stale_seconds) == (0.4, 1.5)
    assert settings(targets).look_seconds == 2
