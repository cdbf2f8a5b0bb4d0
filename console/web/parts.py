"""The parts that pages stand on, found in the application under ``PARTS``."""

from dataclasses import dataclass

from aiohttp import web

from console.web.health import HealthWatch
from console.web.runs import Runs
from sluice.postgres.pool import Database


@dataclass(frozen=True)
class Parts:
    """PostgreSQL as ``sluice_operator``, healthd, and the operations under way."""

    database: Database
    health: HealthWatch
    runs: Runs


PARTS = web.AppKey("parts", Parts)
