"""``make docs`` writes docs/settings.md from the settings themselves, so that it cannot say what is not so."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from console.settings import ConsoleSettings
from devstack.options import ROOT
from healthd.settings import Settings as HealthdSettings
from ingest.settings import IngestSettings
from processor.settings import ProcessorSettings
from reconciler.settings import ReconcilerSettings
from sluice.runtime.settings import ServiceSettings

PAGE = Path("docs/settings.md")

_HEAD = """\
# Settings

<!-- Written by `make docs` from the settings' own descriptions. -->

Each setting is an environment variable, or `NAME_FILE` with the path of a mounted secret. A service reports all faults
of its configuration at once, with the fix, and ends with code 78. `NODE_ENV` is accepted for `APP_ENV`.
"""
_ROTATING_ROW = (
    "| `STRIPE_WEBHOOK_SECRET` | needed | secrets that sign platform webhooks (without one they are answered 503),"
    " separated by commas while you rotate; `STRIPE_WEBHOOK_SECRET_FILE` is read again when it changes |"
)
_KEY_ROW = (
    "| `STRIPE_API_KEY` | needed | restricted key that may read events and webhook endpoints; of each mode one,"
    " separated by a comma; `STRIPE_API_KEY_FILE` is read again when it changes |"
)


def page() -> str:
    """The whole page."""
    sections = [
        _section("Every service", _rows(ServiceSettings)),
        _section("ingest", [_ROTATING_ROW, *_rows(IngestSettings, beside=ServiceSettings)]),
        _section("processor", _rows(ProcessorSettings, beside=ServiceSettings)),
        _section("healthd", _rows(HealthdSettings, beside=ServiceSettings)),
        _section("reconciler", [_KEY_ROW, *_rows(ReconcilerSettings, beside=ServiceSettings)]),
        _section("console", _rows(ConsoleSettings, beside=ServiceSettings)),
    ]
    return "\n".join([_HEAD, *sections])


def _section(title: str, rows: "list[str] | Iterator[str]") -> str:
    return "\n".join([f"## {title}", "", "| setting | default | what it is |", "|---|---|---|", *rows, ""])


def _rows(settings: type[ServiceSettings], *, beside: type[ServiceSettings] | None = None) -> Iterator[str]:
    known = beside.model_fields if beside else {}
    for name, field in settings.model_fields.items():
        if name not in known:
            yield f"| `{name.upper()}` | {_default(field)} | {field.description} |"


def _default(field: FieldInfo) -> str:
    match field.default:
        case value if value is PydanticUndefined:
            return "required"
        case SecretStr() as secret:
            return f"`{secret.get_secret_value()}`"
        case None:
            return "none"
        case bool(value):
            return f"`{str(value).lower()}`"
        case value:
            return f"`{value}`"


if __name__ == "__main__":
    (ROOT / PAGE).write_text(page(), encoding="utf-8")
