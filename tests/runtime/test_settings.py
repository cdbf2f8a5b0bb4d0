from pathlib import Path

import pytest
from pydantic import Field, Secret, SecretStr, ValidationError

from sluice.runtime.settings import EXIT_CONFIGURATION, ServiceSettings, load

URL = "postgresql://sluice:hunter2@db:5432/sluice"


class IngestSettings(ServiceSettings):
    """A service that adds one setting of its own."""

    listen_port: int = Field(default=8080, description="the public port")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in IngestSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_environment_alone_configures_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values are read from variables named like the fields; what is not said has its default."""
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv("LISTEN_PORT", "8081")
    settings = load(IngestSettings)
    assert settings.database_url.get_secret_value() == URL
    assert (settings.listen_port, settings.database_pool_max_size, settings.is_production) == (8081, 10, False)


def test_an_empty_address_of_nats_means_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By itself or in a file; what was not said at all has its default."""
    monkeypatch.setenv("DATABASE_URL", URL)
    assert load(IngestSettings).nats_servers == ["nats://127.0.0.1:4222"]
    monkeypatch.setenv("NATS_URL", "")
    assert load(IngestSettings).nats_servers == []
    monkeypatch.setenv("NATS_URL", "nats://a:1, nats://b:2")
    assert load(IngestSettings).nats_servers == ["nats://a:1", "nats://b:2"]
    monkeypatch.delenv("NATS_URL")
    (tmp_path / "nats").write_text("\n")
    monkeypatch.setenv("NATS_URL_FILE", str(tmp_path / "nats"))
    assert load(IngestSettings).nats_servers == []


def test_every_fault_is_reported_at_once_with_its_fix(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person who deploys corrects one list, not one fault after another; the process ends with 78."""
    monkeypatch.setenv("DATABASE_URL", "mysql://sluice:hunter2@db/sluice")
    monkeypatch.setenv("NATS_URL_FILE", "/nonexistent/nats")
    monkeypatch.setenv("DATABASE_POOL_MAX_SIZE", "many")
    monkeypatch.setenv("LISTEN_PORT", "http")
    with pytest.raises(SystemExit) as ended:
        load(IngestSettings)
    assert ended.value.code == EXIT_CONFIGURATION
    said = capsys.readouterr().err
    for name in ("DATABASE_URL", "NATS_URL_FILE", "DATABASE_POOL_MAX_SIZE", "LISTEN_PORT"):
        assert name in said
    assert "must start with postgresql://" in said
    assert "/nonexistent/nats" in said
    assert "the public port" in said


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("LISTEN_PORT", "http", "it is 'http' and must be a whole number."),
        ("DATABASE_POOL_MAX_SIZE", "many", "it is 'many' and must be a whole number, at least 1, at most 1000."),
        ("DATABASE_POOL_MAX_SIZE", "0", "it is '0' and must be a whole number, at least 1, at most 1000."),
        ("DATABASE_POOL_MAX_SIZE", "1.5", "it is '1.5' and must be a whole number, at least 1, at most 1000."),
        ("DRAIN_SECONDS", "0", "it is '0' and must be a number, above 0, at most 86400."),
        ("DRAIN_SECONDS", "8s", "it is '8s' and must be a number, above 0, at most 86400."),
        ("DATABASE_STATEMENT_CACHE", "maybe", "it is 'maybe' and must be true or false."),
        ("LOG_LEVEL", "loud", "it is 'loud' and must be one of debug, info, warning, error, critical."),
        ("LISTEN_PORT", "x" * 1000, f"it is '{'x' * 60}…' and must be a whole number."),
    ],
    ids=lambda value: value[:24],
)
def test_a_fault_is_a_sentence_with_what_was_given_and_what_is_accepted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, given: str, told: str
) -> None:
    """The message names settings as a person deploys them, not as a library does."""
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv(name, given)
    with pytest.raises(SystemExit):
        load(IngestSettings)
    assert f"  {name}: {told} Set {name} or {name}_FILE (" in capsys.readouterr().err


def test_a_fault_of_a_secret_says_nothing_of_its_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever kind of fault it is."""

    class Numbered(ServiceSettings):
        pin: Secret[int] = Field(default=Secret(0), description="a number that stays secret")

    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv("PIN", "hunter2")
    with pytest.raises(SystemExit):
        load(Numbered)
    told = capsys.readouterr().err
    assert "  PIN: it cannot be read. Set PIN or PIN_FILE (a number that stays secret)." in told
    assert "hunter2" not in told


def test_a_missing_setting_is_named_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """Not set is said in those words."""
    with pytest.raises(SystemExit):
        load(IngestSettings)
    assert "DATABASE_URL: it is not set" in capsys.readouterr().err


def test_no_value_of_a_secret_is_ever_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither the report of faults nor the settings themselves show a password."""
    monkeypatch.setenv("DATABASE_URL", "mysql://sluice:hunter2@db/sluice")
    with pytest.raises(SystemExit):
        load(IngestSettings)
    with pytest.raises(ValidationError) as raised:
        IngestSettings(database_url=SecretStr("mysql://sluice:hunter2@db"))
    shown = capsys.readouterr().err + str(raised.value) + repr(IngestSettings(database_url=SecretStr(URL)))
    assert "hunter2" not in shown


def test_a_file_stands_for_a_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """NAME_FILE gives NAME the content of a mounted file, without the newline at its end."""
    (tmp_path / "url").write_text(f"{URL}\n")
    (tmp_path / "port").write_text("8081\n")
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    monkeypatch.setenv("LISTEN_PORT_FILE", str(tmp_path / "port"))
    settings = load(IngestSettings)
    assert settings.database_url.get_secret_value() == URL
    assert settings.listen_port == 8081


def test_a_variable_and_its_file_together_are_a_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says which of the two counts."""
    (tmp_path / "url").write_text(URL)
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    with pytest.raises(SystemExit):
        load(IngestSettings)
    assert "both DATABASE_URL and DATABASE_URL_FILE are set" in capsys.readouterr().err


def test_the_address_that_another_tool_was_given_is_understood_far_enough_to_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Supabase hands out addresses for Prisma; PostgreSQL would refuse each connection without saying why."""
    monkeypatch.setenv("DATABASE_URL", f"{URL}?pgbouncer=true&connection_limit=1")
    with pytest.raises(SystemExit):
        load(IngestSettings)
    assert "DATABASE_STATEMENT_CACHE=false" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"NODE_ENV": "production"}, True),
        ({"APP_ENV": "Production"}, True),
        ({"APP_ENV": "staging", "NODE_ENV": "production"}, False),
        ({"APP_ENV": "", "NODE_ENV": "production"}, True),
        ({}, False),
    ],
)
def test_production_is_what_app_env_says_and_else_node_env(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: bool
) -> None:
    """An empty variable is as good as none."""
    monkeypatch.delenv("NODE_ENV", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DATABASE_URL", URL)
    assert load(IngestSettings).is_production is expected


def test_a_pool_whose_least_exceeds_its_most_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two settings that contradict each other are named together."""
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv("DATABASE_POOL_MIN_SIZE", "11")
    with pytest.raises(SystemExit):
        load(IngestSettings)
    assert "DATABASE_POOL_MIN_SIZE is greater than DATABASE_POOL_MAX_SIZE" in capsys.readouterr().err
