"""Standard output: JSON for machines, and long outputs whose reader may go away."""

import os
import sys
from dataclasses import asdict, is_dataclass

import click
import orjson

from sluice.runtime.printable import printable_json


def print_json(answer: object) -> None:
    """Print a value of dataclasses, mappings and sequences as indented, printable JSON; times in UTC."""
    document = asdict(answer) if is_dataclass(answer) and not isinstance(answer, type) else answer
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=list).decode()
    click.echo(printable_json(text))


def write_out(text: str) -> None:
    """
    Write to standard output.

    Raises:
        click.exceptions.Exit: its reader went away.
    """
    try:
        click.echo(text, nl=False)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in its buffer has somewhere to go
        raise click.exceptions.Exit(1) from None
