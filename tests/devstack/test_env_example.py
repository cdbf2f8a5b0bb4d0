"""`.env.example` shows the defaults that hold."""

from pathlib import Path

import pytest

from healthd.settings import Settings as HealthdSettings
from ingest.settings import IngestSettings
from processor.settings import ProcessorSettings
from reconciler.settings import ReconcilerSettings
from sluice.runtime.settings import ServiceSettings

LINES = (Path(__file__).parents[2] / ".env.example").read_text().splitlines()
SHOWN = dict(line.removeprefix("#").split("=", 1) for line in LINES if line.startswith("#") and line[1:2].isupper())


@pytest.mark.parametrize("settings", [IngestSettings, ProcessorSettings, HealthdSettings, ReconcilerSettings])
def test_the_example_shows_defaults(settings: type[ServiceSettings]) -> None:
    """A number or a switch in `.env.example` is the setting's own default."""
    for name, field in settings.model_fields.items():
        if name.upper() in SHOWN and isinstance(field.default, int | float):
            assert float(SHOWN[name.upper()].replace("true", "1")) == field.default, name
