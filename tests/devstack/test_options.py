"""The settings that `make run` reads, and those it ignores."""

from pathlib import Path

import pytest

from devstack.options import Options, read_options
from devstack.problems import StackProblem

PRODUCTION = {
    "DATABASE_URL": "postgresql://app:hunter2@db.example.com:6432/app",
    "NATS_URL": "nats://nats.example.com:4222",
    "APP_ENV": "production",
    "NODE_ENV": "production",
    "STRIPE_SECRET_KEY": "sk_live_never",
}


def _read(tmp_path: Path, environ: dict[str, str], env_file: str = "") -> Options:
    file = tmp_path / ".env"
    file.write_text(env_file)
    return read_options(environ, folder=tmp_path, env_file=file)


def test_a_shell_that_points_at_production_is_ignored(tmp_path: Path) -> None:
    """No ambient address or key has any effect."""
    options = _read(tmp_path, PRODUCTION)
    assert options == Options(folder=tmp_path, port=3000, wants_demo=True)


def test_external_servers_are_used_only_when_asked_and_written_to_only_when_asked_besides(tmp_path: Path) -> None:
    """EXTERNAL=1 alone neither migrates nor demonstrates; the hosts are named without a password."""
    options = _read(tmp_path, {**PRODUCTION, "EXTERNAL": "1"})
    assert options.external is not None
    assert options.external.hosts == "PostgreSQL at db.example.com:6432, NATS at nats.example.com:4222"
    assert (options.external.app_env, options.external.may_migrate, options.wants_demo) == ("production", False, False)
    asked = _read(tmp_path, {**PRODUCTION, "EXTERNAL": "1", "MIGRATE": "1", "DEMO": "1"})
    assert asked.external is not None
    assert (asked.external.may_migrate, asked.wants_demo) == (True, True)


def test_external_servers_must_be_named(tmp_path: Path) -> None:
    """EXTERNAL=1 without addresses says what is missing."""
    with pytest.raises(StackProblem, match="set DATABASE_URL and NATS_URL"):
        _read(tmp_path, {"EXTERNAL": "1"})


def test_nats_may_be_left_out(tmp_path: Path) -> None:
    """With servers of others too, of which NATS need not be named then."""
    assert _read(tmp_path, {}).wants_nats
    assert not _read(tmp_path, {"NATS": "0"}).wants_nats
    external = _read(tmp_path, {"NATS": "0", "EXTERNAL": "1", "DATABASE_URL": "postgresql://db/x"}).external
    assert external is not None
    assert (external.nats_url, external.hosts) == ("", "PostgreSQL at db, no NATS")


def test_the_env_file_gives_secrets_and_settings(tmp_path: Path) -> None:
    """Secrets are picked out, the stack's own decisions stay its own, the rest goes to the services."""
    text = """
    STRIPE_WEBHOOK_SECRET="whsec_one_of_several, whsec_two_of_several"
    STRIPE_SECRET_KEY=sk_test_key
    DATABASE_URL=postgresql://elsewhere/x
    ADMIN_PORT_FILE=/x
    LOG_LEVEL=debug
    EMPTY=
    DEMO=0
    PORT=3100
    """
    options = _read(tmp_path, {"STRIPE_WEBHOOK_SECRET": "whsec_three_of_several,whsec_one_of_several"}, text)
    assert options.webhook_secrets == ("whsec_one_of_several", "whsec_two_of_several", "whsec_three_of_several")
    assert options.stripe_secret_key == "sk_test_key"
    assert options.extra == {"LOG_LEVEL": "debug"}
    assert (options.port, options.wants_demo, options.external) == (3100, False, None)


def test_the_shell_wins_over_the_env_file(tmp_path: Path) -> None:
    """A variable typed in the shell wins."""
    assert _read(tmp_path, {"PORT": "3200"}, "PORT=3100").port == 3200


@pytest.mark.parametrize("port", ["http", "-1", "70000", "\uff13\uff10"])
def test_a_port_that_is_none_is_refused(tmp_path: Path, port: str) -> None:
    """The sentence says what to write instead."""
    with pytest.raises(StackProblem, match="PORT must be a number from 0 to 65535"):
        _read(tmp_path, {"PORT": port})


def test_what_can_be_no_webhook_secret_is_said_at_once(tmp_path: Path) -> None:
    """Instead of a service that ends again and again."""
    with pytest.raises(StackProblem, match="API key"):
        _read(tmp_path, {}, "STRIPE_WEBHOOK_SECRET=sk_test_51Abcdefghijklmnop\n")
