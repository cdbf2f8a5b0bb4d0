"""Settings come from the environment alone; ``NAME_FILE`` beside each ``NAME`` points at a mounted secret."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias, TypeVar
from urllib.parse import parse_qs, urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from sluice.runtime.listening import EVERY_ADDRESS
from sluice.runtime.printable import printable_lines
from sluice.runtime.secrets import RotatingSecret
from sluice.runtime.setting_types import accepted, is_secret, shown

__all__ = ["EXIT_CONFIGURATION", "BeyondRollouts", "NatsClient", "RotatingSecret", "Seconds", "ServiceSettings", "load"]

S = TypeVar("S", bound="ServiceSettings")
_MAY_BE_EMPTY = frozenset({"nats_url"})
"""What an empty value turns off; elsewhere it means that nothing was said."""
EXIT_CONFIGURATION = 78  # EX_CONFIG of sysexits.h

NatsClient: TypeAlias = Literal["fast", "public"]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
BeyondRollouts = Annotated[float, Field(gt=600, le=86_400)]
"""Seconds, more than the 600 that Kubernetes gives a rollout to make progress."""


class ServiceSettings(BaseSettings):
    """Settings of every service; a service adds its own in ``<service>/settings.py``."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True, hide_input_in_errors=True
    )

    database_url: SecretStr = Field(description="postgresql://user:password@host:5432/database")
    nats_url: SecretStr = Field(
        default=SecretStr("nats://127.0.0.1:4222"),
        description="nats://host:4222, several with commas; empty: Sluice works without NATS",
    )
    nats_client: NatsClient = Field(
        default="fast", description="`public` uses nats-py's documented interface alone: slower, for an incident"
    )
    app_env: str = Field(
        default="development",
        validation_alias=AliasChoices("APP_ENV", "NODE_ENV"),
        description="production, or any other name; production ignores test-mode events",
    )
    database_pool_min_size: int = Field(default=1, ge=0, le=1000, description="connections kept open")
    database_pool_max_size: int = Field(default=10, ge=1, le=1000, description="connections at most, for each process")
    database_statement_cache: bool = Field(default=True, description="false behind a pooler in transaction mode")
    admin_host: str = Field(
        default=EVERY_ADDRESS, description="address of probes, metrics and status; `::` is every one, IPv4 and IPv6"
    )
    admin_port: int = Field(default=9090, ge=0, le=65_535, description="port of probes, metrics and status")
    log_level: Literal["debug", "info", "warning", "error", "critical"] = Field(
        default="info", description="least level logged"
    )
    drain_seconds: Seconds = Field(default=8, description="seconds from SIGTERM to the end at the latest")

    @property
    def nats_servers(self) -> Sequence[str]:
        """The addresses of NATS; none where Sluice works without it."""
        return [url.strip() for url in self.nats_url.get_secret_value().split(",") if url.strip()]

    @property
    def is_production(self) -> bool:
        """Real money: test-mode events have no effect."""
        return self.app_env.strip().lower() == "production"

    @field_validator("database_url")
    @classmethod
    def _speaks_postgresql(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith("postgresql://"):
            raise ValueError("it must start with postgresql://")
        if "pgbouncer" in parse_qs(urlsplit(url.get_secret_value()).query):
            raise ValueError("PostgreSQL knows no 'pgbouncer'; leave it out and set DATABASE_STATEMENT_CACHE=false")
        return url

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, level: object) -> object:
        return level.lower() if isinstance(level, str) else level

    @model_validator(mode="after")
    def _pool_sizes_fit(self) -> Self:
        if self.database_pool_min_size > self.database_pool_max_size:
            raise ValueError("DATABASE_POOL_MIN_SIZE is greater than DATABASE_POOL_MAX_SIZE; make it smaller or equal")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of sources: the caller's arguments, then files, then the environment; no ``.env``."""
        del dotenv_settings, file_secret_settings
        return init_settings, _FileSource(settings_cls), env_settings


class _Unreadable:
    """Stands where a value should: every type refuses it, and ``load`` finds the reason here."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class _FileSource(PydanticBaseSettingsSource):
    """
    ``NAME_FILE=/path`` gives ``NAME`` the content of that file without the whitespace around it.

    So does an empty ``NAME``, of the few that it turns off.
    """

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        for name in _names(field, field_name):
            path = os.environ.get(f"{name}_FILE")
            if path:
                return _read(name, path), field_name, self.field_is_complex(field)
            if field_name in _MAY_BE_EMPTY and os.environ.get(name) == "":
                return "", field_name, False
        return None, field_name, False

    def __call__(self) -> dict[str, object]:
        found: dict[str, object] = {}
        for field_name, field in self.settings_cls.model_fields.items():
            value, key, is_complex = self.get_field_value(field, field_name)
            if value is not None:
                found[key] = self.prepare_field_value(field_name, field, value, is_complex)
        return found

    def prepare_field_value(self, field_name: str, field: FieldInfo, value: object, value_is_complex: bool) -> object:
        if isinstance(value, _Unreadable):
            return value
        return super().prepare_field_value(field_name, field, value, value_is_complex)


def load(settings_type: type[S], *, besides: Sequence[str] = ()) -> S:
    """
    The settings, or, with all faults and their fixes on stderr, the end of this process with code 78.

    Args:
        besides: faults of what is configured and no field, a sentence each.
    """
    faults: list[str] = []
    try:
        settings = settings_type()  # type: ignore[call-arg]  # the environment has the rest
        if not besides:
            return settings
    except ValidationError as error:
        faults = [_explain(settings_type, fault) for fault in error.errors(include_url=False)]
    except ValueError as error:  # a setting that should be JSON and is not
        faults = [f"  {error}"]
    faults += (f"  {fault}" for fault in besides)
    sys.stderr.write("The configuration has faults:\n" + printable_lines("\n".join(faults)) + "\n")
    raise SystemExit(EXIT_CONFIGURATION)


def _explain(settings_type: type[BaseSettings], fault: ErrorDetails) -> str:
    name = str(fault["loc"][0]).upper() if fault["loc"] else ""
    field = _fields(settings_type).get(name)
    if field is None:
        return f"  {_own_words(fault)}"
    described = f" ({field.description})" if field.description else ""
    return f"  {name}: {_reason(field, fault)}. Set {name} or {name}_FILE{described}."


def _reason(field: FieldInfo, fault: ErrorDetails) -> str:
    given = fault.get("input")
    if isinstance(given, _Unreadable):
        return given.reason
    if fault["type"] == "missing":
        return "it is not set"
    if fault["type"] == "value_error":
        return _own_words(fault)
    if is_secret(field):
        return "it cannot be read"
    wanted = accepted(field)
    return f"it is {shown(str(given))} and must be {wanted}" if wanted else _own_words(fault)


def _own_words(fault: ErrorDetails) -> str:
    return fault["msg"].removeprefix("Value error, ")


def _fields(settings_type: type[BaseSettings]) -> Mapping[str, FieldInfo]:
    return {
        name: field
        for field_name, field in settings_type.model_fields.items()
        for name in (*_names(field, field_name), field_name.upper())
    }


def _names(field: FieldInfo, field_name: str) -> tuple[str, ...]:
    match field.validation_alias:
        case AliasChoices(choices=choices):
            return tuple(choice for choice in choices if isinstance(choice, str))
        case str(alias):
            return (alias,)
        case _:
            return (field_name.upper(),)


def _read(name: str, path: str) -> str | _Unreadable:
    if os.environ.get(name):
        return _Unreadable(f"both {name} and {name}_FILE are set; keep one of them")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        return _Unreadable(f"the file {path} that {name}_FILE names cannot be read ({reason})")
