"""The parts that pages stand on, found in the application under ``PARTS``."""

from dataclasses import dataclass

from aiohttp import web

from console.web.health import HealthWatch
from sluice.postgres.pool import Database


@dataclass(frozen=True)
class Parts:
    """PostgreSQL as ``sluice_operator``, and healthd."""

    database: Database
    health: HealthWatch


PARTS = web.AppKey("parts", Parts)
