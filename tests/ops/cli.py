"""Runs the command line beside a test's own loop."""

import asyncio
from typing import Any

import orjson
from click.testing import CliRunner, Result

from sluice.ops.commands import sluice


async def cli(*arguments: str, **environment: str) -> Result:
    """Run ``sluice`` with these arguments; its own asyncio.run needs a thread without a loop."""
    return await asyncio.to_thread(CliRunner().invoke, sluice, list(arguments), env=environment)


async def cli_json(*arguments: str, **environment: str) -> Any:
    """Decode the output of ``sluice … --json``; the command must end well."""
    result = await cli(*arguments, "--json", **environment)
    assert result.exit_code == 0, result.output
    return orjson.loads(result.stdout)
